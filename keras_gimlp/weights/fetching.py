"""Fetches published files into the cache, whole or not at all."""

import hashlib
import importlib
import importlib.metadata
import os
import pathlib
import re

from keras_gimlp.weights.entry import HUB, hub_file, url_of


def cache_folder():
    """Returns the folder of downloaded weights, the one of `keras.applications`."""
    return pathlib.Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"


def fetch(entry):
    """Returns the path of a file of a catalogue's entry, downloading it at the first call.

    Files on the Hugging Face hub go into the hub's own cache, others into `cache_folder()`. A file
    that was put into `cache_folder()` by hand is taken in both cases.

    Raises:
        ConnectionError: If the file can not be downloaded. The message says which file to put
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
        return download(address, sha256, places[0], by_hand)
    path = fetch_from_hub(address, by_hand)
    check_hash(path, sha256)
    return path


def can_read(address):
    """Returns whether the file is of a kind for which nothing is missing here."""
    return not address.endswith(".pth") or version_of_torch() >= TORCH


def download(url, sha256, path, by_hand):
    """Downloads a file to `path`. Raises as `fetch` does."""
    pooch = needed("pooch", "download published weights")
    import requests  # which pooch downloads with

    def checked(url, temporary, _):
        pooch.HTTPDownloader()(url, temporary, None)
        # Before pooch moves the file, in one step, to where others find it.
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
        handle: `"hf://OWNER/NAME"` for the repository's `model.safetensors`, or
            `"hf://OWNER/NAME/FILE"`. `@REVISION` after `NAME` pins a commit, a tag or a branch.
        by_hand: For the error message, what to do without a network.

    Raises:
        ConnectionError: If the file can not be downloaded and is not in the hub's cache.
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
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(expected):
        raise ValueError(
            "The weights file is not the published one, or is damaged: its SHA-256 is "
            f"{found}, published is {expected}. Delete it and fetch it again. "
            f"Received: weights={str(path)!r}"
        )


def needed(package, purpose):
    """Returns the imported package, or raises an `ImportError` that says how to get it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f'{package} is needed to {purpose}: pip install "keras_gimlp[weights]"'
        ) from error


# The weights-only readers of earlier versions can be made to execute code (CVE-2025-32434).
TORCH = (2, 6)


def version_of_torch():
    """Returns the first two numbers of PyTorch's version, `()` where it is not installed."""
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def needed_torch(purpose, at_least=()):
    """Returns the imported PyTorch, or raises an `ImportError` that says how to get it."""
    found = version_of_torch()
    if found and found >= at_least:
        return importlib.import_module("torch")
    number = ".".join(map(str, at_least))
    raise ImportError(
        f"PyTorch{f' {number} or later' if number else ''} is needed to {purpose}, whatever the "
        f"backend: pip install {repr(f'torch>={number}') if number else 'torch'}. Installed is "
        f"{'.'.join(map(str, found)) or 'none'}."
    )
