"""The published weights: where they are, how good they are, and which images they want.

An entry is one set of weights. It is found by its name, by its model, or by the name of a file.
"""

import dataclasses
import os

from keras_gimlp.weights.files import OURS, PUBLISHED, printable

HUB = "hf://"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One set of published weights. Printed, it is a card.

    Attributes:
        name: Name of the weights at their source.
        model: Name of their model in `keras_gimlp.applications`.
        arguments: Arguments of the model that differ from its defaults, such as
            `{"patch_size": 8}`.
        files: Pairs of an address and the SHA-256 of the content, or the part of it that is
            published, or `""`. An address is a URL, or `"hf://OWNER/NAME[@REVISION]/FILE"` on the
            Hugging Face hub. The first file is downloaded; files with a published hash come first.
            Without PyTorch, the first file that is not a `.pth` file is downloaded.
        license: Identifier of the license at its source.
        mean: Mean of each channel of the images, for pixels in [0, 1].
        deviation: Standard deviation of each channel.
        top1: Published ImageNet-1K accuracy in percent, `None` where there is none.
        top5: The same for the five most probable classes.
        imagenet: Whether `weights="imagenet"` means this entry.
        crop: Fraction of the resized image's side that was evaluated.
        interpolation: How images were resized.
        source: Where the accuracy is published.
    """

    name: str
    model: str
    files: tuple
    license: str
    mean: tuple
    deviation: tuple
    top1: float | None = None
    top5: float | None = None
    arguments: dict = dataclasses.field(default_factory=dict, hash=False)
    imagenet: bool = False
    crop: float = 0.875
    interpolation: str = "bicubic"
    source: str = "timm, results-imagenet.csv"

    @property
    def url(self):
        return url_of(self.files[0][0])

    @property
    def sha256(self):
        return self.files[0][1]

    @property
    def built_as(self):
        arguments = (f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.model}({', '.join(arguments)})"

    def cached_as(self, address):
        """Returns the name in the cache of the file from `address`."""
        return f"{self.name}.{address.rpartition('.')[2]}"

    def __str__(self):
        accuracy = "none published" if self.top1 is None else f"{self.top1} % top-1"
        accuracy += f", {self.top5} % top-5" if self.top5 is not None else ""
        return "\n".join(
            (
                self.name,
                f"  model          {self.built_as}",
                f"  accuracy       ImageNet-1K: {accuracy} ({self.source}; not measured by us)",
                f"  images         RGB, 224 x 224 pixels, {self.interpolation}, crop {self.crop}",
                f"  pixels         in [0, 1]: mean {self.mean}, deviation {self.deviation}",
                f"  license        {self.license}",
                *(line for file in self.files for line in file_lines(*file)),
            )
        )


def file_lines(address, sha256):
    """Returns the lines of a card about a file."""
    yield f"  file           {url_of(address)}"
    if address.startswith(HUB) and not hub_file(address)[1]:
        yield "                 the newest revision: no commit is published to pin it to"
    published = "begins with " if 0 < len(sha256) < 64 else ""
    yield f"  SHA-256        {published}{sha256 or 'none published'}"


def hub_file(handle):
    """Returns the repository, the revision (or `None`) and the file in a handle of the hub.

    Args:
        handle: `"hf://OWNER/NAME"` for the repository's `model.safetensors`, or
            `"hf://OWNER/NAME/FILE"`. `@REVISION` after `NAME` pins a commit, a tag or a branch.

    Raises:
        ValueError: If the handle is of another form.
    """
    owner, name, file, *_ = (*handle.removeprefix(HUB).split("/", 2), None, None)
    name, at, revision = (name or "").partition("@")
    if not (owner and name) or file == "" or (at and not revision):
        raise ValueError(
            '`weights` on the Hugging Face hub must be "hf://OWNER/NAME[@REVISION]" or '
            f'"hf://OWNER/NAME[@REVISION]/FILE". Received: weights={handle!r}'
        )
    return f"{owner}/{name}", revision or None, file or "model.safetensors"


def url_of(address):
    """Returns the URL that a browser opens."""
    if not address.startswith(HUB):
        return address
    repository, revision, file = hub_file(address)
    return f"https://huggingface.co/{repository}/resolve/{revision or 'main'}/{file}"


def published_name(address):
    """Returns the name of a file; on the hub, where many files share a name, its whole handle."""
    if not address.startswith(HUB):
        return os.path.basename(address)
    repository, revision, file = hub_file(address)
    return f"{HUB}{repository}{f'@{revision}' if revision else ''}/{file}"


# The table.

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
    if release:  # the name ends in the beginning of the SHA-256
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


# Entries by their repository on the hub, and by the names of their published and cached files.
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

    It takes what the models take as `weights`, and looks at the name alone: no file is opened.

    Args:
        weights: A name in `list_weights()`; `"imagenet"` with `model`; the name of a model, for its
            `"imagenet"` weights; `"hf://timm/NAME"`; the path of a file that still has its
            published name, such as `"CycleMLP_B1.pth"`; or an `Entry`, which is returned.
        model: Name of the model for which `"imagenet"` is looked up.

    Returns:
        An `Entry`, which prints as a card. `None` where `weights` is `None`, or the path of a
        `.weights.h5` or `.keras` file, which nobody published.

    Raises:
        ValueError: If there are no such weights, or the name does not tell which they are. The
            message names those that there are, or asks for their name.
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
    if name.endswith(OURS) or entry_of(name):
        return entry_of(name)
    if name.startswith(HUB) or name.endswith(tuple(PUBLISHED)):
        raise ValueError(
            "The file's name does not tell which published weights these are. Give their name in "
            'keras_gimlp.weights.list_weights() instead, such as "CycleMLP_B1". '
            f"Received: weights={printable(repr(name))}"
        )
    family = str(meant).removeprefix("gi").partition("_")[0]
    known = [e for e in CATALOGUE if e.imagenet]
    known = [e for e in known if e.model.partition("_")[0] == family] or known
    raise ValueError(
        f"There are no published weights {printable(repr(name))}{f' for {model}' if model else ''}."
        f" There are {', '.join(f'{entry.name} for {entry.built_as}' for entry in known)}. "
        "keras_gimlp.weights.list_weights() has all names."
    )


def entry_of(name):
    """Returns the entry with a name, a handle of the hub or a file of this name, or `None`."""
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
    """Returns the published SHA-256 of a file, or its beginning; `""` where none is published.

    Args:
        name: As `published_name` returns it.
    """
    return FILES.get(name, (None, ""))[1]
