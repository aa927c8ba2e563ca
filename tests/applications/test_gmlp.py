"""gMLP and aMLP on images: the paper's formula, timm's outputs."""

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
    golden = GOLDEN / "timm_gmlp_tiny"
    config = json.loads((golden / "config.json").read_text())
    values = np.load(golden / "values.npz")
    model = applications.gMLP(
        include_top,
        golden / "model.safetensors",
        input_shape=(config["img_size"], config["img_size"], 3),
        depth=config["num_blocks"],
        dim=config["embed_dim"],
        ffn_dim=config["embed_dim"] * config["mlp_ratio"],
        patch_size=config["patch_size"],
        **({"classes": 10, "classifier_activation": None} if include_top else {}),
    )
    expected = values["logits" if include_top else "features"]
    np.testing.assert_allclose(run(model, values["images"]), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("attention_dim", [None, 4])
def test_block_equals_the_formula(rng, attention_dim):
    model = tiny(include_top=False, attention_dim=attention_dim, depth=1)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape) / 2)
    outputs = {name: model.get_layer(name).output for name in ("tokens", "block0_add")}
    tokens, block = (
        ops.convert_to_numpy(x)
        for x in keras.Model(model.input, list(outputs.values()))(images(2, 8, 8, 3))
    )
    weights = {v.path: ops.convert_to_numpy(v) for v in model.weights}

    def dense(layer):
        return weights[f"block0_{layer}/kernel"], weights[f"block0_{layer}/bias"]

    def norm(layer):
        return weights[f"block0_{layer}/gamma"], weights[f"block0_{layer}/beta"]

    W, b = dense("gate/spatial")
    attention = (*dense("attention/qkv"), *dense("attention/projection")) if attention_dim else None
    for i in range(2):
        expected = reference.gmlp_block(
            tokens[i],
            norm=(*norm("norm"), 1e-6),
            expand=dense("expand"),
            unit=(*norm("gate/norm"), W.T, b, 1e-5),
            contract=dense("contract"),
            attention=attention,
        )
        np.testing.assert_allclose(block[i], expected, rtol=1e-4, atol=1e-5)


def test_stochastic_depth_is_the_published_one():
    for name, last in {"gMLP_Ti": 0.0, "gMLP_S": 0.05, "gMLP_B": 0.2}.items():
        model = getattr(applications, name)(
            input_shape=(16, 16, 3), depth=5, dim=8, ffn_dim=16, include_top=False
        )
        drops = {x.name: x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)}
        expected = {f"block{i}_drop_path": last * i / 4 for i in range(1, 5) if last}
        assert drops == pytest.approx(expected)


def test_tiny_attention_adds_the_published_count_of_parameters():
    # 3ad + 3a + a f/2 + f/2 in each of two blocks.
    a, d, f = 4, 8, 16
    added = tiny(attention_dim=a).count_params() - tiny().count_params()
    assert added == 2 * (3 * a * d + 3 * a + a * f // 2 + f // 2)


def test_channels_that_cannot_be_split_are_refused():
    with pytest.raises(ValueError, match="must be even. Received: inputs.shape=\\(None, 4, 15\\)"):
        tiny(ffn_dim=15)
