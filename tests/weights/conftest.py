"""A model and its published file, for all tests of weights."""

import numpy as np
import pytest

from keras_gimlp import weights
from tests.families import tiny

PUBLISHED_FAMILIES = pytest.mark.parametrize("family", ["gMLP", "CycleMLP", "MLPMixer", "ResMLP"])


def randomized(family, seed=0, **kwargs):
    model = tiny(family, **({"classes": 3} | kwargs))
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape))
    return model


def assert_equal(expected, got):
    """Checks that two lists of weights have the same values."""
    for one, other in zip(expected, got, strict=True):
        np.testing.assert_array_equal(other, one)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Returns a gMLP and the path of its weights as timm would publish them."""
    model = randomized("gMLP")
    path = tmp_path_factory.mktemp("exported") / "gmlp.safetensors"
    weights.export_weights(model, path)
    return model, path
