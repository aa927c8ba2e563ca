"""The description of a file, in JSON beside it, for those who have only the file."""

import dataclasses
import hashlib

import keras

from recipes.export.signature import LEAST
from recipes.program import machine
from recipes.trained import record

SAMPLE = "An example of what a text becomes."
PACKAGES = ("keras_gimlp", "keras", "keras-hub", "tensorflow", "jax", "torch")


def describe(model, signature, format, path, config):
    """Returns the description of the file, or folder, at `path`."""
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
        return tokenizer(model, path)
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


def write_vocabulary(model, path):
    """Writes the vocabulary of a model's tokenizer into the folder `path.tokenizer`, if it has one.

    It is stored as everywhere: a file of words, of words and merges, or a SentencePiece model.
    """
    preprocessor = getattr(model, "preprocessor", None)
    if preprocessor is not None:
        folder = folder_of(path)
        folder.mkdir()
        preprocessor.tokenizer.save_assets(str(folder))


def folder_of(path):
    return path.with_name(f"{path.name}.tokenizer")


def tokenizer(model, path):
    """Returns the steps from a text to its tokens, `None` where they are not known."""
    preprocessor = getattr(model, "preprocessor", None)
    if preprocessor is None:
        return None
    own = preprocessor.tokenizer
    if not preprocessor.built:
        preprocessor.build(None)
    token_ids, _ = preprocessor.packer((own([SAMPLE]),))
    settings = own.get_config()
    return {
        "tokenizer": type(own).__name__,
        "files": folder_of(path).name,
        "lowercase": settings.get("lowercase"),
        "special_tokens": {x: own.token_to_id(x) for x in own.special_tokens},
        "vocabulary_size": own.vocabulary_size(),
        "sequence_length": preprocessor.sequence_length,
        "example": {
            "text": SAMPLE,
            "token_ids": [int(x) for x in token_ids[0] if x != own.pad_token_id],
        },
    }


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions(format, quantize):
    """Returns the versions of the packages that wrote and checked the file."""
    packages = (*PACKAGES, *format.needs(keras.backend.backend(), quantize))
    known = {name: machine.version(name) for name in dict.fromkeys(packages)}
    return {name: number for name, number in known.items() if number}
