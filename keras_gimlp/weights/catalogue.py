"""The published weights: where they are, what they are worth, and what images they want."""

import os

from keras_gimlp.weights.entry import HUB, Entry, hub_file, published_name
from keras_gimlp.weights.messages import printable

TIMM = HUB + "timm/{}/model.safetensors"
RELEASE = "https://github.com/rwightman/pytorch-image-models/releases/download/{}.pth"
DEIT = "https://dl.fbaipublicfiles.com/deit/{}.pth"
CYCLE_MLP = "https://github.com/ShoufaChen/CycleMLP/releases/download/v0.1/{}.pth"

HALF = (0.5, 0.5, 0.5)
ZERO = (0.0, 0.0, 0.0)
ONE = (1.0, 1.0, 1.0)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def _timm(name, model, top1=None, top5=None, *, sha256="", release=None, also=(), **fields):
    files = [(TIMM.format(name), sha256), *also]
    if release:  # whose name ends in the beginning of its SHA-256
        files.append((RELEASE.format(release), release.rpartition("-")[2]))
    files = tuple(sorted(files, key=lambda file: not file[1]))  # published hashes first
    return Entry(
        name, model, files, license="Apache-2.0", top1=top1, top5=top5,
        **{"mean": HALF, "deviation": HALF, **fields},
    )  # fmt: skip


def _resmlp(name, model, file, top1=None, top5=None, **fields):
    return _timm(
        name, model, top1, top5, also=((DEIT.format(file), ""),),
        mean=IMAGENET_MEAN, deviation=IMAGENET_DEVIATION, **fields,
    )  # fmt: skip


def _cycle_mlp(name, top1, crop):
    return Entry(
        name, name, ((CYCLE_MLP.format(name), ""),), license="MIT", imagenet=True, top1=top1,
        mean=IMAGENET_MEAN, deviation=IMAGENET_DEVIATION, crop=crop,
        source="ShoufaChen/CycleMLP, README",
    )  # fmt: skip


_GMLP_S_SHA256 = "227698aa36c69936a1c64a001fa9d7110c63957c4e7a43f2ad684b160a47778a"
_MIIL = {"mean": ZERO, "deviation": ONE, "interpolation": "bilinear"}
# fmt: off
CATALOGUE = (
    _timm("gmlp_s16_224.ra3_in1k", "gMLP_S", 79.652, 94.624, imagenet=True, sha256=_GMLP_S_SHA256,
          release="v0.1-weights/gmlp_s16_224_raa-10536d42"),
    _cycle_mlp("CycleMLP_B1", 78.9, crop=0.9),
    _cycle_mlp("CycleMLP_B2", 81.6, crop=0.9),
    _cycle_mlp("CycleMLP_B3", 82.4, crop=0.9),
    _cycle_mlp("CycleMLP_B4", 83.0, crop=0.875),
    _cycle_mlp("CycleMLP_B5", 83.2, crop=0.875),
    _timm("mixer_b16_224.goog_in21k_ft_in1k", "MLPMixer_B16", 76.616, 92.250, imagenet=True,
          release="v0.1-vitjx/jx_mixer_b16_224-76587d61"),
    _timm("mixer_b16_224.goog_in21k", "MLPMixer_B16", arguments={"classes": 21843},
          release="v0.1-vitjx/jx_mixer_b16_224_in21k-617b3de2"),
    _timm("mixer_b16_224.miil_in21k_ft_in1k", "MLPMixer_B16", 82.314, 95.710, **_MIIL,
          release="v0.1-tresnet/mixer_b16_224_miil-9229a591"),
    _timm("mixer_b16_224.miil_in21k", "MLPMixer_B16", arguments={"classes": 11221}, **_MIIL,
          release="v0.1-tresnet/mixer_b16_224_miil_in21k-2a558a71"),
    _timm("mixer_l16_224.goog_in21k_ft_in1k", "MLPMixer_L16", 72.084, 87.632, imagenet=True,
          release="v0.1-vitjx/jx_mixer_l16_224-92f9adc4"),
    _timm("mixer_l16_224.goog_in21k", "MLPMixer_L16", arguments={"classes": 21843},
          release="v0.1-vitjx/jx_mixer_l16_224_in21k-846aa33c"),
    _resmlp("resmlp_12_224.fb_in1k", "ResMLP_S12", "resmlp_12_no_dist", 76.660, 93.170, imagenet=True),
    _resmlp("resmlp_12_224.fb_distilled_in1k", "ResMLP_S12", "resmlp_12_dist", 77.948, 93.570),
    _resmlp("resmlp_12_224.fb_dino", "ResMLP_S12", "resmlp_12_dino", arguments={"include_top": False}),
    _resmlp("resmlp_24_224.fb_in1k", "ResMLP_S24", "resmlp_24_no_dist", 79.380, 94.550, imagenet=True),
    _resmlp("resmlp_24_224.fb_distilled_in1k", "ResMLP_S24", "resmlp_24_dist", 80.766, 95.220),
    _resmlp("resmlp_24_224.fb_dino", "ResMLP_S24", "resmlp_24_dino", arguments={"include_top": False}),
    _resmlp("resmlp_36_224.fb_in1k", "ResMLP_S36", "resmlp_36_no_dist", 79.772, 94.888, imagenet=True),
    _resmlp("resmlp_36_224.fb_distilled_in1k", "ResMLP_S36", "resmlp_36_dist", 81.150, 95.508),
    _resmlp("resmlp_big_24_224.fb_in1k", "ResMLP_B24", "resmlpB_24_no_dist", 81.034, 95.026, imagenet=True, arguments={"patch_size": 8}),
    _resmlp("resmlp_big_24_224.fb_distilled_in1k", "ResMLP_B24", "resmlpB_24_dist", 83.594, 96.658, arguments={"patch_size": 8}),
    _resmlp("resmlp_big_24_224.fb_in22k_ft_in1k", "ResMLP_B24", "resmlpB_24_22k", 84.414, 97.108, arguments={"patch_size": 8}),
)
# fmt: on


def list_weights(model=None):
    """Returns the names of the published weights, of all models or of the one named `model`."""
    return [entry.name for entry in CATALOGUE if model in (None, entry.model)]


OURS = (".weights.h5", ".keras")
# Repositories of the hub by name, and files by the names under which they are published and cached.
REPOSITORIES = {
    hub_file(address)[0]: entry
    for entry in CATALOGUE
    for address, _ in entry.files
    if address.startswith(HUB)
}
FILES = {
    name: (entry, sha256)
    for entry in CATALOGUE
    for address, sha256 in entry.files
    for name in (published_name(address), entry.cached_as(address))
}


def find(weights, model=None):
    """Returns the catalogue's entry for a set of published weights.

    It takes what the models take as `weights`, and goes by the name alone: no file is opened.

    Args:
        weights: A name in `list_weights()`; `"imagenet"` with `model`; the name of a model, for its
            `"imagenet"` weights; `"hf://timm/NAME"`; the path of a file under the name that it is
            published under, such as `"CycleMLP_B1.pth"`; or an `Entry`, which is returned.
        model: Name of the model for which `"imagenet"` is looked up.

    Returns:
        An `Entry`, which prints as a card. `None` where `weights` is `None`, or the path of a
        `.weights.h5` or `.keras` file, which are not published ones.

    Raises:
        ValueError: If there are no such weights, or the name does not tell which they are. The
            message says what does.
        TypeError: If `weights` is something else.

    Example:

    ```python
    from keras_gimlp import weights

    print(weights.find("gmlp_s16_224.ra3_in1k"))
    ```
    """
    if weights is None or isinstance(weights, Entry):
        return weights
    name = text_of(weights)
    meant = model if name == "imagenet" else name
    for entry in CATALOGUE:
        if entry.imagenet and entry.model == meant:
            return entry
    if name.endswith(OURS) or known_as(name):
        return known_as(name)
    if name.startswith(HUB) or name.endswith((".pth", ".safetensors")):
        raise ValueError(
            "Which of the published weights these are cannot be told from the file's name. Give "
            "instead the name that they have in keras_gimlp.weights.list_weights(), such as "
            f'"CycleMLP_B1". Received: weights={printable(repr(name))}'
        )
    family = str(meant).removeprefix("gi").partition("_")[0]
    known = [e for e in CATALOGUE if e.imagenet]
    known = [e for e in known if e.model.partition("_")[0] == family] or known
    raise ValueError(
        f"There are no published weights {printable(repr(name))}{f' for {model}' if model else ''}."
        f" There are {', '.join(f'{entry.name} for {entry.built_as}' for entry in known)}. "
        "keras_gimlp.weights.list_weights() has all names."
    )


def known_as(name):
    """Returns the entry that a name, a handle of the hub or a file name is of, or `None`."""
    for entry in CATALOGUE:
        if name == entry.name:
            return entry
    if name.startswith(HUB):
        return REPOSITORIES.get(hub_file(name)[0])
    return FILES.get(published_name(name), (None, ""))[0]


def text_of(weights):
    """Returns a name or a path as a string.

    Raises:
        TypeError: If it is neither.
    """
    text = os.fspath(weights) if isinstance(weights, (str, os.PathLike)) else None
    if not isinstance(text, str):
        raise TypeError(
            "`weights` must be None, a string, a path or an entry of the catalogue. Received: "
            f"weights={printable(repr(weights))}, of type {type(weights).__name__}"
        )
    return text


def expected_hash(name):
    """Returns the SHA-256, or its beginning, of what is published as `name`, `""` for other names.

    Args:
        name: Of a file; on the hub, where many files have the same, the whole handle.
    """
    return FILES.get(name, (None, ""))[1]
