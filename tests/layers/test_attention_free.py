"""AFT: the weighted means of `AttentionFreeMixing` and `AttentionFreeConvolution`."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp import layers
from tests import reference

MASK = np.array([[1, 1, 0, 1, 0, 1], [0, 1, 1, 1, 1, 0]], "bool")
FORMS = {
    "full": {"sequence_length": 8, "bias_dim": 3},
    "local": {"sequence_length": 8, "bias_dim": 3, "window": 2},
    "simple": {},
}


def run(layer, x, **kwargs):
    return ops.convert_to_numpy(layer(x.astype("float32"), **kwargs)).astype("float32")


def randomize(layer, rng):
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))


def values_of(layer):
    """The weights by their names."""
    return {
        variable.path.removeprefix(f"{layer.name}/"): ops.convert_to_numpy(variable)
        for variable in layer.variables
    }


def dense(weights):
    names = ("qkv/kernel", "qkv/bias", "projection/kernel", "projection/bias")
    return [weights[name] for name in names]


def biases(weights, form, tokens):
    """The position biases of `AttentionFreeMixing`."""
    if form == "simple":
        return np.zeros((tokens, tokens))
    w = weights["bias"] if "bias" in weights else weights["bias_rows"] @ weights["bias_columns"].T
    w = w[:tokens, :tokens]
    if form == "local":
        distance = np.abs(np.arange(tokens)[:, None] - np.arange(tokens))
        w = np.where(distance < 2, w, 0.0)
    return w


def passing_through(layer, channels):
    """Makes a layer return half of the weighted means of its inputs, whose keys are the inputs."""
    heads = layer.qkv.units - 2 * channels
    keys = np.eye(channels)[:, :: channels // heads]  # of the first channel of a head
    kernel = np.concatenate([np.zeros((channels, channels)), keys, np.eye(channels)], axis=1)
    layer.qkv.kernel.assign(kernel)
    layer.projection.kernel.assign(np.eye(channels))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bias_dim", [3, None])
@pytest.mark.parametrize("form", FORMS)
def test_mixing_equals_the_formula(rng, form, bias_dim, causal, masked):
    x = rng.normal(size=(2, 6, 4))
    arguments = FORMS[form] | ({} if form == "simple" else {"bias_dim": bias_dim})
    layer = layers.AttentionFreeMixing(form, causal=causal, **arguments)
    layer.build((None, 6, 4))
    randomize(layer, rng)
    weights = values_of(layer)
    expected = [
        reference.attention_free_mixing(
            x[i],
            *dense(weights),
            biases(weights, form, 6),
            mask=MASK[i] if masked else None,
            causal=causal,
        )
        for i in range(2)
    ]
    outputs = run(layer, x, mask=MASK if masked else None)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("shape", "num_heads", "kernel_size"),
    [
        ((6,), 2, 3),
        ((6,), 4, 1),
        ((6,), 4, 13),
        ((3, 2), 2, 3),
        ((2, 3), 4, 1),
        ((3, 2), 1, 5),
    ],
)
def test_convolution_equals_the_formula(rng, shape, num_heads, kernel_size, masked):
    x = rng.normal(size=(2, *shape, 4))
    layer = layers.AttentionFreeConvolution(num_heads, kernel_size, epsilon=1e-2)
    layer.build(x.shape)
    randomize(layer, rng)
    weights = values_of(layer)
    W_qkv, b_qkv, W_o, b_o = dense(weights)
    mask = MASK.reshape(2, *shape) if masked else None
    outputs = run(layer, x, mask=mask).reshape(2, 6, 4)
    for i in range(2):
        qkv = x[i].reshape(6, 4) @ W_qkv + b_qkv
        q, k, v = np.split(qkv, [4, 4 + num_heads], axis=1)
        means = np.empty((6, 4))
        for head in range(num_heads):
            own = slice(head * 4 // num_heads, (head + 1) * 4 // num_heads)
            kernel, gamma, beta = (weights[n][..., head] for n in ("kernel", "gamma", "beta"))
            kernel = reference.standardized(kernel, gamma, beta, epsilon=1e-2)
            w = reference.position_biases(kernel, *(shape if len(shape) == 2 else (6, 1)))
            keys = np.repeat(k[:, head : head + 1], 4 // num_heads, axis=1)
            seen = MASK[i] if masked else None
            means[:, own] = reference.attention_free_means(keys, v[:, own], w, seen)
        expected = means / (1 + np.exp(-q)) @ W_o + b_o
        np.testing.assert_allclose(outputs[i], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_convolution_is_the_papers_correction_of_a_sum_over_all_positions(rng):
    x = rng.normal(size=(1, 4, 5, 3))
    layer = layers.AttentionFreeConvolution(1, 3, gamma_initializer="ones")
    layer.build(x.shape)
    passing_through(layer, 3)
    kernel = ops.convert_to_numpy(layer.kernel)[..., 0].astype("float64")
    kernel = reference.standardized(kernel, 1.0, 0.0, layer.epsilon)
    by_convolution = reference.attention_free_convolution_means(x[0, ..., 0], x[0], kernel)
    w = reference.position_biases(kernel, 4, 5)
    keys = np.repeat(x[0, ..., :1].reshape(20, 1), 3, axis=1)
    by_pairs = reference.attention_free_means(keys, x[0].reshape(20, 3), w)
    np.testing.assert_allclose(by_convolution.reshape(20, 3), by_pairs, rtol=1e-12)
    np.testing.assert_allclose(2 * run(layer, x)[0], by_convolution, rtol=1e-5, atol=1e-6)


def test_a_new_convolution_weights_positions_by_their_keys_alone(rng):
    x = rng.normal(size=(2, 6, 4)).astype("float32")
    convolution = layers.AttentionFreeConvolution(num_heads=4, kernel_size=3)
    simple = layers.AttentionFreeMixing("simple")
    expected = run(simple, x)
    convolution.build(x.shape)
    for ours, theirs in (("qkv", simple.qkv), ("projection", simple.projection)):
        getattr(convolution, ours).set_weights(
            [ops.convert_to_numpy(w) for w in theirs.get_weights()]
        )
    np.testing.assert_allclose(run(convolution, x), expected, rtol=1e-5, atol=1e-6)


# The range of the exponents


def steps(rng, shape):
    """Multiples of 20 that differ by up to 80."""
    return rng.choice([-40.0, -20.0, 0.0, 20.0, 40.0], size=shape)


def anything(rng, shape):
    """Numbers that differ by up to 80, in which float32 rounds nothing."""
    return rng.integers(-40 * 2**10, 40 * 2**10, endpoint=True, size=shape) / 2**10


DRAWS = pytest.mark.parametrize("draw", [steps, anything])


@DRAWS
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_mixing_is_exact_where_keys_and_biases_differ_by_80(form, causal, masked, draw):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x = draw(rng, (2, 6, 16))
        arguments = FORMS[form] | ({} if form == "simple" else {"bias_dim": None})
        layer = layers.AttentionFreeMixing(form, causal=causal, **arguments)
        layer.build(x.shape)
        passing_through(layer, 16)
        for variable in layer.factors:
            variable.assign(draw(rng, variable.shape))
        w = biases(values_of(layer), form, 6)
        outputs = 2 * run(layer, x, mask=MASK if masked else None)
        for i in range(2):
            expected = reference.attention_free_means(
                x[i], x[i], w, MASK[i] if masked else None, causal
            )
            np.testing.assert_allclose(outputs[i], expected, rtol=1e-5, atol=1e-5 * 40)


def test_mixing_holds_the_largest_keys_where_the_biases_are_least():
    """All sums of a key and a bias are 0, 80 below the largest of both."""
    x = np.array([[[40.0], [-40.0]]])
    layer = layers.AttentionFreeMixing("full", sequence_length=2, bias_dim=None)
    layer.build(x.shape)
    passing_through(layer, 1)
    layer.factors[0].assign([[-40.0, 40.0], [40.0, 40.0]])
    np.testing.assert_allclose(2 * run(layer, x)[0, :, 0], [0.0, 40.0], atol=1e-5 * 40)


@DRAWS
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(6,), (3, 2)])
def test_convolution_is_exact_where_keys_and_biases_differ_by_80(shape, masked, draw):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x = draw(rng, (2, *shape, 8))
        layer = layers.AttentionFreeConvolution(8, 3, gamma_initializer="ones")
        layer.build(x.shape)
        passing_through(layer, 8)
        layer.kernel.assign(draw(rng, layer.kernel.shape))
        layer.gamma.assign(ops.sqrt(ops.var(layer.kernel, (0, 1)) + layer.epsilon))
        layer.beta.assign(ops.mean(layer.kernel, (0, 1)))
        weights = values_of(layer)
        mask = MASK.reshape(2, *shape) if masked else None
        outputs = 2 * run(layer, x, mask=mask).reshape(2, 6, 8)
        for i in range(2):
            flat = x[i].reshape(6, 8)
            for head in range(8):
                parts = (weights[n][..., head] for n in ("kernel", "gamma", "beta"))
                kernel = reference.standardized(*parts, layer.epsilon)
                w = reference.position_biases(kernel, *(shape if len(shape) == 2 else (6, 1)))
                own = flat[:, head : head + 1]
                seen = MASK[i] if masked else None
                expected = reference.attention_free_means(own, own, w, seen)
                np.testing.assert_allclose(
                    outputs[i, :, head], expected[:, 0], rtol=1e-4, atol=1e-3
                )


def test_gradients_hold_the_largest_keys_where_the_biases_are_least():
    """The squares of the sums, which are e^-60, are 0 in float32, and are in no derivative."""
    x = np.array([[[40.0], [-40.0]]])
    layer = layers.AttentionFreeMixing("full", sequence_length=2, bias_dim=None)
    model = keras.Sequential([keras.Input((2, 1)), layer])
    passing_through(layer, 1)
    layer.factors[0].assign([[-40.0, 40.0], [40.0, 40.0]])
    model.compile(keras.optimizers.SGD(1e-6), "mse")
    model.fit(x, x + 1, verbose=0)
    assert all(np.isfinite(ops.convert_to_numpy(v)).all() for v in model.trainable_variables)


def test_the_largest_bias_may_be_that_of_a_masked_token():
    """The other weights of the row are then e^-80 of it, and still a mean."""
    x, mask = np.array([[[1.0], [5.0], [3.0]]]), np.array([[True, False, True]])
    layer = layers.AttentionFreeMixing("full", sequence_length=3, bias_dim=None)
    layer.build(x.shape)
    passing_through(layer, 1)
    w = np.array([[0.0, 80.0, 0.0]] * 3)
    layer.factors[0].assign(w)
    expected = reference.attention_free_means(x[0], x[0], w, mask[0])
    np.testing.assert_allclose(2 * run(layer, x, mask=mask)[0], expected, rtol=1e-5)


EVERY_KIND = pytest.mark.parametrize(
    "make",
    [
        lambda **kwargs: layers.AttentionFreeMixing("full", sequence_length=6, **kwargs),
        lambda **kwargs: layers.AttentionFreeMixing("simple", **kwargs),
        lambda **kwargs: layers.AttentionFreeMixing("simple", causal=True, **kwargs),
        lambda **kwargs: layers.AttentionFreeConvolution(2, 3, gamma_initializer="ones", **kwargs),
    ],
    ids=["full", "simple", "causal", "convolution"],
)


@pytest.mark.parametrize("size", [100.0, 1e4])
@EVERY_KIND
def test_means_and_gradients_of_any_keys_and_biases_are_finite(make, size, rng):
    inputs, mask = keras.Input((6, 4)), keras.Input((6,), dtype="bool")
    layer = make()
    model = keras.Model([inputs, mask], layer(inputs, mask=mask))
    for name in ("bias_rows", "gamma"):
        for variable in [v for v in layer.weights if v.name == name]:
            variable.assign(size * rng.normal(size=variable.shape))
    model.compile(keras.optimizers.SGD(1e-3 / size), "mse")
    x = [size * rng.normal(size=(3, 6, 4)), [[0] * 6, [0, 0, 1, 0, 0, 0], [1] * 6]]
    x = [x[0], np.array(x[1], "bool")]
    model.fit(x, np.ones((3, 6, 4)), verbose=0)
    assert all(np.isfinite(ops.convert_to_numpy(v)).all() for v in model.trainable_variables)
    assert np.isfinite(model.predict(x, verbose=0)).all()


@EVERY_KIND
def test_gradients_of_small_losses_are_not_lost(make, rng):
    """As those of a mean over a batch, which go through sums of exponentials."""
    x, slopes = rng.normal(size=(2, 6, 4)), rng.normal(size=(2, 6, 4))
    start, moved = None, []
    for scale in (1.0, 1e-12):
        model = keras.Sequential([keras.Input((6, 4)), make()])
        start = start or model.get_weights()
        model.set_weights(start)
        # The same steps: the rate is as much larger as the gradients are smaller.
        model.compile(keras.optimizers.SGD(1 / scale), loss=lambda y, z: ops.mean(y * z))
        model.fit(x, scale * slopes, batch_size=2, shuffle=False, verbose=0)
        moved.append([new - old for new, old in zip(model.get_weights(), start, strict=True)])
    for of_large, of_small in zip(*moved, strict=True):
        np.testing.assert_allclose(of_small, of_large, rtol=1e-3, atol=1e-6)


@EVERY_KIND
def test_an_example_without_tokens_has_a_mean_of_zero(make, rng):
    layer = make()
    outputs = run(layer, rng.normal(size=(1, 6, 4)), mask=np.zeros((1, 6), "bool"))
    bias = np.broadcast_to(ops.convert_to_numpy(layer.projection.bias), (1, 6, 4))
    np.testing.assert_array_equal(outputs, bias)


def test_sums_over_many_tokens_are_in_float32_under_mixed_precision():
    """In bfloat16, whose next number after 256 is 258, sums of ones stop there."""
    x = np.zeros((1, 4096, 2))
    x[:, 2048:] = 1.0
    layer = layers.AttentionFreeMixing("simple", dtype="mixed_bfloat16")
    layer.build(x.shape)
    passing_through(layer, 2)
    layer.qkv.kernel.assign(np.eye(2)[:, [0, 0, 0, 0, 0, 1]] * [0, 0, 0, 0, 0, 1])
    np.testing.assert_allclose(2 * run(layer, x)[0, 0, 1], 0.5, rtol=1e-2)


@pytest.mark.parametrize("form", FORMS)
def test_causal_means_do_not_depend_on_later_tokens(form, rng):
    layer = layers.AttentionFreeMixing(form, causal=True, **FORMS[form])
    x = rng.normal(size=(2, 6, 4))
    changed = np.concatenate([x[:, :3], rng.normal(size=(2, 3, 4))], axis=1)
    outputs, others = run(layer, x), run(layer, changed)
    np.testing.assert_allclose(outputs[:, :3], others[:, :3], rtol=1e-5, atol=1e-6)
    assert np.abs(outputs[:, 3:] - others[:, 3:]).max() > 1e-2


@pytest.mark.slow
def test_convolution_takes_images_of_any_size(rng):
    inputs = keras.Input((None, None, 4))
    layer = layers.AttentionFreeConvolution(2, 3, gamma_initializer="ones")
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, None, 4)
    for size in ((5, 4), (2, 7), (1, 1)):
        x = rng.normal(size=(2, *size, 4)).astype("float32")
        np.testing.assert_allclose(model.predict(x, verbose=0), run(layer, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (lambda: layers.AttentionFreeMixing("conv"), None, '`form` must be "full", "local"'),
        (lambda: layers.AttentionFreeMixing(), None, "`sequence_length` must be a positive"),
        (
            lambda: layers.AttentionFreeMixing("simple", 9),
            None,
            "`sequence_length` must be None with",
        ),
        (lambda: layers.AttentionFreeMixing("local", 9), None, "`window` must be a positive"),
        (lambda: layers.AttentionFreeMixing("full", 9, 2), None, "`window` must be None with"),
        (lambda: layers.AttentionFreeMixing("full", 9), (2, 4), "known channels"),
        (lambda: layers.AttentionFreeMixing("full", 9), (2, 10, 4), "at most `sequence_length`"),
        (lambda: layers.AttentionFreeConvolution(2, 4), None, "`kernel_size` must be an odd"),
        (lambda: layers.AttentionFreeConvolution(3, 3), (2, 6, 4), "that `num_heads` divides"),
        (lambda: layers.AttentionFreeConvolution(2, 3), (2, 4), "needs `inputs` of shape"),
    ],
)
def test_wrong_arguments_are_refused(make, shape, message):
    with pytest.raises(ValueError, match=message):
        make()(np.ones(shape, "float32"))
