"""Inputs and outputs of a model outside of Keras: names, free sizes, and examples."""

import dataclasses
import math

import keras
import numpy as np

# The smallest and the largest sizes of a call, where a model states none itself.
LEAST = {"batch": 1, "tokens": 2, "masks": 1, "height": 64, "width": 64}
MOST = dict.fromkeys(LEAST, 4096)
# Sizes to trace with: all different, and not 1, which PyTorch would take for a fixed size.
TRACED = {"batch": 5, "tokens": 11, "masks": 7, "height": 64, "width": 96}
PADDING = 1e4  # `SpanExtractor` gives padding minus that, which is no scale of the other outputs


@dataclasses.dataclass(frozen=True)
class Input:
    """An input of a model: `shape` has integers, and names for the sizes that a caller chooses."""

    name: str
    dtype: str
    shape: tuple


@dataclasses.dataclass(frozen=True)
class Signature:
    """Inputs and names of outputs of a Keras model, in the order of the exported one.

    `most` has the largest value of each size that a caller chooses, `vocabulary_size` the number of
    tokens that a text model knows, `None` for images.
    """

    inputs: tuple
    outputs: tuple
    most: dict
    vocabulary_size: int | None

    @property
    def by_name(self):
        """Whether the model takes a dictionary of its inputs."""
        return self.vocabulary_size is not None

    def examples(self, seed, **sizes):
        """Returns a dictionary of random inputs of the given sizes, the ends of texts padded.

        Sizes are made smaller where the model does not take them.
        """
        rng = np.random.default_rng(seed)
        sizes = {name: min(size, self.most[name]) for name, size in sizes.items()}
        inputs = {}
        for x in self.inputs:
            shape = tuple(sizes.get(n, n) for n in x.shape)
            if x.name == "token_ids":
                value = rng.integers(0, self.vocabulary_size, shape)
            elif x.name == "padding_mask":
                lengths = rng.integers(LEAST["tokens"], shape[1] + 1, (shape[0], 1))
                value = np.arange(shape[1]) < lengths
            elif x.name == "mask_positions":
                value = rng.integers(0, LEAST["tokens"], shape)
            elif x.dtype.startswith("int"):  # segments
                value = rng.integers(0, 2, shape)
            else:
                value = rng.normal(size=shape)
            inputs[x.name] = value.astype(x.dtype)
        return inputs

    def free(self):
        """Returns the names of the sizes that a caller chooses, in their order."""
        return [n for n in dict.fromkeys(n for x in self.inputs for n in x.shape) if n in self.most]


AXES = {"images": ("batch", "height", "width", None), "mask_positions": ("batch", "masks")}
AXES |= dict.fromkeys(("token_ids", "segment_ids", "padding_mask"), ("batch", "tokens"))


def signature_of(model):
    """Returns the `Signature` of a functional model of this package, or ends the program."""
    try:
        tensors = model.input if isinstance(model.input, dict) else {"images": model.input}
        inputs = tuple(input_of(model, name, tensor) for name, tensor in tensors.items())
    except (AttributeError, KeyError, ValueError) as error:
        raise SystemExit(
            f"{model.name} takes neither images nor texts as the models of keras_gimlp do."
        ) from error
    length = getattr(backbone_of(model), "max_sequence_length", None)
    return Signature(
        inputs=inputs,
        outputs=names_of(model.output),
        most=MOST | ({"tokens": length} if length else {}),
        vocabulary_size=getattr(backbone_of(model), "vocabulary_size", None),
    )


def input_of(model, name, tensor):
    """Returns the `Input` for a tensor that a model takes."""
    shape = [given or free for given, free in zip(tensor.shape, AXES[name], strict=True)]
    if getattr(backbone_of(model), "spatial", None) == "dense" and shape[1] == "tokens":
        shape[1] = backbone_of(model).max_sequence_length
    return Input(name, keras.backend.standardize_dtype(tensor.dtype), tuple(shape))


def backbone_of(model):
    return getattr(model, "backbone", model)


def names_of(outputs):
    """Returns a name for each tensor of a model's outputs, in the order in which Keras has them."""
    if isinstance(outputs, dict):
        return tuple(sorted(outputs))
    count = len(keras.tree.flatten(outputs))
    return ("outputs",) if count == 1 else tuple(f"outputs_{i}" for i in range(count))


def call(model, inputs):
    """Returns the outputs of a model in a tuple, from its inputs by name."""
    x = inputs if isinstance(model.input, dict) else next(iter(inputs.values()))
    outputs = model(x, training=False)
    return tuple(keras.tree.flatten(outputs))


def error(computed, expected):
    """Returns the largest difference of arrays, as a share of the largest value expected."""
    worst = 0.0
    for a, b in zip(computed, expected, strict=True):
        if a.shape != b.shape or not np.isfinite(a).all():
            return math.inf
        scale = np.abs(b[np.abs(b) < PADDING]).max(initial=1e-30)
        worst = max(worst, float(np.abs(a - b).max(initial=0) / scale))
    return worst
