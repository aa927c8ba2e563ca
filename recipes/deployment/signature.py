"""What a model takes and gives outside of Keras: names, sizes that are free, and examples."""

import dataclasses
import math

import keras
import numpy as np

# The largest sizes of a call, where a model states none itself.
MOST = {"batch": 4096, "tokens": 4096, "masks": 4096, "height": 4096, "width": 4096}
SHORTEST = 2  # tokens of an example, which the mixing of tokens needs


@dataclasses.dataclass(frozen=True)
class Input:
    """An input of a model.

    Attributes:
        name: Its name, by which a text model knows it.
        dtype: Name of its type.
        shape: Tuple of integers, and of names for the sizes that a caller chooses.
    """

    name: str
    dtype: str
    shape: tuple


@dataclasses.dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a Keras model, in the order of the exported one.

    Attributes:
        inputs: Tuple of `Input`.
        outputs: Tuple of names.
        most: Dictionary, the largest value of each size that a caller chooses.
        kinds: Integer, how many kinds of tokens a text model knows, `None` for images.
    """

    inputs: tuple
    outputs: tuple
    most: dict
    kinds: int | None

    @property
    def by_name(self):
        """Whether the model takes a dictionary of its inputs."""
        return self.kinds is not None

    def examples(self, seed, **sizes):
        """Returns a dictionary of random inputs of the given sizes, the ends of texts padded."""
        rng = np.random.default_rng(seed)
        found = {}
        for x in self.inputs:
            shape = tuple(sizes.get(n, n) for n in x.shape)
            if x.name == "token_ids":
                value = rng.integers(0, self.kinds, shape)
            elif x.name == "padding_mask":
                lengths = rng.integers(SHORTEST, shape[1] + 1, (shape[0], 1))
                value = np.arange(shape[1]) < lengths
            elif x.name == "mask_positions":
                value = rng.integers(0, sizes["tokens"], shape)
            elif x.dtype.startswith("int"):  # segments
                value = rng.integers(0, 2, shape)
            else:
                value = rng.normal(size=shape)
            found[x.name] = value.astype(x.dtype)
        return found

    def free(self):
        """Returns the names of the sizes that a caller chooses, in their order."""
        return [n for n in dict.fromkeys(n for x in self.inputs for n in x.shape) if n in self.most]


def signature_of(model):
    """Returns the `Signature` of a functional model of this package."""
    tensors = model.input if isinstance(model.input, dict) else {"images": model.input}
    backbone = getattr(model, "backbone", model)
    length = getattr(backbone, "max_sequence_length", None)
    fixed = getattr(backbone, "spatial", None) == "dense"
    inputs = []
    for name, tensor in tensors.items():
        if name == "images":
            free = ("batch", "height", "width", None)
        else:
            free = ("batch", "masks" if name in MASKED else "tokens")
        shape = [given or chosen for given, chosen in zip(tensor.shape, free, strict=True)]
        if fixed and shape[1] == "tokens":
            shape[1] = length
        inputs.append(Input(name, keras.backend.standardize_dtype(tensor.dtype), tuple(shape)))
    return Signature(
        inputs=tuple(inputs),
        outputs=names_of(model.output),
        most=MOST | ({"tokens": length} if length else {}),
        kinds=getattr(backbone, "vocabulary_size", None),
    )


MASKED = ("mask_positions",)


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


def error(found, expected):
    """Returns the largest difference of arrays, as a share of the largest value expected."""
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        if a.shape != b.shape:
            return math.inf
        worst = max(worst, np.abs(a - b).max(initial=0) / np.abs(b).max(initial=1e-30))
    return float(worst) if np.isfinite(worst) else math.inf
