"""Finds the file that `weights` means."""

import pathlib
import stat

from keras_gimlp.weights.catalogue import OURS, expected_hash, find, known_as, text_of
from keras_gimlp.weights.entry import HUB, Entry, hub_file, published_name
from keras_gimlp.weights.fetching import check_hash, fetch, fetch_from_hub
from keras_gimlp.weights.messages import printable

PUBLISHED = (".safetensors", ".pth")


def located(weights, model):
    """Returns the path of the file, fetched if need be, and how to call it in a message.

    Raises as `load_weights` does about files, before anything is downloaded if possible.
    """
    name = weights.name if isinstance(weights, Entry) else text_of(weights)
    entry = weights if isinstance(weights, Entry) else known_as(name)
    if entry is not None:
        check_patches(entry, model)
        if name == entry.name:
            return fetch(entry), f"weights={name!r}, which are of {entry.built_as}"
    source = f"weights={printable(repr(name))}"
    file = hub_file(name)[-1] if name.startswith(HUB) else name
    if not file.endswith(OURS + PUBLISHED):
        if name == "imagenet":
            find(name)
        raise ValueError(
            "`weights` must be None, a name in keras_gimlp.weights.list_weights(), "
            '"hf://OWNER/NAME", or the path of a `.safetensors`, `.pth`, `.weights.h5` or `.keras` '
            f"file. Received: {source}"
        )
    path = fetch_from_hub(name) if name.startswith(HUB) else existing(name, source)
    check_hash(path, expected_hash(published_name(name)))
    return path, source


def existing(name, source):
    """Returns the path of a file that can be opened."""
    try:
        path = pathlib.Path(name).expanduser()
        kind = path.stat().st_mode
        if stat.S_ISREG(kind):
            path.open("rb").close()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"There is no weights file at this path: {source}") from None
    except PermissionError:
        raise PermissionError(f"The weights file may not be read: {source}") from None
    except (OSError, RuntimeError, ValueError) as error:  # too long, of an unknown user, with a NUL
        raise ValueError(
            f"`weights` is not a path that can be opened: "
            f"{printable(getattr(error, 'strerror', None) or error)}. Received: {source}"
        ) from None
    if not stat.S_ISREG(kind):
        what = "a folder" if stat.S_ISDIR(kind) else "something else"
        raise ValueError(f"`weights` must be the path of a file, this is {what}: {source}")
    return path


def check_patches(entry, model):
    """Raises `ValueError` if `model` has other patches than the one that `entry` is for."""
    size = entry.arguments.get("patch_size")
    here = {x.kernel_size[0] for x in model.layers if x.name == "patch_embedding"}
    if size and here - {size}:
        raise ValueError(
            f"The weights {entry.name!r} are of {entry.built_as}: add `patch_size={size}`. "
            f"Received: patch_size={here.pop()}"
        )
