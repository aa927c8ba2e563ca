"""What somebody who has only the file needs to know: its card, a JSON file beside it."""

import dataclasses
import hashlib
import importlib.metadata

import keras

from recipes.export import signature, vocabulary
from recipes.trained import record

PACKAGES = ("keras_gimlp", "keras", "keras-hub", "tensorflow", "jax", "torch")


def card_of(model, of, form, path, source):
    """Returns the card of a file.

    Args:
        model: The Keras model.
        of: Its `Signature`.
        form: The `Format` that it was written in.
        path: Path of the file or folder.
        source: The recipe's configuration, which says where the model came from.
    """
    parts = sorted(p for p in path.parent.rglob("*") if p.is_file())
    return {
        "model": source.model or model.name,
        "source": {"weights": source.weights, "preset": source.preset},
        "format": source.format,
        "runtime": form.runtime,
        "backend": keras.backend.backend(),
        "inputs": [dataclasses.asdict(x) for x in of.inputs],
        "sizes": {name: [signature.LEAST[name], of.most[name]] for name in of.free()},
        "outputs": list(of.outputs),
        "preprocessing": preprocessing(model, of, path, source),
        "parameters": model.count_params(),
        "vocabulary_size": of.kinds,
        "bytes": sum(p.stat().st_size for p in parts),
        "sha256": {str(p.relative_to(path.parent)): sha256(p) for p in parts},
        "versions": versions(form, source.quantize),
    }


def preprocessing(model, of, path, source):
    """Returns what has to be done with a photo or a text before, `None` where that is not known."""
    if of.kinds is not None:
        return vocabulary.describe(model, path)
    scale = record.transform_of(source)
    if scale is None:
        return None
    height, width, channels = of.inputs[0].shape[1:]
    return {
        "height": height,
        "width": width,
        "crop": scale.crop,
        "interpolation": scale.interpolation,
        "mean": scale.mean[:channels],
        "deviation": scale.deviation[:channels],
    }


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions(form, quantize):
    """Returns the versions of what wrote and checked the file."""
    found = {}
    for name in dict.fromkeys((*PACKAGES, *form.needs(keras.backend.backend(), quantize))):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
