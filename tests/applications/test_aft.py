"""AFT: the model is what the paper describes."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp import applications
from tests import reference
from tests.conftest import once
from tests.families import images, run, tiny

CONV = {"form": "conv", "num_heads": 2, "kernel_size": 3}


def randomized(**kwargs):
    model = tiny("AFT", classes=3, classifier_activation=None, **kwargs)
    for i, variable in enumerate(model.weights):
        variable.assign(np.random.default_rng(i).normal(size=variable.shape))
    return model


def weights_of(model):
    return {v.path: ops.convert_to_numpy(v).astype("float64") for v in model.weights}


def dense(w, name):
    return w[f"{name}/kernel"], w[f"{name}/bias"]


def tokens_of(w, image):
    """The embedded patches of 4 x 4 pixels, row by row."""
    kernel, bias = dense(w, "patch_embedding")
    height, width, _ = image.shape
    return np.stack(
        [
            (image[i : i + 4, j : j + 4].reshape(-1) @ kernel.reshape(-1, kernel.shape[-1])) + bias
            for i in range(0, height, 4)
            for j in range(0, width, 4)
        ]
    )


def after_mlp(w, name, x):
    y = reference.layer_norm(x, w[f"{name}_norm/gamma"], w[f"{name}_norm/beta"], 1e-6)
    hidden, bias = dense(w, f"{name}_expand")
    contract, offset = dense(w, f"{name}_contract")
    return x + reference.gelu(y @ hidden + bias) @ contract + offset


def test_full_is_a_vision_transformer_with_the_papers_mixing(rng):
    model = randomized()
    w, image = weights_of(model), images(8, 8, 3)
    x = np.concatenate([w["class_token/token"], tokens_of(w, image)]) + w["class_token/positions"]
    for block in ("block0", "block1"):
        name = f"{block}_mix"
        y = reference.layer_norm(x, w[f"{name}_norm/gamma"], w[f"{name}_norm/beta"], 1e-6)
        biases = w[f"{name}/bias_rows"] @ w[f"{name}/bias_columns"].T
        projections = (*dense(w, f"{name}/qkv"), *dense(w, f"{name}/projection"))
        x = x + reference.attention_free_mixing(y, *projections, biases)
        x = after_mlp(w, f"{block}_mlp", x)
    x = reference.layer_norm(x, w["norm/gamma"], w["norm/beta"], 1e-6)
    kernel, bias = dense(w, "predictions")
    outputs = run(model, image[None])[0]
    np.testing.assert_allclose(outputs, x[0] @ kernel + bias, rtol=1e-4, atol=1e-4)


def test_conv_has_neither_class_token_nor_positions_and_averages():
    model = randomized(**CONV, input_shape=(8, 12, 3))
    assert not [layer.name for layer in model.layers if "class" in layer.name]
    w, image = weights_of(model), images(8, 12, 3)
    x = tokens_of(w, image)  # 2 x 3
    for block in ("block0", "block1"):
        name = f"{block}_mix"
        y = reference.layer_norm(x, w[f"{name}_norm/gamma"], w[f"{name}_norm/beta"], 1e-6)
        kernel, bias = dense(w, f"{name}/qkv")
        q, k, v = np.split(y @ kernel + bias, [8, 10], axis=1)
        means = np.empty_like(q)
        for head in range(2):
            own = slice(4 * head, 4 * head + 4)
            parts = (w[f"{name}/{x}"][..., head] for x in ("kernel", "gamma", "beta"))
            biases = reference.position_biases(reference.standardized(*parts, 1e-5), 2, 3)
            keys = np.repeat(k[:, head : head + 1], 4, axis=1)
            means[:, own] = reference.attention_free_means(keys, v[:, own], biases)
        kernel, bias = dense(w, f"{name}/projection")
        x = x + means / (1 + np.exp(-q)) @ kernel + bias
        x = after_mlp(w, f"{block}_mlp", x)
    x = reference.layer_norm(x, w["norm/gamma"], w["norm/beta"], 1e-6).mean(0)
    kernel, bias = dense(w, "predictions")
    outputs = run(model, image[None])[0]
    np.testing.assert_allclose(outputs, x @ kernel + bias, rtol=1e-4, atol=1e-4)


def test_conv_takes_images_of_any_size_with_the_same_weights():
    anything = tiny("AFT", classes=3, **CONV, input_shape=(None, None, 3))
    for shape in ((8, 8, 3), (12, 4, 3)):
        fixed = tiny("AFT", classes=3, **CONV, input_shape=shape)
        fixed.set_weights(anything.get_weights())
        x = images(2, *shape)
        np.testing.assert_allclose(run(anything, x), run(fixed, x), rtol=1e-5, atol=1e-6)
    maps = tiny("AFT", **CONV, include_top=False, feature_maps=True, input_shape=(None, None, 3))
    assert maps.output["block1"].shape == (None, None, None, 8)


def test_the_class_token_is_first_and_left_out_of_pooling():
    tokens = tiny("AFT", include_top=False)
    assert tokens.output_shape == (None, 5, 8)
    for pooling, function in (("avg", np.mean), ("max", np.max)):
        pooled = tiny("AFT", include_top=False, pooling=pooling)
        pooled.set_weights(tokens.get_weights())
        x = images(2, 8, 8, 3)
        expected = function(run(tokens, x)[:, 1:], axis=1)
        np.testing.assert_allclose(run(pooled, x), expected, rtol=1e-5, atol=1e-6)
    assert tiny("AFT", **CONV, include_top=False).output_shape == (None, 2, 2, 8)


def test_simple_has_no_position_biases():
    model = tiny("AFT", form="simple")
    assert not [v.path for v in model.weights if "bias_" in v.path]


@once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"form": "local"}, '`form` must be "full", "simple" or "conv"'),
        ({"num_heads": 2}, '`num_heads` and `kernel_size` are of form="conv"'),
        ({"form": "conv"}, "`num_heads` must be a positive integer"),
        (CONV | {"kernel_size": 4}, "`kernel_size` must be an odd positive integer"),
        (CONV | {"num_heads": 3}, "that `num_heads` divides"),
        (CONV | {"resize_spatial": True}, '`resize_spatial` must be False with form="conv"'),
        (CONV | {"input_shape": (8, 10, 3)}, "`patch_size` must divide"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny("AFT", **arguments)


@once
def test_names_of_the_sizes_have_the_heads_and_the_kernel(without_values):
    for name in applications.list_models("AFT_Conv*"):
        heads, kernel = map(int, name.split("_")[-2:])
        model = getattr(applications, name)(depth=1, input_shape=(32, 32, 3))
        layer = model.get_layer("block0_mix")
        assert (layer.num_heads, layer.kernel_size) == (heads, kernel)
        assert isinstance(layer.qkv, keras.layers.Dense)
