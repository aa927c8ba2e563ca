"""Each public layer, described once: `test_layers.py` runs every invariant over all of these."""

import dataclasses

import keras
import numpy as np

from keras_gimlp import layers


@dataclasses.dataclass(frozen=True)
class Description:
    """How to make a layer and call it.

    `arguments` gives every argument of the constructor a value that is not its default; `inputs`
    the shapes of the tensors of one call, with the batch; `mixes_any_length` whether the layer
    takes any number of tokens.
    """

    layer: type
    arguments: dict
    inputs: dict
    mixes_any_length: bool = False

    @property
    def name(self):
        return f"{self.layer.__name__}({', '.join(self.inputs)})"

    def make(self, **kwargs):
        return self.layer(**self.arguments, **kwargs)

    def draw(self, seed=0, batch=None, tokens=None):
        """Returns random inputs, by name, of another batch size or number of tokens if asked."""
        rng = np.random.default_rng(seed)
        return {
            name: rng.normal(size=(batch or shape[0], tokens or shape[1], shape[2])).astype(
                "float32"
            )
            for name, shape in self.inputs.items()
        }


GATE = {
    "epsilon": 1e-3,
    "kernel_initializer": keras.initializers.RandomNormal(stddev=0.3, seed=1),
    "bias_initializer": keras.initializers.RandomNormal(stddev=0.5, seed=2),
}

DESCRIPTIONS = [
    Description(layers.SpatialGatingUnit, GATE, {"inputs": (3, 6, 8)}),
    Description(layers.SpatialGatingUnit, GATE, {"inputs": (3, 6, 8), "gate_addend": (3, 6, 4)}),
    Description(
        layers.TinyAttention,
        {"units": 5, "attention_dim": 4},
        {"inputs": (3, 6, 8)},
        mixes_any_length=True,
    ),
]
