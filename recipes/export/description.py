"""The description of a file, in JSON beside it, for those who have only the file."""

import dataclasses
import hashlib

import keras

from recipes.export import vocabulary
from recipes.export.signature import LEAST
from recipes.program import machine
from recipes.trained import record

PACKAGES = ("keras_gimlp", "keras", "keras-hub", "tensorflow", "jax", "torch")


def describe(model, signature, format, path, config):
    """Returns the description of a file.

    Args:
        model: The Keras model.
        signature: Its `Signature`.
        format: The `Format` that it was written in.
        path: Path of the file or folder.
        config: The options of `recipes.export`, which say where the model came from.
    """
    parts = sorted(p for p in path.parent.rglob("*") if p.is_file())
    return {
        "model": config.model or model.name,
        "source": {"weights": config.weights, "preset": config.preset},
        "format": config.format,
        "runtime": format.runtime,
        "backend": keras.backend.backend(),
        "inputs": [dataclasses.asdict(x) for x in signature.inputs],
        "sizes": {name: [LEAST[name], signature.most[name]] for name in signature.free()},
        "outputs": list(signature.outputs),
        "preprocessing": preprocessing(model, signature, path, config),
        "parameters": model.count_params(),
        "vocabulary_size": signature.vocabulary_size,
        "bytes": sum(p.stat().st_size for p in parts),
        "sha256": {str(p.relative_to(path.parent)): sha256(p) for p in parts},
        "versions": versions(format, config.quantize),
    }


def preprocessing(model, signature, path, config):
    """Returns the steps from a photo or a text to the inputs, `None` where they are not known."""
    if signature.by_name:
        return vocabulary.describe(model, path)
    scale = record.transform_of(config)
    if scale is None:
        return None
    height, width, channels = signature.inputs[0].shape[1:]
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


def versions(format, quantize):
    """Returns the versions of the packages that wrote and checked the file."""
    packages = (*PACKAGES, *format.needs(keras.backend.backend(), quantize))
    known = {name: machine.version(name) for name in dict.fromkeys(packages)}
    return {name: number for name, number in known.items() if number}
