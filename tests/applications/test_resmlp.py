"""ResMLP: the paper's formula, timm's outputs."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp import applications
from tests import reference
from tests.conftest import GOLDEN
from tests.families import images, run, tiny


@pytest.mark.parametrize("include_top", [True, False])
def test_features_and_logits_equal_those_of_timm(include_top):
    golden = GOLDEN / "timm_resmlp_tiny"
    config = json.loads((golden / "config.json").read_text())
    values = np.load(golden / "values.npz")
    model = applications.ResMLP(
        include_top,
        golden / "model.safetensors",
        input_shape=(config["img_size"], config["img_size"], 3),
        depth=config["num_blocks"],
        dim=config["embed_dim"],
        mlp_ratio=config["mlp_ratio"],
        patch_size=config["patch_size"],
        **({"classes": 10, "classifier_activation": None} if include_top else {}),
    )
    expected = values["logits" if include_top else "features"]
    np.testing.assert_allclose(run(model, values["images"]), expected, rtol=1e-5, atol=1e-5)


def test_block_equals_the_formula(rng):
    model = tiny("ResMLP", include_top=False, input_shape=(8, 12, 3))
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape) / 2)
    ends = [model.get_layer(name).output for name in ("tokens", "block0_channels_add")]
    tokens, block = (
        ops.convert_to_numpy(x) for x in keras.Model(model.input, ends)(images(2, 8, 12, 3))
    )
    weights = {v.path: ops.convert_to_numpy(v) for v in model.weights}

    def of(*parts):
        return [weights[f"block0_{part}"] for part in parts]

    alpha, beta, W, b, scale = of(
        *("tokens_norm/alpha", "tokens_norm/beta", "tokens_mix/kernel", "tokens_mix/bias"),
        "tokens_scale/alpha",
    )
    channels = of(
        *("channels_norm/alpha", "channels_norm/beta"),
        *("channels_expand/kernel", "channels_expand/bias"),
        *("channels_contract/kernel", "channels_contract/bias"),
        "channels_scale/alpha",
    )
    for i in range(2):
        expected = reference.resmlp_block(tokens[i], (alpha, beta, W.T, b, scale), channels)
        np.testing.assert_allclose(block[i], expected, rtol=1e-4, atol=1e-4)


def test_layer_scale_starts_at_the_published_value():
    published = {"ResMLP_S12": 0.1, "ResMLP_S24": 1e-5, "ResMLP_S36": 1e-6, "ResMLP_B24": 1e-6}
    for name, value in published.items():
        model = getattr(applications, name)(depth=1, dim=8, input_shape=(16, 16, 3))
        for half in ("tokens", "channels"):
            scale = ops.convert_to_numpy(model.get_layer(f"block0_{half}_scale").alpha)
            np.testing.assert_allclose(scale, value, rtol=1e-6)
