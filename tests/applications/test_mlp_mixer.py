"""MLP-Mixer: the paper's formula, timm's outputs."""

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
    golden = GOLDEN / "timm_mixer_tiny"
    config = json.loads((golden / "config.json").read_text())
    values = np.load(golden / "values.npz")
    tokens_ratio, channels_ratio = config["mlp_ratio"]
    model = applications.MLPMixer(
        include_top,
        golden / "model.safetensors",
        input_shape=(config["img_size"], config["img_size"], 3),
        depth=config["num_blocks"],
        dim=config["embed_dim"],
        tokens_mlp_dim=int(config["embed_dim"] * tokens_ratio),
        channels_mlp_dim=int(config["embed_dim"] * channels_ratio),
        patch_size=config["patch_size"],
        **({"classes": 10, "classifier_activation": None} if include_top else {}),
    )
    expected = values["logits" if include_top else "features"]
    np.testing.assert_allclose(run(model, values["images"]), expected, rtol=1e-5, atol=1e-5)


def test_block_equals_the_formula(rng):
    model = tiny("MLPMixer", include_top=False, input_shape=(8, 12, 3))
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape) / 2)
    ends = [model.get_layer(name).output for name in ("tokens", "block0_channels_add")]
    tokens, block = (
        ops.convert_to_numpy(x) for x in keras.Model(model.input, ends)(images(2, 8, 12, 3))
    )
    weights = {v.path: ops.convert_to_numpy(v) for v in model.weights}

    def half(mixed):
        parts = ("norm/gamma", "norm/beta", "expand/kernel", "expand/bias")
        parts += ("contract/kernel", "contract/bias")
        values = [weights[f"block0_{mixed}_{part}"] for part in parts]
        return [v.T for v in values] if mixed == "tokens" else values

    for i in range(2):
        expected = reference.mixer_block(tokens[i], half("tokens"), half("channels"), 1e-6)
        np.testing.assert_allclose(block[i], expected, rtol=1e-4, atol=1e-4)
