"""How published files name and lay out the parameters of a model, for loading and for exporting.

timm publishes gMLP, MLP-Mixer and ResMLP, and the authors of CycleMLP their model. Each family is a
function that returns one row for each variable: the tensor's name in the file, and its layout.
"""

import dataclasses
import re
from collections.abc import Callable

import numpy as np

from keras_gimlp.families import blocks_of, image_family
from keras_gimlp.weights.files import FLOATS, printable


@dataclasses.dataclass(frozen=True)
class Layout:
    """A pair of functions between the published tensor and ours.

    `ours` raises `ValueError` or `IndexError` for a tensor of another rank, and copies nothing.
    """

    ours: Callable
    theirs: Callable


VECTOR = Layout(lambda t: t, lambda v: v)
MATRIX = Layout(np.transpose, np.transpose)
CONVOLUTION = Layout(lambda t: t.transpose(2, 3, 1, 0), lambda v: v.transpose(3, 2, 0, 1))
# A matrix in the form of a convolution of one pixel.
POINTWISE = Layout(lambda t: t.reshape(t.shape[:2]).T, lambda v: v.T[:, :, None, None])
# A vector with axes for batch and tokens, which the ResMLP paper's own files lack.
TOKEN_VECTOR = Layout(lambda t: t.reshape(t.shape[-1:]), lambda v: v[None, None])


@dataclasses.dataclass(frozen=True)
class Correspondence:
    """Between a model's variables and the tensors of its published files.

    Attributes:
        rows: By the path of each variable, the name of the tensor and its `Layout`.
        constants: By name, tensors that the files hold and the model computes.
        renamed: Function from a name in an older kind of file to the name in `rows`.
    """

    rows: dict
    constants: dict = dataclasses.field(default_factory=dict)
    renamed: Callable = str


def correspondence(model):
    """Returns the `Correspondence` between a model and its published files.

    Raises:
        ValueError: If no files are published for models of this kind.
    """
    family = image_family(model.layers)
    if family not in PUBLISHED_FAMILIES:
        raise ValueError(
            f"{model.name!r} is not a model of a family with published files. Give it a "
            "`.weights.h5` or `.keras` file."
        )
    return PUBLISHED_FAMILIES[family](model)


def translated(tensors, variables, model, source):
    """Returns a published file's tensors in our layout and by our names, as far as these are known.

    Raises:
        ValueError: If a constant in the file differs from the constant with which the model
            computes, or the file has a tensor twice.
    """
    known = correspondence(model)
    renamed = {known.renamed(name): tensor for name, tensor in tensors.items()}
    if len(renamed) < len(tensors):
        raise ValueError(f"The file has a tensor under two names. Received: {source}")
    # A model without a classifier or the last normalization still knows what these tensors are.
    names = {variable.path: name for name, variable in variables.items()}
    ours = {
        names.get(path, path): renamed.pop(theirs).through(layout.ours)
        for path, (theirs, layout) in known.rows.items()
        if theirs in renamed
    }
    for name, constant in known.constants.items():
        if name in renamed and not equal(renamed.pop(name), constant):
            raise ValueError(
                f"The file computes something else than {model.name!r}: its {printable(name)} is "
                f"another. Received: {source}"
            )
    return renamed | ours


def equal(tensor, constant):
    """Returns whether a tensor has the values of `constant`; another shape is not read."""
    alike = tensor.shape == constant.shape and tensor.dtype in FLOATS
    return alike and np.array_equal(tensor.read(), constant)


# Rows of one layer, or of two.


def dense(ours, theirs, layout=MATRIX, bias=True):
    rows = {f"{ours}/kernel": (f"{theirs}.weight", layout)}
    return rows | ({f"{ours}/bias": (f"{theirs}.bias", VECTOR)} if bias else {})


def convolution(ours, theirs):
    return dense(ours, theirs, CONVOLUTION)


def norm(ours, theirs):
    return {
        f"{ours}/gamma": (f"{theirs}.weight", VECTOR),
        f"{ours}/beta": (f"{theirs}.bias", VECTOR),
    }


def affine(ours, theirs):
    return {
        f"{ours}/alpha": (f"{theirs}.alpha", TOKEN_VECTOR),
        f"{ours}/beta": (f"{theirs}.beta", TOKEN_VECTOR),
    }


def scale(ours, theirs):
    return {f"{ours}/alpha": (theirs, VECTOR)}


def mlp(ours, theirs):
    return dense(f"{ours}_expand", f"{theirs}.fc1") | dense(f"{ours}_contract", f"{theirs}.fc2")


def ends(embedding, their_embedding, norm_rows=norm):
    """Rows of the layers before the blocks and after them."""
    rows = convolution(embedding, their_embedding) | norm_rows("norm", "norm")
    return rows | dense("predictions", "head")


# timm's files.

EMBEDDING = "patch_embedding", "stem.proj"


def timm_blocks(model):
    """Returns the pairs of our name and timm's of each block, such as `("block0", "blocks.0")`."""
    return [(ours, ours.replace("block", "blocks.")) for ours in blocks_of(model.layers)]


def gmlp(model):
    rows = ends(*EMBEDDING)
    for ours, theirs in timm_blocks(model):
        rows |= norm(f"{ours}_norm", f"{theirs}.norm")
        rows |= mlp(ours, f"{theirs}.mlp_channels")
        rows |= norm(f"{ours}_gate/norm", f"{theirs}.mlp_channels.gate.norm")
        rows |= dense(f"{ours}_gate/spatial", f"{theirs}.mlp_channels.gate.proj")
    return Correspondence(rows)


def mlp_mixer(model):
    rows = ends(*EMBEDDING)
    for ours, theirs in timm_blocks(model):
        for number, mixed in enumerate(("tokens", "channels"), start=1):
            rows |= norm(f"{ours}_{mixed}_norm", f"{theirs}.norm{number}")
            rows |= mlp(f"{ours}_{mixed}", f"{theirs}.mlp_{mixed}")
    return Correspondence(rows)


def resmlp(model):
    rows = ends(*EMBEDDING, affine)
    for ours, theirs in timm_blocks(model):
        rows |= affine(f"{ours}_tokens_norm", f"{theirs}.norm1")
        rows |= dense(f"{ours}_tokens_mix", f"{theirs}.linear_tokens")
        rows |= scale(f"{ours}_tokens_scale", f"{theirs}.ls1")
        rows |= affine(f"{ours}_channels_norm", f"{theirs}.norm2")
        rows |= mlp(f"{ours}_channels", f"{theirs}.mlp_channels")
        rows |= scale(f"{ours}_channels_scale", f"{theirs}.ls2")
    return Correspondence(rows, renamed=from_papers_name)


def from_papers_name(name):
    """Returns timm's name of a tensor in ResMLP's own files; timm's names stay as they are."""
    for theirs, timms in (
        (r"^patch_embed\.", "stem."),
        (r"\.attn\.", ".linear_tokens."),
        (r"\.mlp\.", ".mlp_channels."),
        (r"\.gamma_", ".ls"),
    ):
        name = re.sub(theirs, timms, name)
    return name


# The CycleMLP authors' files.


def cycle_mlp(model):
    rows = ends("stem", "patch_embed.proj")
    constants = {}
    for ours in blocks_of(model.layers):
        stage, block = map(int, re.findall(r"\d+", ours))
        if stage > 0 and block == 0:
            rows |= convolution(f"stage{stage}_downsample", f"network.{2 * stage - 1}.proj")
        theirs = f"network.{2 * stage}.{block}"
        rows |= norm(f"{ours}_mix_norm", f"{theirs}.norm1")
        # They are named after the other axis: the kernel of sfc_h is 1 x 3.
        for axis, attribute in (("width", "sfc_h"), ("height", "sfc_w")):
            rows |= dense(f"{ours}_mix_{axis}/dense", f"{theirs}.attn.{attribute}", POINTWISE)
            layer = model.get_layer(f"{ours}_mix_{axis}")
            constants[f"{theirs}.attn.{attribute}.offset"] = offsets(layer)
        rows |= dense(f"{ours}_mix_channel", f"{theirs}.attn.mlp_c", bias=False)
        rows |= dense(f"{ours}_mix_fuse/contract", f"{theirs}.attn.reweight.fc1")
        rows |= dense(f"{ours}_mix_fuse/expand", f"{theirs}.attn.reweight.fc2")
        rows |= dense(f"{ours}_mix_project", f"{theirs}.attn.proj")
        rows |= norm(f"{ours}_mlp_norm", f"{theirs}.norm2")
        rows |= mlp(f"{ours}_mlp", f"{theirs}.mlp")
    return Correspondence(rows, constants)


def offsets(layer):
    """Returns the files' constant for a `CycleFC`: by channel, its shift down and to the right."""
    reach = layer.kernel_size // 2
    channels = np.arange(layer.input_spec.axes[3])
    shifts = (channels + reach) % layer.kernel_size - reach
    pairs = np.zeros((len(shifts), 2), "float32")
    pairs[:, 1 if layer.axis == "width" else 0] = shifts
    return pairs.reshape(1, -1, 1, 1)


PUBLISHED_FAMILIES = {
    "gMLP": gmlp,
    "CycleMLP": cycle_mlp,
    "MLPMixer": mlp_mixer,
    "ResMLP": resmlp,
}
