"""What is known about one set of published weights."""

import dataclasses
import os

HUB = "hf://"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One set of published weights. Printed, it is a card.

    Attributes:
        name: Its name at its source.
        model: Name of the model in `keras_gimlp.applications` that it is for.
        arguments: What the model needs besides its defaults, such as `{"patch_size": 8}`.
        files: Its published files: pairs of an address and the SHA-256 of the content, or as much
            of it as is published, or `""`. An address is a URL, or
            `"hf://OWNER/NAME[@REVISION]/FILE"` on the Hugging Face hub. The first file is
            downloaded: one whose hash is published, if there is one. Without PyTorch, it is the
            first that is not a `.pth` file.
        license: Identifier of the license at its source.
        mean: Mean of each channel of the images, for pixels in [0, 1].
        deviation: Standard deviation of each channel.
        top1: Published ImageNet-1K accuracy in percent, `None` where there is none.
        top5: The same for the five most probable classes.
        imagenet: Whether `weights="imagenet"` means this entry.
        crop: Fraction of the resized image's side that was evaluated.
        interpolation: How images were resized.
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
    """Returns the name of a file; on the hub, where many have the same, its whole handle."""
    if not address.startswith(HUB):
        return os.path.basename(address)
    repository, revision, file = hub_file(address)
    return f"{HUB}{repository}{f'@{revision}' if revision else ''}/{file}"
