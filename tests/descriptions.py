"""Each public layer, described once: `test_layers.py` runs every invariant over all of these."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_gimlp import layers


@dataclasses.dataclass(frozen=True)
class Description:
    """How to make a layer and call it.

    `arguments` gives the arguments of the constructor values that are not its defaults; `inputs`
    the shapes of the tensors of one call, with the batch, a list of them where the layer takes a
    list; `takes_mask` whether it takes a mask over tokens, `mixes_any_length` any number of tokens.
    """

    layer: type
    arguments: dict
    inputs: dict
    takes_mask: bool = False
    mixes_any_length: bool = False

    @property
    def name(self):
        arguments = (
            str(v) for v in self.arguments.values() if v is None or isinstance(v, (str, bool))
        )
        return f"{self.layer.__name__}({', '.join((*self.inputs, *arguments))})"

    @property
    def has_weights(self):
        return self.layer is not layers.Inhibition

    @property
    def has_dense_layers(self):
        toeplitz = self.arguments.get("spatial") == "toeplitz"
        return self.has_weights and self.layer is not layers.Affine and not toeplitz

    def make(self, **kwargs):
        return self.layer(**self.arguments, **kwargs)

    def draw(self, seed=0, tokens=None):
        """Returns random inputs, by name, of another number of tokens if asked."""
        rng = np.random.default_rng(seed)

        def drawn(shape):
            shape = (shape[0], tokens or shape[1], *shape[2:])
            return rng.normal(size=shape).astype("float32")

        return keras.tree.map_shape_structure(drawn, self.inputs)

    def symbolic(self):
        return {
            name: [keras.Input(s[1:]) for s in shape]
            if isinstance(shape, list)
            else keras.Input(shape[1:], name=name)
            for name, shape in self.inputs.items()
        }


def refuses_other_integers(make, arguments):
    """Asserts that `make` takes a positive integer for each integer, or raises."""
    for name, value in arguments.items():
        for wrong in (True, 0, -1, 2.5) if type(value) is int else ():
            message = f"`{name}` must be an? (odd )?positive integer.* Received: {name}={wrong}$"
            with pytest.raises(ValueError, match=message):
                make(**arguments | {name: wrong})


def normal(seed, stddev=0.3):
    return keras.initializers.RandomNormal(stddev=stddev, seed=seed)


TOKENS = {"inputs": (3, 6, 8)}
IMAGES = {"inputs": (3, 5, 4, 8)}
GATE = {
    "epsilon": 1e-3,
    "kernel_initializer": normal(1),
    "bias_initializer": normal(2, stddev=0.5),
}
INHIBITED = {
    "units": 5,
    "hidden_units": 7,
    "inhibition": 0.5,
    "activation": "silu",
    "kernel_initializer": normal(3),
}

BIASED = {"sequence_length": 9, "bias_dim": 4, "bias_initializer": normal(7, stddev=1.0)}
BIASED = {"full": BIASED, "local": BIASED | {"window": 2}, "simple": {}}
CONVOLVED = {
    "num_heads": 4,
    "kernel_size": 3,
    "epsilon": 1e-3,
    "kernel_initializer": normal(8),
    "gamma_initializer": normal(9, stddev=1.0),
    "beta_initializer": normal(10, stddev=1.0),
}

DESCRIPTIONS = [
    Description(layers.SpatialGatingUnit, GATE, TOKENS, takes_mask=True),
    Description(
        layers.SpatialGatingUnit, GATE, TOKENS | {"gate_addend": (3, 6, 4)}, takes_mask=True
    ),
    *(
        Description(
            layers.SpatialGatingUnit,
            GATE | {"spatial": "toeplitz", "form": form, "sequence_length": 9},
            TOKENS | addend,
            takes_mask=True,
            mixes_any_length=True,
        )
        for form, addend in (
            ("split", {}),
            ("multiplicative", {}),
            ("additive", {"gate_addend": TOKENS["inputs"]}),
            ("linear", {}),
        )
    ),
    Description(
        layers.SpatialGatingUnit, GATE | {"form": "multiplicative"}, TOKENS, takes_mask=True
    ),
    Description(
        layers.TinyAttention,
        {"units": 5, "attention_dim": 4},
        TOKENS,
        takes_mask=True,
        mixes_any_length=True,
    ),
    *(
        Description(
            layers.AttentionFreeMixing,
            {"form": form, "causal": causal} | BIASED[form],
            TOKENS,
            takes_mask=True,
            mixes_any_length=True,
        )
        for form, causal in (("full", False), ("full", True), ("local", True), ("simple", True))
    ),
    Description(
        layers.AttentionFreeMixing,
        {"form": "local", "causal": False} | BIASED["local"] | {"bias_dim": None},
        TOKENS,
        takes_mask=True,
        mixes_any_length=True,
    ),
    Description(
        layers.AttentionFreeMixing,
        {"form": "simple"},
        TOKENS,
        takes_mask=True,
        mixes_any_length=True,
    ),
    Description(layers.AttentionFreeConvolution, CONVOLVED, IMAGES),
    Description(
        layers.AttentionFreeConvolution, CONVOLVED, TOKENS, takes_mask=True, mixes_any_length=True
    ),
    *(
        Description(
            layers.CombinerAttention,
            {"num_heads": 2, "pattern": pattern} | arguments,
            TOKENS,
            takes_mask=True,
            mixes_any_length=True,
        )
        for pattern, arguments in (
            ("fixed", {"segment_size": 4}),
            ("fixed", {"segment_size": 3, "causal": True}),
            ("logsparse", {"causal": True}),
            ("axial_vertical", {"columns": 2, "causal": True}),
            ("axial_horizontal", {"columns": 2, "causal": True}),
            ("axial_rowmajor", {"columns": 4, "causal": True}),
        )
    ),
    *(
        Description(
            layers.CycleFC,
            {"units": 5, "axis": axis, "kernel_size": 5, "kernel_initializer": normal(4)},
            IMAGES,
        )
        for axis in ("width", "height")
    ),
    Description(
        layers.SplitAttention,
        {"reduction": 2, "kernel_initializer": normal(5)},
        {"inputs": [(3, 5, 4, 8)] * 3},
    ),
    Description(
        layers.Inhibition, {"inhibition": 0.5}, TOKENS, takes_mask=True, mixes_any_length=True
    ),
    Description(layers.Inhibition, {"inhibition": 0.5, "scope": "token"}, IMAGES),
    Description(
        layers.GateWithInhibition, INHIBITED, TOKENS, takes_mask=True, mixes_any_length=True
    ),
    Description(
        layers.GateWithInhibition, INHIBITED | {"residual": False, "scope": "token"}, IMAGES
    ),
    Description(
        layers.GateWithInhibition,
        INHIBITED | {"gates": 2},
        TOKENS,
        takes_mask=True,
        mixes_any_length=True,
    ),
    Description(layers.Affine, {"alpha_initializer": normal(6)}, TOKENS),
    Description(layers.Affine, {"alpha_initializer": normal(6), "use_bias": False}, IMAGES),
]
