"""Files that `recipes.export` wrote, and their steps in ONNX Runtime and OpenVINO."""

import json
import pathlib

import numpy as np

from recipes.export import formats
from studies.speed.libraries import OPENVINO, RUNTIMES

# The precision of OpenVINO. Between products of integers: its default where processors have bf16.
HINTS = {"float32": "f32", "mixed_bfloat16": "bf16", "int8": "bf16"}


def load_library():
    """Does nothing: a runtime is loaded with the file."""


def card_of(path):
    """Returns the card of a file, or ends the program if it has no card of a known format."""
    try:
        card = json.loads(pathlib.Path(f"{path}.json").read_text())
        return card | {"library": RUNTIMES[card["format"]], "int8": bool(card["quantized"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        known = " and ".join(RUNTIMES)
        raise SystemExit(
            f"--files takes {known} files of recipes.export, with the card beside them. "
            f"Received: {path} ({type(error).__name__}: {error})"
        ) from None


def prepare(subject):
    """Returns a function that computes a batch, and the facts about the model."""
    card = card_of(subject.model)
    inputs = {x["name"]: example(x, subject, card) for x in card["inputs"]}
    if subject.library == OPENVINO:
        compute = formats.read_openvino(subject.model, HINTS[subject.precision])
    else:
        compute = formats.read_onnx(subject.model)
    return lambda: compute(inputs), {"parameters": card["parameters"], "macs": None}


def example(x, subject, card):
    """Returns random values for an input of a card."""
    sizes = {"batch": subject.batch_size, "masks": 1} | dict.fromkeys(
        ("tokens", "height", "width"), subject.size
    )
    shape = tuple(sizes.get(n, n) for n in x["shape"])
    rng = np.random.default_rng(0)
    if x["dtype"].startswith("float"):
        return rng.normal(size=shape).astype(x["dtype"])
    if x["name"] == "token_ids":
        return rng.integers(card["vocabulary_size"], size=shape).astype(x["dtype"])
    return (np.ones if x["name"] == "padding_mask" else np.zeros)(shape, x["dtype"])
