"""Encoders from KerasHub presets and Hugging Face folders.

It uses private names of KerasHub's presets; `tests/applications/text/test_gated_encoders.py` names
the one that is missing.
"""

import json
import pathlib

import keras_hub
from keras_hub.src.utils.preset_utils import KerasPresetLoader, get_preset_loader

from keras_gimlp.weights.catalogue import HUB
from keras_gimlp.weights.files import needed, read_pth, read_safetensors
from keras_gimlp.weights.loading import fill
from keras_gimlp.weights.names import MATRIX, VECTOR, Layout, dense, norm

# The files of a folder that may hold weights.
WEIGHTS = ("*.safetensors", "pytorch_model.bin")
# Parts of a pretrained file that an encoder has no use for.
HEADS = ("lm_predictions.", "mask_predictions.", "cls.", "pooler.", "classifier.")


def load_encoder(preset, encoder_cls, load_weights=True):
    """Returns a pretrained KerasHub backbone.

    Args:
        preset: Name of a KerasHub preset, a handle (`"hf://OWNER/NAME"`, `"kaggle://..."`), or the
            path of a folder that KerasHub or Hugging Face's transformers saved.
        encoder_cls: The class in `keras_hub.models` that the encoder must have.
        load_weights: Whether to load the weights too. Defaults to `True`.

    Raises:
        ValueError: If the preset is of another architecture, or there is none.
    """
    preset = str(preset)
    if encoder_cls is keras_hub.models.DebertaV3Backbone:
        folder = fetched(preset, "config.json", *(WEIGHTS if load_weights else ()))
        config = folder / "config.json"
        if config.is_file() and json.loads(config.read_text()).get("model_type") == "deberta-v2":
            return load_deberta_v3(folder, load_weights)
    encoder = keras_hub.models.Backbone.from_preset(preset, load_weights=load_weights)
    if type(encoder) is not encoder_cls:
        raise ValueError(
            f"`weights` must be a preset of {encoder_cls.__name__}. Received: weights={preset!r}, "
            f"which is one of {type(encoder).__name__}"
        )
    return encoder


def load_tokenizer(preset, tokenizer_cls):
    """Returns the tokenizer of a preset, which `load_encoder` takes too.

    Args:
        preset: As for `load_encoder`.
        tokenizer_cls: The class for the architecture. It matters only for DeBERTaV3, whose Hugging
            Face folders KerasHub cannot convert.

    Raises:
        ValueError: If there is no such preset.
    """
    preset = str(preset)
    if issubclass(tokenizer_cls, keras_hub.models.DebertaV3Tokenizer):
        folder = fetched(preset, "spm.model")
        if (folder / "spm.model").is_file():
            return tokenizer_cls((folder / "spm.model").read_bytes())
    return keras_hub.tokenizers.Tokenizer.from_preset(preset)


def fetched(preset, *files):
    """Returns the folder of a preset, with `files` from the Hugging Face hub if it is there."""
    if not preset.startswith(HUB):
        return pathlib.Path(preset)
    hub = needed("huggingface_hub", "fetch weights from the Hugging Face hub")
    return pathlib.Path(hub.snapshot_download(preset.removeprefix(HUB), allow_patterns=[*files]))


def load_deberta_v3(folder, load_weights=True):
    """Returns the encoder in a folder saved by transformers, which KerasHub cannot convert.

    Raises:
        ValueError: If the folder holds another version of DeBERTa than 3, or its tensors do not
            fit.
        FileNotFoundError: If it holds neither `model.safetensors` nor `pytorch_model.bin`.
    """
    config = json.loads((folder / "config.json").read_text())
    expected = {
        "relative_attention": True,
        "position_biased_input": False,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "hidden_act": "gelu",
        "type_vocab_size": 0,
    }
    others = {name: config.get(name) for name in expected if config.get(name) != expected[name]}
    terms = config.get("pos_att_type")
    terms = terms.split("|") if isinstance(terms, str) else terms or []
    if others or set(terms) != {"p2c", "c2p"}:
        raise ValueError(
            f"The folder is of another form of DeBERTa than version 3: {others or terms}. "
            f"Received: weights={str(folder)!r}"
        )
    encoder = keras_hub.models.DebertaV3Backbone(
        vocabulary_size=config["vocab_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        hidden_dim=config["hidden_size"],
        intermediate_dim=config["intermediate_size"],
        dropout=config["hidden_dropout_prob"],
        max_sequence_length=config["max_position_embeddings"],
        bucket_size=config["position_buckets"],
    )
    if not load_weights:
        return encoder
    theirs = tensors_of(folder)
    rows = deberta_v3_rows(config["num_hidden_layers"], config["num_attention_heads"])
    tensors = {
        path: theirs.pop(name).through(layout.ours)
        for path, (name, layout) in rows.items()
        if name in theirs
    }
    tensors |= {name: tensor for name, tensor in theirs.items() if not name.startswith(HEADS)}
    variables = {variable.path: variable for variable in encoder.weights}
    fill(encoder.name, variables, tensors, f"weights={str(folder)!r}")
    return encoder


def tensors_of(folder):
    """Returns the tensors in a folder saved by transformers, without the encoder's prefix."""
    for name, read in (("model.safetensors", read_safetensors), ("pytorch_model.bin", read_pth)):
        if (folder / name).is_file():
            tensors = read(folder / name)
            return {key.removeprefix("deberta."): tensor for key, tensor in tensors.items()}
    raise FileNotFoundError(
        f"There is neither model.safetensors nor pytorch_model.bin in weights={str(folder)!r}"
    )


def deberta_v3_rows(depth, heads):
    """Maps the paths of KerasHub's variables to transformers' names and layouts."""
    split = Layout(lambda t: t.T.reshape(t.shape[1], heads, -1), None)
    split_bias = Layout(lambda t: t.reshape(heads, -1), None)
    rows = {
        "token_embedding/embeddings": ("embeddings.word_embeddings.weight", VECTOR),
        "rel_embedding/rel_embedding": ("encoder.rel_embeddings.weight", VECTOR),
    }
    rows |= norm("embeddings_layer_norm", "embeddings.LayerNorm")
    rows |= norm("rel_embedding/rel_embeddings_layer_norm", "encoder.LayerNorm")
    for i in range(depth):
        ours, theirs = f"disentangled_attention_encoder_layer_{i}", f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            path, name = (
                f"{ours}/self_attention_layer/{part}",
                f"{theirs}.attention.self.{part}_proj",
            )
            rows |= {f"{path}/kernel": (f"{name}.weight", split)}
            rows |= {f"{path}/bias": (f"{name}.bias", split_bias)}
        output = f"{ours}/self_attention_layer/attention_output"
        rows |= dense(output, f"{theirs}.attention.output.dense", MATRIX)
        rows |= norm(f"{ours}/self_attention_layer_norm", f"{theirs}.attention.output.LayerNorm")
        rows |= dense(f"{ours}/feedforward_intermediate_dense", f"{theirs}.intermediate.dense")
        rows |= dense(f"{ours}/feedforward_output_dense", f"{theirs}.output.dense")
        rows |= norm(f"{ours}/feedforward_layer_norm", f"{theirs}.output.LayerNorm")
    return rows


def backbone_class(preset):
    """Returns the class of the backbone in a preset, or `None` if KerasHub knows none."""
    try:
        return get_preset_loader(str(preset)).check_backbone_class()
    except ValueError:
        return None


def load_task(cls, preset, load_weights, **kwargs):
    """Returns a task from its own preset, or puts a new head on the backbone in a preset.

    KerasHub's own `from_preset` requires a task that names a single class of backbone.
    """
    loader = get_preset_loader(str(preset))
    if isinstance(loader, KerasPresetLoader):
        return loader.load_task(cls, load_weights, "num_classes" not in kwargs, **kwargs)
    backbone = keras_hub.models.Backbone.from_preset(str(preset), load_weights=load_weights)
    return cls(backbone=backbone, **kwargs)
