"""The PyTorch models to compare with, and their steps."""

import pathlib
import tempfile

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from studies.speed import inputs, subjects


def load_library():
    """Trains something, since PyTorch loads parts of itself when they are first used."""
    model = nn.Linear(1, 1)
    model(torch.ones(1, 1)).sum().backward()
    torch.optim.AdamW(model.parameters()).step()


def prepare(subject):
    """Returns a function that takes a step, and the facts about the model."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if subject.precision == "bfloat16" else torch.float32
    model, x, y = build(subject).to(device, dtype), batch(subject).to(device), labels(subject)
    x, y = x.to(dtype) if x.is_floating_point() else x, y.to(device)
    facts = {"parameters": sum(p.numel() for p in model.parameters()), "macs": count_macs(subject)}
    called = torch.compile(model) if subject.compiled else model
    mixed = torch.autocast(device, torch.bfloat16, enabled=subject.precision == "mixed_bfloat16")
    if not subject.training:
        model.eval()

        def infer():
            with torch.inference_mode(), mixed:
                return called(x)

        return infer, facts

    optimizer = torch.optim.AdamW(model.parameters())

    def train():
        optimizer.zero_grad()
        with mixed:
            loss = functional.cross_entropy(called(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return train, facts


def build(subject):
    """Returns the model with random weights. It drops nothing at random."""
    sizes = dict(subject.arguments)
    if subject.library == subjects.TIMM:
        import timm

        return timm.create_model(subject.model, img_size=subject.size)
    if subject.library == subjects.TORCHVISION:
        from studies.speed.deformable import DeformableCycleMLP

        return DeformableCycleMLP(**sizes, classes=inputs.IMAGE_CLASSES)
    return TextGatedMLP(sequence_length=subject.size, **sizes)


class TextGatedMLP(nn.Module):
    """The gMLP of g-mlp-pytorch with a classifier, in the sizes of our `gMLP_MLM`."""

    def __init__(self, sequence_length, vocabulary_size, depth, dim, ffn_dim, attention_dim):
        from g_mlp_pytorch import gMLP

        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, dim)
        self.encoder = gMLP(
            dim=dim,
            depth=depth,
            seq_len=sequence_length,
            ff_mult=ffn_dim // dim,
            attn_dim=attention_dim,
            circulant_matrix=True,  # its form of spatial weights that depend on the distance
        )
        self.norm = nn.LayerNorm(dim)
        self.logits = nn.Linear(dim, inputs.TEXT_CLASSES)

    def forward(self, token_ids):
        x = self.norm(self.encoder(self.embedding(token_ids)))  # (B, N, C)
        return self.logits(x.mean(dim=1))


def batch(subject):
    """Returns random inputs: images with the channels first, or the tokens of texts."""
    sizes = dict(subject.arguments)
    if "vocabulary_size" in sizes:
        return torch.from_numpy(inputs.tokens(subject, sizes["vocabulary_size"]))
    return torch.from_numpy(inputs.images(subject)).permute(0, 3, 1, 2).contiguous()


def labels(subject):
    text = "vocabulary_size" in dict(subject.arguments)
    count = inputs.TEXT_CLASSES if text else inputs.IMAGE_CLASSES
    return torch.from_numpy(inputs.classes(subject, count)).long()


def count_macs(subject):
    """Returns the multiply-accumulates for one example, as PyTorch counts them."""
    with torch.device("meta"):  # shapes without values
        model, x = build(subject).eval(), batch(subject)[:1].to("meta")
    count = {}
    if subject.library == subjects.TORCHVISION:
        # The only product that PyTorch does not count itself.
        count[torch.ops.torchvision.deform_conv2d] = lambda x, weight, *_, out_shape, **__: (
            2 * x[0] * x[2] * x[3] * weight[0] * weight[1]
        )
    with FlopCounterMode(display=False, custom_mapping=count) as counter:
        model(x)
    return counter.get_total_flops() // 2  # each is a product and a sum


def difference(subject):
    """Returns the largest difference of a peer's logits from ours, relative to the largest logit.

    Both have the same weights.
    """
    import keras
    from safetensors.torch import load_file

    from keras_gimlp.weights import export_weights
    from studies.speed import keras_models

    images = inputs.images(subject)
    with keras.device("cpu:0"):  # GPUs may round the factors of float32 products
        ours = keras_models.build_image_model(subject.ours, dict(subject.arguments), subject.size)
        rng = np.random.default_rng(0)
        for variable in ours.weights:  # some start at zero or close to it
            variable.assign(variable + rng.normal(scale=0.05, size=variable.shape))
        expected = keras.ops.convert_to_numpy(ours(images))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "weights.safetensors")
            export_weights(ours, path)
            theirs = build(subject).eval()
            tensors = load_file(path)
        # The peer computes the offsets of its convolutions itself.
        learned = {k: v for k, v in tensors.items() if not k.endswith(".offset")}
        theirs.load_state_dict(learned)
    with torch.no_grad():
        logits = theirs(batch(subject)).numpy()
    return float(abs(logits - expected).max() / abs(expected).max())
