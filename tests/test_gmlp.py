"""gMLP and aMLP on images: what the paper publishes, timm's outputs, and the usual arguments."""

import json
import sys

import keras
import numpy as np
import pytest
from keras import ops
from safetensors.numpy import load_file

from keras_gimlp import applications
from tests import reference
from tests.conftest import GOLDEN
from tests.counting import count_macs

# Parameters and MACs of Table 1, recounted from the described parts.
PUBLISHED = {
    "gMLP_Ti": (5_867_328, 1.329e9),
    "gMLP_S": (19_422_656, 4.392e9),
    "gMLP_B": (73_075_392, 15.720e9),
}


def tiny(**kwargs):
    """A gMLP of two blocks on images of 8 x 8 pixels, four tokens."""
    sizes = {"input_shape": (8, 8, 3), "depth": 2, "dim": 8, "ffn_dim": 16, "patch_size": 4}
    return applications.gMLP(**(sizes | kwargs))


def images(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def timm_gmlp(golden, **kwargs):
    """Returns our model of the sizes in `golden`, with the weights of timm's."""
    config = json.loads((golden / "config.json").read_text())
    model = applications.gMLP(
        input_shape=(config["img_size"], config["img_size"], 3),
        depth=config["num_blocks"],
        dim=config["embed_dim"],
        ffn_dim=config["embed_dim"] * config["mlp_ratio"],
        patch_size=config["patch_size"],
        **kwargs,
    )
    theirs = load_file(golden / "model.safetensors")
    names = {"stem.proj": "patch_embedding", "norm": "norm", "head": "predictions"}
    for i in range(config["num_blocks"]):
        names |= {
            f"blocks.{i}.norm": f"block{i}_norm",
            f"blocks.{i}.mlp_channels.fc1": f"block{i}_expand",
            f"blocks.{i}.mlp_channels.gate.norm": f"block{i}_gate/norm",
            f"blocks.{i}.mlp_channels.gate.proj": f"block{i}_gate/spatial",
            f"blocks.{i}.mlp_channels.fc2": f"block{i}_contract",
        }
    ours = {variable.path: variable for variable in model.weights}
    for name, tensor in theirs.items():
        module, _, kind = name.rpartition(".")
        if names[module] == "predictions" and "predictions/kernel" not in ours:
            continue
        if kind == "weight":
            kind = "gamma" if "norm" in module else "kernel"
        tensor = tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T
        ours.pop(
            f"{names[module]}/{kind.replace('bias', 'beta') if 'norm' in module else kind}"
        ).assign(tensor)
    assert not ours
    return model


# What is published


def test_every_model_has_its_published_size_tested():
    assert list(PUBLISHED) == applications.list_models()


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_macs_are_the_published_ones(name):
    parameters, macs = PUBLISHED[name]
    model = getattr(applications, name)()
    assert model.count_params() == parameters
    assert count_macs(model) == pytest.approx(macs, abs=0.5e6)
    assert model.name == name.lower()


def test_tiny_attention_adds_the_published_count_of_parameters():
    # 3ad + 3a + a f/2 + f/2 in each of two blocks.
    a, d, f = 4, 8, 16
    added = tiny(attention_dim=a).count_params() - tiny().count_params()
    assert added == 2 * (3 * a * d + 3 * a + a * f // 2 + f // 2)


def test_stochastic_depth_rises_to_the_published_rate():
    for name, last in {"gMLP_Ti": 0.0, "gMLP_S": 0.05, "gMLP_B": 0.2}.items():
        model = getattr(applications, name)(
            input_shape=(16, 16, 3), depth=5, dim=8, ffn_dim=16, include_top=False
        )
        drops = {x.name: x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)}
        expected = {f"block{i}_drop_path": last * i / 4 for i in range(1, 5) if last}
        assert drops == pytest.approx(expected)


# Parity


def test_features_and_logits_equal_those_of_timm():
    golden = GOLDEN / "timm_gmlp_tiny"
    values = np.load(golden / "values.npz")
    features = timm_gmlp(golden, include_top=False).predict(values["images"], verbose=0)
    np.testing.assert_allclose(features, values["features"], rtol=1e-5, atol=1e-5)
    model = timm_gmlp(golden, classes=10, classifier_activation=None)
    logits = model.predict(values["images"], verbose=0)
    np.testing.assert_allclose(logits, values["logits"], rtol=1e-5, atol=1e-5)


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


# Arguments


def test_variant_is_a_row_of_the_table_that_can_be_overridden():
    model = applications.gMLP_S(depth=2, classes=7, patch_size=32, name="mine")
    assert model.output_shape == (None, 7)
    assert model.name == "mine"
    assert model.get_layer("norm").output.shape == (None, 49, 256)
    assert not any(layer.name.startswith("block2") for layer in model.layers)


def test_a_misspelt_argument_is_a_type_error():
    with pytest.raises(TypeError, match=r"gMLP_S\(\) got an unexpected keyword argument 'dept'"):
        applications.gMLP_S(dept=2)


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({}, (None, 1000)),
        ({"classes": 3}, (None, 3)),
        ({"include_top": False}, (None, 4, 8)),
        ({"include_top": False, "pooling": "avg"}, (None, 8)),
        ({"include_top": False, "pooling": "max"}, (None, 8)),
        ({"input_shape": (4, 12, 1), "include_top": False}, (None, 3, 8)),
    ],
)
def test_output_has_the_shape_that_the_arguments_ask_for(arguments, shape):
    model = tiny(**arguments)
    assert model.output_shape == shape
    assert model.predict(images(2, *model.input_shape[1:]), verbose=0).shape == (2, *shape[1:])


def test_classifier_activation_is_softmax_or_what_is_asked_for():
    x = images(2, 8, 8, 3)
    np.testing.assert_allclose(tiny(classes=3).predict(x, verbose=0).sum(-1), 1, rtol=1e-5)
    logits = tiny(classes=3, classifier_activation=None).predict(x, verbose=0)
    assert np.abs(logits.sum(-1) - 1).max() > 1e-3


def test_pooling_takes_mean_and_maximum_over_tokens():
    x = images(2, 8, 8, 3)
    model = tiny(include_top=False)
    tokens = model.predict(x, verbose=0)
    for pooling, expected in {"avg": tokens.mean(1), "max": tokens.max(1)}.items():
        pooled = tiny(include_top=False, pooling=pooling)
        pooled.set_weights(model.get_weights())
        np.testing.assert_allclose(pooled.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-6)


def test_input_tensor_may_be_the_output_of_other_layers():
    inputs = keras.Input((8, 8, 3))
    model = tiny(input_tensor=keras.layers.Rescaling(1 / 127.5, -1)(inputs), input_shape=None)
    assert model.input is inputs
    assert model.predict(images(2, 8, 8, 3), verbose=0).shape == (2, 1000)


def test_layout_of_images_is_channels_last_whatever_the_global_setting():
    keras.config.set_image_data_format("channels_first")
    try:
        assert tiny(include_top=False, pooling="avg").predict(images(1, 8, 8, 3), verbose=0).any()
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (8, 10, 3)}, "`patch_size` must divide .* image shape=\\(8, 10, 3\\)"),
        ({"input_shape": (None, None, 3)}, "`patch_size` must divide a known image height"),
        ({"input_shape": (8, 8)}, "`input_shape` must be a tuple \\(height, width, channels\\)"),
        ({"include_top": False, "classes": 10}, "`include_top=False` leaves out"),
        ({"classes": 0}, "`classes` must be a positive integer. Received: classes=0"),
        ({"pooling": "mean"}, "`pooling` must be .* Received: pooling='mean'"),
        ({"drop_path_rate": 1.0}, "`drop_path_rate` must be in"),
        ({"ffn_dim": 15}, "must be even. Received: inputs.shape=\\(None, 4, 15\\)"),
        ({"depth": 0}, "`depth` must be a positive integer. Received: depth=0"),
        ({"input_tensor": np.zeros((1, 8, 8, 3))}, "`input_tensor` must be a Keras tensor"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(**arguments)


def test_input_tensor_and_input_shape_must_agree():
    with pytest.raises(ValueError, match="`input_shape` and `input_tensor` must agree"):
        tiny(input_tensor=keras.Input((16, 16, 3)))


def test_preprocess_input_scales_to_minus_one_to_one_and_changes_nothing_in_place():
    pixels = np.array([[0, 51, 255]], "uint8")
    expected = np.array([[-1, -0.6, 1]], "float32")
    for given in (pixels, pixels.astype("float32"), ops.convert_to_tensor(pixels)):
        scaled = ops.convert_to_numpy(applications.preprocess_input(given))
        assert scaled.dtype == "float32"
        np.testing.assert_allclose(scaled, expected, rtol=1e-6)
        np.testing.assert_array_equal(ops.convert_to_numpy(given), pixels)


def test_decode_predictions_names_the_most_probable_classes(monkeypatch):
    names = {str(i): [f"n{i}", f"name {i}"] for i in range(1000)}
    module = sys.modules[applications.decode_predictions.__module__]
    monkeypatch.setattr(module, "CLASS_INDEX", names)  # which it would download
    probabilities = np.zeros((1, 1000))
    probabilities[0, [7, 3]] = 0.7, 0.3
    expected = [[("n7", "name 7", 0.7), ("n3", "name 3", 0.3)]]
    assert applications.decode_predictions(probabilities, top=2) == expected


def test_decode_predictions_wants_the_thousand_classes_of_imagenet():
    with pytest.raises(ValueError, match="1000"):
        applications.decode_predictions(np.zeros((1, 10)))


# Training, precision, deployment


def test_every_trainable_weight_moves_in_one_step():
    model = tiny(classes=3, attention_dim=4)
    before = [ops.convert_to_numpy(v).copy() for v in model.trainable_variables]
    model.compile(keras.optimizers.Adam(0.01, epsilon=1e-12), "sparse_categorical_crossentropy")
    model.fit(images(6, 8, 8, 3), np.arange(6) % 3, verbose=0)
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert np.abs(ops.convert_to_numpy(variable) - old).max() > 1e-4, variable.path


def test_stochastic_depth_drops_whole_blocks_and_keeps_the_mean():
    model = tiny(include_top=False, depth=2, drop_path_rate=0.5)
    block = keras.Model(model.get_layer("block0_add").output, model.get_layer("block1_add").output)
    x = images(400, 4, 8)
    kept = ops.convert_to_numpy(block(x, training=False)) - x
    dropped = ops.convert_to_numpy(block(x, training=True)) - x
    is_zero = (dropped == 0).all((1, 2))
    np.testing.assert_allclose(dropped[~is_zero], 2 * kept[~is_zero], rtol=1e-3, atol=1e-5)
    assert 0.4 < is_zero.mean() < 0.6


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_classifies_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    model = tiny(classes=3, drop_path_rate=0.1, attention_dim=4)
    assert model.get_layer("block0_gate").compute_dtype == policy.removeprefix("mixed_")
    model.compile("adamw", "sparse_categorical_crossentropy")
    history = model.fit(images(6, 8, 8, 3), np.arange(6) % 3, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert model.predict(images(2, 8, 8, 3), verbose=0).dtype == "float32"


def test_model_compiles_just_in_time():
    model = tiny(classes=3, drop_path_rate=0.1, attention_dim=4)
    # Keras runs torch eagerly by default; XLA compiles on the other two.
    model.compile(
        "adamw",
        "sparse_categorical_crossentropy",
        jit_compile=keras.backend.backend() != "torch",
    )
    model.fit(images(6, 8, 8, 3), np.arange(6) % 3, verbose=0)
    assert model.predict(images(2, 8, 8, 3), verbose=0).shape == (2, 3)


def test_rematerialization_changes_nothing():
    x = images(2, 8, 8, 3)
    plain = tiny(include_top=False, attention_dim=4)
    with keras.RematScope(mode="full"):
        remat = tiny(include_top=False, attention_dim=4)
    remat.set_weights(plain.get_weights())
    for model in (plain, remat):
        # In a TensorFlow graph even a single Dense fails under RematScope (Keras 3.15.1).
        eager = keras.backend.backend() == "tensorflow"
        model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=eager)
        model.fit(x, np.ones((2, 4, 8), "float32"), verbose=0)
    for expected, got in zip(plain.get_weights(), remat.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_model_quantizes_to_int8():
    model = tiny(classes=3)
    x = images(8, 8, 8, 3)
    expected = model.predict(x, verbose=0)
    with pytest.warns(UserWarning, match="does not have a `quantize` method"):
        model.quantize("int8")
    assert model.get_layer("block0_gate").spatial.quantization_mode == "int8"
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=0.05)
