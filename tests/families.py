"""One small model of each family, for what holds for all of them."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp import applications

PATCHES = {"input_shape": (8, 8, 3), "depth": 2, "dim": 8, "patch_size": 4}
STAGES = {"depths": (1, 2), "dims": (8, 12), "mlp_ratios": (2, 2), "stem_size": 3}
STAGES |= {"input_shape": (8, 8, 3), "stem_strides": 2}
FAMILIES = {
    "gMLP": (applications.gMLP, PATCHES | {"ffn_dim": 16}),
    "aMLP": (applications.gMLP, PATCHES | {"ffn_dim": 16, "attention_dim": 4}),
    "CycleMLP": (applications.CycleMLP, STAGES),
    "giCycleMLP": (applications.CycleMLP, STAGES | {"gating": "gate"}),
    "MLPMixer": (
        applications.MLPMixer,
        PATCHES | {"tokens_mlp_dim": 6, "channels_mlp_dim": 12},
    ),
    "ResMLP": (applications.ResMLP, PATCHES | {"layer_scale": 0.5}),
    "AFT": (applications.AFT, PATCHES | {"bias_dim": 4}),
    "AFT-conv": (
        applications.AFT,
        PATCHES | {"form": "conv", "num_heads": 2, "kernel_size": 3},
    ),
}
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)


def tiny(family="gMLP", **kwargs):
    """A model of two or three blocks on images of 8 x 8 pixels: four tokens, or a map of 4 x 4."""
    builder, sizes = FAMILIES[family]
    return builder(**(sizes | kwargs))


def images(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def run(model, x):
    """Returns the model's outputs as NumPy arrays, computed the quickest way on each backend."""
    # Eagerly, JAX compiles every operation by itself; TensorFlow takes seconds to make a graph.
    outputs = model.predict_on_batch(x) if keras.backend.backend() == "jax" else model(x)
    return keras.tree.map_structure(ops.convert_to_numpy, outputs)
