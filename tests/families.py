"""One small model of each family, for what holds for all of them."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp import applications
from tests.conftest import MORE, mostly_once

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
# One family for each way to compute: tokens, stages of maps, one map. For facts about the code
# that all families share, these stand for the others on all backends but one.
PATHS = ("aMLP", "giCycleMLP", "AFT-conv")
EVERY_PATH = pytest.mark.parametrize("family", mostly_once(FAMILIES, *PATHS))


def families_and(names, ways):
    """Parametrizes a test by each way with the families in `PATHS`, and the first with the others.

    Args:
        names: String, the names of what a way consists of, as for `pytest.mark.parametrize`.
        ways: List of values, or of tuples of values.
    """
    cases = [
        pytest.param(
            family,
            *(way if isinstance(way, tuple) else (way,)),
            marks=[] if family in PATHS else MORE,
        )
        for family in FAMILIES
        for way in (ways if family in PATHS else ways[:1])
    ]
    return pytest.mark.parametrize(f"family, {names}", cases)


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
