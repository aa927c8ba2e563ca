"""The published weights: where they are, what they are worth, and what images they want."""

import dataclasses

TIMM = "https://huggingface.co/timm/{}/resolve/main/model.safetensors"
RELEASE = "https://github.com/rwightman/pytorch-image-models/releases/download/{}"
DEIT = "https://dl.fbaipublicfiles.com/deit/{}"
CYCLE_MLP = "https://github.com/ShoufaChen/CycleMLP/releases/download/v0.1/{}.pth"

HALF = (0.5, 0.5, 0.5)
ZERO = (0.0, 0.0, 0.0)
ONE = (1.0, 1.0, 1.0)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One set of published weights. Printed, it is a card.

    Attributes:
        name: Its name at its source.
        model: Name of the model in `keras_gimlp.applications` that it is for.
        arguments: What the model needs besides its defaults, as `"patch_size=8"`.
        files: Its published files: pairs of a URL and the SHA-256 of the content, or as much of it
            as is published, or nothing. The first is the one that is downloaded.
        license: Identifier of the license at its source.
        mean: Of the channels of the images, pixels in [0, 1].
        deviation: Standard deviation of the channels.
        top1: Published ImageNet-1K accuracy in percent, `None` where there is none.
        top5: The same among the five most probable classes.
        imagenet: Whether `weights="imagenet"` means this entry.
        crop: Part of the resized image's side that was evaluated.
        interpolation: With which images were resized.
        source: Where its figures are published.
    """

    name: str
    model: str
    files: tuple
    license: str
    mean: tuple
    deviation: tuple
    top1: float | None = None
    top5: float | None = None
    arguments: str = ""
    imagenet: bool = False
    crop: float = 0.875
    interpolation: str = "bicubic"
    source: str = "timm, results-imagenet.csv"

    @property
    def url(self):
        return self.files[0][0]

    @property
    def sha256(self):
        return self.files[0][1]

    @property
    def file_name(self):
        """Name in the cache."""
        return f"{self.name}.{self.url.rpartition('.')[2]}"

    @property
    def built_as(self):
        return f"{self.model}({self.arguments})"

    def __str__(self):
        accuracy = "none published" if self.top1 is None else f"{self.top1} % top-1"
        accuracy += f", {self.top5} % top-5" if self.top5 is not None else ""
        return "\n".join(
            (
                self.name,
                f"  model          {self.built_as}",
                f"  accuracy       ImageNet-1K: {accuracy} ({self.source}; not measured by us)",
                f"  images         RGB, 224 x 224 pixels, {self.interpolation}, crop {self.crop}",
                f"                 mean {self.mean}, deviation {self.deviation} of pixels in [0, 1]",
                f"  license        {self.license}",
                f"  file           {self.url}",
                f"  SHA-256        {self.sha256 or 'none published'}",
            )
        )


def _timm(name, model, top1=None, top5=None, *, sha256="", also=None, **fields):
    files = ((TIMM.format(name), sha256), *([also] if also else []))
    return Entry(
        name, model, files, license="Apache-2.0", top1=top1, top5=top5,
        **{"mean": HALF, "deviation": HALF, **fields},
    )  # fmt: skip


def _resmlp(name, model, file, top1=None, top5=None, **fields):
    return _timm(
        name, model, top1, top5, also=(DEIT.format(file), ""),
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
          also=(RELEASE.format("v0.1-weights/gmlp_s16_224_raa-10536d42.pth"), "10536d42")),
    _cycle_mlp("CycleMLP_B1", 78.9, crop=0.9),
    _cycle_mlp("CycleMLP_B2", 81.6, crop=0.9),
    _cycle_mlp("CycleMLP_B3", 82.4, crop=0.9),
    _cycle_mlp("CycleMLP_B4", 83.0, crop=0.875),
    _cycle_mlp("CycleMLP_B5", 83.2, crop=0.875),
    _timm("mixer_b16_224.goog_in21k_ft_in1k", "MLPMixer_B16", 76.616, 92.250, imagenet=True,
          also=(RELEASE.format("v0.1-vitjx/jx_mixer_b16_224-76587d61.pth"), "76587d61")),
    _timm("mixer_b16_224.goog_in21k", "MLPMixer_B16", arguments="classes=21843",
          also=(RELEASE.format("v0.1-vitjx/jx_mixer_b16_224_in21k-617b3de2.pth"), "617b3de2")),
    _timm("mixer_b16_224.miil_in21k_ft_in1k", "MLPMixer_B16", 82.314, 95.710, **_MIIL,
          also=(RELEASE.format("v0.1-tresnet/mixer_b16_224_miil-9229a591.pth"), "9229a591")),
    _timm("mixer_b16_224.miil_in21k", "MLPMixer_B16", arguments="classes=11221", **_MIIL,
          also=(RELEASE.format("v0.1-tresnet/mixer_b16_224_miil_in21k-2a558a71.pth"), "2a558a71")),
    _timm("mixer_l16_224.goog_in21k_ft_in1k", "MLPMixer_L16", 72.084, 87.632, imagenet=True,
          also=(RELEASE.format("v0.1-vitjx/jx_mixer_l16_224-92f9adc4.pth"), "92f9adc4")),
    _timm("mixer_l16_224.goog_in21k", "MLPMixer_L16", arguments="classes=21843",
          also=(RELEASE.format("v0.1-vitjx/jx_mixer_l16_224_in21k-846aa33c.pth"), "846aa33c")),
    _resmlp("resmlp_12_224.fb_in1k", "ResMLP_S12", "resmlp_12_no_dist.pth", 76.660, 93.170, imagenet=True),
    _resmlp("resmlp_12_224.fb_distilled_in1k", "ResMLP_S12", "resmlp_12_dist.pth", 77.948, 93.570),
    _resmlp("resmlp_12_224.fb_dino", "ResMLP_S12", "resmlp_12_dino.pth", arguments="include_top=False"),
    _resmlp("resmlp_24_224.fb_in1k", "ResMLP_S24", "resmlp_24_no_dist.pth", 79.380, 94.550, imagenet=True),
    _resmlp("resmlp_24_224.fb_distilled_in1k", "ResMLP_S24", "resmlp_24_dist.pth", 80.766, 95.220),
    _resmlp("resmlp_24_224.fb_dino", "ResMLP_S24", "resmlp_24_dino.pth", arguments="include_top=False"),
    _resmlp("resmlp_36_224.fb_in1k", "ResMLP_S36", "resmlp_36_no_dist.pth", 79.772, 94.888, imagenet=True),
    _resmlp("resmlp_36_224.fb_distilled_in1k", "ResMLP_S36", "resmlp_36_dist.pth", 81.150, 95.508),
    _resmlp("resmlp_big_24_224.fb_in1k", "ResMLP_B24", "resmlpB_24_no_dist.pth", 81.034, 95.026, imagenet=True, arguments="patch_size=8"),
    _resmlp("resmlp_big_24_224.fb_distilled_in1k", "ResMLP_B24", "resmlpB_24_dist.pth", 83.594, 96.658, arguments="patch_size=8"),
    _resmlp("resmlp_big_24_224.fb_in22k_ft_in1k", "ResMLP_B24", "resmlpB_24_22k.pth", 84.414, 97.108, arguments="patch_size=8"),
)
# fmt: on


def list_weights(model=None):
    """Returns the names of the published weights, of all models or of the one named `model`."""
    return [entry.name for entry in CATALOGUE if model in (None, entry.model)]


def find(name, model=None):
    """Returns the catalogue's entry for a set of published weights.

    Args:
        name: A name in `list_weights()`; `"imagenet"` with `model`; or the name of a model, for its
            `"imagenet"` weights.
        model: Name of the model for which `"imagenet"` is looked up.

    Returns:
        An `Entry`, which prints as a card.

    Raises:
        ValueError: If there is none. The message says which there are.

    Example:

    ```python
    from keras_gimlp import weights

    print(weights.find("gmlp_s16_224.ra3_in1k"))
    ```
    """
    meant = model if name == "imagenet" else name
    for entry in CATALOGUE:
        if name == entry.name or (entry.imagenet and entry.model == meant):
            return entry
    family = str(meant).removeprefix("gi").partition("_")[0]
    known = [e for e in CATALOGUE if e.imagenet]
    known = [e for e in known if e.model.partition("_")[0] == family] or known
    raise ValueError(
        f"There are no published weights {name!r}{f' for {model}' if model else ''}. There are "
        f"{', '.join(f'{entry.name} for {entry.built_as}' for entry in known)}. "
        "keras_gimlp.weights.list_weights() has all names."
    )


def expected_hash(file_name):
    """Returns the SHA-256, or its beginning, that is published for a file of this name."""
    published = {
        name: sha256
        for entry in CATALOGUE
        for name, sha256 in (
            *((url.rpartition("/")[2], sha256) for url, sha256 in entry.files),
            (entry.file_name, entry.sha256),
        )
        if name != "model.safetensors"  # which many are called
    }
    return published.get(file_name, "")
