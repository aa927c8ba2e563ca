"""Fetches published files into the cache, whole or not at all."""

import hashlib
import importlib
import os
import pathlib

from keras_gimlp.weights.catalogue import expected_hash

HUB = "hf://"


def cache_folder():
    """Returns the folder of downloaded weights, the one of `keras.applications`."""
    return pathlib.Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"


def fetch(entry):
    """Returns the path of the file of a catalogue's entry, downloading it at the first call.

    Raises:
        ConnectionError: If the file can not be downloaded. The message says which file to put
            where.
        ValueError: If the content has another hash than the published one.
        PermissionError: If the cache cannot be written.
    """
    path = cache_folder() / entry.file_name
    if path.is_file():
        check_hash(path, entry.sha256)
        return path
    pooch = needed("pooch", "download published weights")
    import requests  # which pooch downloads with

    def download(url, temporary, _):
        pooch.HTTPDownloader()(url, temporary, None)
        # Before pooch moves the file, in one step, to where others find it.
        check_hash(temporary, entry.sha256)

    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(entry.url, None, path.name, path.parent, downloader=download)
    except requests.exceptions.RequestException as error:
        raise ConnectionError(
            f"The weights {entry.name!r} could not be downloaded. Without a network, download "
            f"{entry.url} elsewhere and put it here as {path}. The cause: {error}"
        ) from error
    except PermissionError as error:
        raise PermissionError(
            f"Downloaded weights are kept in {path.parent}, which cannot be written: {error}. "
            "The environment variable KERAS_HOME names another place for its parent folder."
        ) from error
    return path


def fetch_from_hub(handle):
    """Returns the path of a file on the Hugging Face hub, downloading it at the first call.

    Args:
        handle: `"hf://OWNER/NAME"` for the repository's `model.safetensors`, or
            `"hf://OWNER/NAME/FILE"`.

    Raises:
        ConnectionError: If the file can not be downloaded and is not in the hub's cache.
        ValueError: If the handle is of another form, there is no such repository or file, or the
            content has another hash than the published one.
    """
    parts = handle.removeprefix(HUB).split("/", 2)
    if len(parts) < 2 or not all(parts):
        raise ValueError(
            '`weights` on the Hugging Face hub must be "hf://OWNER/NAME" or '
            f'"hf://OWNER/NAME/FILE". Received: weights={handle!r}'
        )
    hub = needed("huggingface_hub", "fetch weights from the Hugging Face hub")
    repository, file = "/".join(parts[:2]), parts[2] if len(parts) > 2 else "model.safetensors"
    try:
        path = pathlib.Path(hub.hf_hub_download(repository, file))
    except (hub.errors.RepositoryNotFoundError, hub.errors.EntryNotFoundError) as error:
        if isinstance(error, hub.errors.LocalEntryNotFoundError):
            raise ConnectionError(
                f"{handle} could not be downloaded, and is not in the hub's cache. Without a "
                f"network, download https://huggingface.co/{repository}/resolve/main/{file} "
                "elsewhere and give its path as `weights`."
            ) from error
        raise ValueError(
            f"There is no such file on the Hugging Face hub, or it is not public: {file} in "
            f"{repository}. Received: weights={handle!r}"
        ) from error
    if parts[0] == "timm" and file == "model.safetensors":
        check_hash(path, expected_hash(f"{parts[1]}.safetensors"))
    return path


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
