"""Fetches the file that `weights` means: from the disk, the cache or the network, and checked.

Every `fetch...` returns the path of a weights file that is there, or raises.
"""

import hashlib
import importlib
import os
import pathlib
import stat

from keras_gimlp.weights.catalogue import (
    HUB,
    Entry,
    entry_of,
    expected_hash,
    find,
    hub_file,
    published_name,
    text_of,
    url_of,
)
from keras_gimlp.weights.files import OURS, PUBLISHED, TORCH, needed, printable, version_of_torch


def fetch(weights, model):
    """Returns the path of the file for `model`, and the words for it in a message.

    Raises as `load_weights` does about files, before anything is downloaded if possible.
    """
    name = weights.name if isinstance(weights, Entry) else text_of(weights)
    entry = weights if isinstance(weights, Entry) else entry_of(name)
    if entry is not None:
        check_patches(entry, model)
        if name == entry.name:
            return fetch_entry(entry), f"weights={name!r}, which are of {entry.built_as}"
    source = f"weights={printable(repr(name))}"
    file = hub_file(name)[-1] if name.startswith(HUB) else name
    if not file.endswith((*OURS, *PUBLISHED)):
        if name == "imagenet":
            find(name)
        raise ValueError(
            "`weights` must be None, a name in keras_gimlp.weights.list_weights(), "
            '"hf://OWNER/NAME", or the path of a `.safetensors`, `.pth`, `.weights.h5` or `.keras` '
            f"file. Received: {source}"
        )
    path = fetch_from_hub(name) if name.startswith(HUB) else fetch_from_disk(name, source)
    check_hash(path, expected_hash(published_name(name)))
    return path, source


def check_patches(entry, model):
    """Raises `ValueError` if the patches of `model` differ from those of the entry's model."""
    size = entry.arguments.get("patch_size")
    here = {x.kernel_size[0] for x in model.layers if x.name == "patch_embedding"}
    if size and here - {size}:
        raise ValueError(
            f"The weights {entry.name!r} are of {entry.built_as}: add `patch_size={size}`. "
            f"Received: patch_size={here.pop()}"
        )


def fetch_entry(entry):
    """Returns the path of a file of a catalogue's entry, downloading it at the first call.

    Files on the Hugging Face hub go into the hub's own cache, others into `cache_folder()`. A file
    that was put into `cache_folder()` by hand is used in both cases.

    Raises:
        ConnectionError: If the file cannot be downloaded. The message says which file to put
            where.
        ValueError: If the content has another hash than the published one.
        PermissionError: If the cache cannot be written.
    """
    files = [file for file in entry.files if can_read(file[0])] or entry.files
    places = [cache_folder() / entry.cached_as(address) for address, _ in files]
    for place, (_, sha256) in zip(places, files, strict=True):
        if place.is_file():
            check_hash(place, sha256)
            return place
    address, sha256 = files[0]
    by_hand = f"download {url_of(address)} elsewhere and put it here as {places[0]}"
    if not address.startswith(HUB):
        return fetch_from_url(address, sha256, places[0], by_hand)
    path = fetch_from_hub(address, by_hand)
    check_hash(path, sha256)
    return path


def cache_folder():
    """Returns the folder of downloaded weights, which `keras.applications` uses too."""
    return pathlib.Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"


def can_read(address):
    """Returns whether the library is installed that reads the file."""
    return not address.endswith(".pth") or version_of_torch() >= TORCH


def fetch_from_disk(name, source):
    """Returns the path of a file that can be opened.

    Raises:
        FileNotFoundError: If there is no file.
        PermissionError: If the file may not be read.
        ValueError: If `name` is not the path of a file.
    """
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


def fetch_from_url(url, sha256, path, by_hand):
    """Returns `path`, to which the file is downloaded whole or not at all.

    Raises as `fetch_entry` does.
    """
    pooch = needed("pooch", "download published weights")
    import requests  # with which pooch downloads

    def checked(url, temporary, _):
        pooch.HTTPDownloader()(url, temporary, None)
        # Before pooch moves the file, in one step, to where other processes look for it.
        check_hash(temporary, sha256)

    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(url, None, path.name, path.parent, downloader=checked)
    except requests.exceptions.RequestException as error:
        raise ConnectionError(
            f"{url} could not be downloaded. Without a network, {by_hand}. The cause: {error}"
        ) from error
    except PermissionError as error:
        raise PermissionError(
            f"Downloaded weights are kept in {path.parent}, which cannot be written: {error}. "
            "The environment variable KERAS_HOME names another place for its parent folder."
        ) from error
    return path


def fetch_from_hub(handle, by_hand=None):
    """Returns the path of a file on the Hugging Face hub, downloading it at the first call.

    Args:
        handle: As `hub_file` takes it.
        by_hand: For the error message, what to do without a network.

    Raises:
        ConnectionError: If the file cannot be downloaded and is not in the hub's cache.
        ValueError: If the handle is of another form, or there is no such repository, revision or
            file.
    """
    repository, revision, file = hub_file(handle)
    hub = needed("huggingface_hub", "fetch weights from the Hugging Face hub")
    errors = importlib.import_module("huggingface_hub.errors")
    try:
        return pathlib.Path(hub.hf_hub_download(repository, file, revision=revision))
    except errors.LocalEntryNotFoundError as error:
        by_hand = by_hand or f"download {url_of(handle)} elsewhere and give its path as `weights`"
        raise ConnectionError(
            f"{handle} could not be downloaded, and is not in the hub's cache. Without a network, "
            f"{by_hand}."
        ) from error
    except (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.EntryNotFoundError,
    ) as error:
        raise ValueError(
            f"There is no such file on the Hugging Face hub, or it is not public: {file} in "
            f"{repository}{f' at {revision}' if revision else ''}. Received: weights={handle!r}"
        ) from error


def check_hash(path, expected):
    """Raises `ValueError` unless the SHA-256 of the file begins with `expected`."""
    if not expected:
        return
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if not sha256.startswith(expected):
        raise ValueError(
            "The weights file is not the published one, or is damaged: its SHA-256 is "
            f"{sha256}, published is {expected}. Delete it and fetch it again. "
            f"Received: weights={str(path)!r}"
        )
