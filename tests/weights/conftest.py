"""A model and its published file, for all tests of weights."""

import numpy as np
import pytest

from keras_gimlp import weights
from tests.families import tiny


def randomized(family, seed=0, **kwargs):
    model = tiny(family, **({"classes": 3} | kwargs))
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape))
    return model


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Returns a gMLP and the path of its weights as timm would publish them."""
    model = randomized("gMLP")
    path = tmp_path_factory.mktemp("exported") / "gmlp.safetensors"
    weights.export_weights(model, path)
    return model, path
