"""The attention matrix that each pattern stands for, and what the layer does with it."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp.layers import CombinerAttention
from keras_gimlp.layers.combiner_attention import grid_mask
from keras_gimlp.layers.combiner_patterns import PATTERNS as PATTERN_FUNCTIONS
from keras_gimlp.layers.combiner_patterns import expectation
from tests import reference
from tests.conftest import JIT, mostly_once, once

BACKEND = keras.backend.backend()
FIXED = {"pattern": "fixed", "segment_size": 4}
CAUSAL_FIXED = FIXED | {"causal": True}
LOGSPARSE = {"pattern": "logsparse", "causal": True}
VERTICAL, HORIZONTAL, ROWMAJOR = (
    {"pattern": f"axial_{name}", "columns": 4, "causal": True}
    for name in ("vertical", "horizontal", "rowmajor")
)
PATTERNS = [FIXED, CAUSAL_FIXED, LOGSPARSE, VERTICAL, HORIZONTAL, ROWMAJOR]
EXTREMES = [
    FIXED | {"segment_size": 1},  # every other token is a span of its own
    FIXED | {"segment_size": 20},  # all tokens are direct
    CAUSAL_FIXED | {"segment_size": 1},
    *(axial | {"columns": columns} for axial in (VERTICAL, HORIZONTAL) for columns in (1, 20)),
    ROWMAJOR | {"columns": 1},
    ROWMAJOR | {"columns": 20},
]


def name(arguments):
    numbers = "".join(f"-{v}" for v in arguments.values() if not isinstance(v, (str, bool)))
    return f"{arguments['pattern']}{numbers}{'-causal' * arguments.get('causal', False)}"


EVERY_PATTERN = pytest.mark.parametrize("arguments", PATTERNS, ids=name)
CAUSAL_PATTERNS = pytest.mark.parametrize("arguments", PATTERNS[1:], ids=name)


def make(arguments, channels, rng, num_heads=2):
    """Returns a layer of random weights, small enough that no weight of a token vanishes."""
    layer = CombinerAttention(num_heads, **arguments)
    layer.build((None, None, channels))
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(scale=0.5, size=variable.shape))
    return layer


def draw_mask(rng, batch, tokens):
    """Returns a mask with holes, an example whose first tokens are masked, and one of none."""
    mask = rng.random((batch, tokens)) < 0.6
    mask[1] = np.arange(tokens) >= tokens // 2
    mask[2] = False
    return mask


def run(layer, x, mask=None):
    return ops.convert_to_numpy(layer(x, mask=mask)).astype("float32")


# The attention matrix


@once
@pytest.mark.parametrize("arguments", PATTERNS + EXTREMES, ids=name)
def test_tokens_and_spans_are_disjoint_and_all_that_a_token_may_see(arguments):
    for tokens in (1, 2, 3, 4, 5, 8, 9, 16, 17, 33):
        for i in range(tokens):
            direct, spans = reference.combiner_supports(i=i, tokens=tokens, **arguments)
            tokens_seen = [j for support in (direct, *spans) for j in support]
            allowed = range(i + 1) if arguments.get("causal") else range(tokens)
            assert sorted(tokens_seen) == list(allowed)
            assert i in direct


@once
def test_supports_of_some_tokens_are_those_worked_out_by_hand():
    def supports(i, tokens, **arguments):
        return reference.combiner_supports(i=i, tokens=tokens, **arguments)

    assert supports(5, 8, **LOGSPARSE) == ([5], [[4], [0, 1, 2, 3]])
    assert supports(6, 8, **LOGSPARSE) == ([6], [[4, 5], [0, 1, 2, 3]])
    assert supports(16, 17, **LOGSPARSE) == ([16], [list(range(16))])
    # The third token of the third row of an image of three rows of four.
    assert supports(10, 12, **VERTICAL) == ([8, 9, 10, 2, 6], [[0, 4], [1, 5], [3, 7]])
    assert supports(10, 12, **HORIZONTAL) == ([8, 9, 10, 2, 6], [[0, 1, 3], [4, 5, 7]])
    assert supports(10, 12, **ROWMAJOR) == ([8, 9, 10], [[0, 1, 2, 3], [4, 5, 6, 7]])
    assert supports(5, 9, **FIXED) == ([4, 5, 6, 7], [[0, 1, 2, 3], [8]])


def attention_matrices(arguments, tokens, mask, rng):
    """Returns the matrices that a layer computes and those of the reference, for three examples.

    The first channels of the inputs say at which position a token stands, and the values are these:
    what comes out is the weight of each position. The other channels differ between the examples.
    """
    channels, heads = 2 * tokens, 2
    layer = make(arguments, channels, rng, heads)
    kernel, bias = (ops.convert_to_numpy(v).copy() for v in layer.qkv.weights)
    kernel[:, 2 * channels :], bias[2 * channels :] = 0, 0
    for position in range(tokens):
        for h in range(heads):
            kernel[position, 2 * channels + h * tokens + position] = 1
    layer.qkv.set_weights([kernel, bias])
    layer.projection.set_weights([np.eye(channels), np.zeros(channels)])
    x = rng.normal(scale=0.5, size=(3, tokens, channels)).astype("float32")
    x[..., :tokens] = np.eye(tokens)
    matrices = run(layer, x, mask).reshape(3, tokens, heads, tokens).transpose(0, 2, 1, 3)
    expected = np.empty_like(matrices)
    for example in range(3):
        projected = x[example] @ kernel + bias
        for h in range(heads):
            q, k = (projected[:, s + h * tokens :][:, :tokens] for s in (0, channels))
            expected[example, h] = reference.combiner_weights(
                q, k, mask=None if mask is None else mask[example], **arguments
            )
    return matrices, expected


@pytest.mark.parametrize(
    ("tokens", "masked"),
    mostly_once(
        [(1, False), (1, True), (8, True), (9, False), (9, True), (17, True)], (9, False), (9, True)
    ),
)
@EVERY_PATTERN
def test_attention_matrix_is_that_of_the_supports(rng, arguments, tokens, masked):
    mask = draw_mask(rng, 3, tokens) if masked else None
    matrices, expected = attention_matrices(arguments, tokens, mask, rng)
    np.testing.assert_allclose(matrices, expected, rtol=1e-5, atol=1e-6)
    allowed = np.tril(np.ones((tokens, tokens), "bool"))
    if not arguments.get("causal"):
        allowed[:] = True
    allowed = np.broadcast_to(allowed, (3, 2, tokens, tokens)).copy()
    if masked:
        allowed &= mask[:, None, None, :]
    assert (matrices[allowed] > 0).all()
    assert (matrices[~allowed] == 0).all()
    np.testing.assert_allclose(matrices.sum(-1), allowed.any(-1), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", EXTREMES, ids=name)
def test_attention_matrix_of_the_smallest_and_largest_segments_and_rows(rng, arguments):
    for mask in (None, draw_mask(rng, 3, 9)):
        matrices, expected = attention_matrices(arguments, 9, mask, rng)
        np.testing.assert_allclose(matrices, expected, rtol=1e-5, atol=1e-6)


# Outputs


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("num_heads", mostly_once([1, 4], 4))
@EVERY_PATTERN
def test_it_equals_the_formula(rng, arguments, num_heads, masked):
    x = rng.normal(size=(3, 13, 8))
    mask = draw_mask(rng, 3, 13) if masked else None
    layer = make(arguments, 8, rng, num_heads)
    parameters = [ops.convert_to_numpy(v) for v in layer.trainable_variables]
    expected = [
        reference.combiner_attention(
            x[i],
            *parameters,
            num_heads,
            mask=None if mask is None else mask[i],
            **arguments,
        )
        for i in range(3)
    ]
    outputs = run(layer, x.astype("float32"), mask)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "arguments", [FIXED, CAUSAL_FIXED, VERTICAL, HORIZONTAL, ROWMAJOR], ids=name
)
def test_in_one_segment_or_row_it_is_the_attention_of_keras(rng, arguments, masked):
    size = "segment_size" if "segment_size" in arguments else "columns"
    layer = make(arguments | {size: 11}, 8, rng)
    theirs = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4)
    theirs.build((None, None, 8), (None, None, 8))
    kernel, bias, *projection = (ops.convert_to_numpy(v) for v in layer.weights)
    parts = zip(np.split(kernel, 3, axis=1), np.split(bias, 3), strict=True)
    weights = [x for w, b in parts for x in (w.reshape(8, 2, 4), b.reshape(2, 4))]
    theirs.set_weights([*weights, projection[0].reshape(2, 4, 8), projection[1]])
    x, mask = rng.normal(size=(2, 9, 8)).astype("float32"), None
    if masked:
        mask = np.array([[1, 0, 1, 1, 0, 1, 1, 1, 0], [1, 1, 1, 1, 1, 0, 0, 0, 0]], "bool")
    expected = theirs(
        x,
        x,
        attention_mask=mask if mask is None else mask[:, None],
        use_causal_mask=arguments.get("causal", False),
    )
    expected = ops.convert_to_numpy(expected)
    np.testing.assert_allclose(run(layer, x, mask), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@CAUSAL_PATTERNS
def test_a_token_does_not_see_those_after_it(rng, arguments):
    layer = make(arguments, 8, rng)
    x, later = rng.normal(size=(2, 1, 11, 8)).astype("float32")
    outputs = run(layer, x)
    for i in range(1, 11):
        changed = run(layer, np.concatenate([x[:, :i], 5 * later[:, i:]], axis=1))
        np.testing.assert_allclose(changed[:, :i], outputs[:, :i], rtol=1e-5, atol=1e-6)
        assert np.abs(changed[:, i:] - outputs[:, i:]).max(axis=-1).min() > 1e-3


def test_without_causal_every_token_sees_every_other(rng):
    layer = make(FIXED, 8, rng)
    x = rng.normal(size=(1, 11, 8)).astype("float32")
    outputs = run(layer, x)
    for j in range(11):
        changed = x.copy()
        changed[:, j] += 1
        assert np.abs(run(layer, changed) - outputs).max(axis=-1).min() > 1e-5


@pytest.mark.slow
@EVERY_PATTERN
def test_with_nothing_to_attend_to_the_output_is_the_bias(rng, arguments):
    layer = make(arguments, 8, rng)
    x = rng.normal(size=(1, 9, 8)).astype("float32")
    outputs = run(layer, x, np.zeros((1, 9), "bool"))
    bias = ops.convert_to_numpy(layer.projection.bias)
    np.testing.assert_array_equal(outputs, np.broadcast_to(bias, outputs.shape))


# Training


def model_of(layer, tokens):
    inputs, mask = keras.Input((tokens, 8)), keras.Input((tokens,), dtype="bool")
    outputs = layer(inputs, mask=mask) + 0.0  # no layer, so that the loss of masked tokens counts
    return keras.Model([inputs, mask], outputs)


@EVERY_PATTERN
def test_gradient_is_the_slope_of_the_loss(rng, arguments):
    """With masked tokens, and an example that has nothing else."""
    model = model_of(make(arguments, 8, rng), 11)
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=JIT)
    x, y = [rng.normal(size=(3, 11, 8)), draw_mask(rng, 3, 11)], rng.normal(size=(3, 11, 8))
    x[0] = x[0].astype("float32")

    def values():
        return [ops.convert_to_numpy(v).astype("float64") for v in model.trainable_variables]

    def loss(weights):
        model.set_weights(weights)
        outputs = model.predict_on_batch(x).astype("float64")
        return np.mean((outputs - y) ** 2)

    before = values()
    model.train_on_batch(x, y)
    gradient = [old - new for old, new in zip(before, values(), strict=True)]
    length = np.sqrt(sum((g**2).sum() for g in gradient))
    assert np.isfinite(length)
    step = 1e-2
    up, down = (
        loss([w + sign * step * g / length for w, g in zip(before, gradient, strict=True)])
        for sign in (1, -1)
    )
    np.testing.assert_allclose((up - down) / (2 * step), length, rtol=0.02)


@pytest.mark.slow
@EVERY_PATTERN
def test_half_precision_trains_and_stays_finite(rng, arguments):
    layer = CombinerAttention(2, **arguments, dtype="mixed_float16")
    model = model_of(layer, 11)
    model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=JIT)
    x = [rng.normal(size=(3, 11, 8)).astype("float32"), draw_mask(rng, 3, 11)]
    assert np.isfinite(model.train_on_batch(x, np.ones((3, 11, 8))))
    assert all(np.isfinite(ops.convert_to_numpy(v)).all() for v in model.trainable_variables)
    assert model.predict_on_batch(x).dtype == "float16"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "jit_compile"),
    [*((arguments, True) for arguments in PATTERNS), (FIXED, False), (LOGSPARSE, False)],
    ids=lambda value: name(value) if isinstance(value, dict) else str(value),
)
def test_one_model_trains_on_texts_of_any_length(rng, arguments, jit_compile):
    known = BACKEND == "tensorflow" and arguments in (LOGSPARSE, VERTICAL)
    for tokens in (6, 9) if jit_compile else (6, 9, 1):
        if known or tokens == 6:
            layer = make(arguments, 8, rng)
            inputs = keras.Input((tokens if known else None, 8))
            model = keras.Model(inputs, layer(inputs))
            model.compile("sgd", "mse", jit_compile=jit_compile and BACKEND != "torch")
        x = rng.normal(size=(2, tokens, 8)).astype("float32")
        np.testing.assert_allclose(model.predict(x, verbose=0), run(layer, x), rtol=1e-5, atol=1e-5)
        model.fit(x, np.ones((2, tokens, 8)), verbose=0)


@pytest.mark.backends("tensorflow")
@pytest.mark.parametrize("arguments", [LOGSPARSE, VERTICAL], ids=name)
def test_a_graph_that_does_not_know_its_length_is_refused(arguments):
    import tensorflow as tf

    layer = CombinerAttention(2, **arguments)
    signature = [tf.TensorSpec((None, None, 8), "float32")]
    message = "needs `inputs` with a known number of tokens. Received: inputs.shape="
    with pytest.raises(ValueError, match=message):
        tf.function(layer, input_signature=signature).get_concrete_function()


@pytest.mark.backends("torch")
@pytest.mark.filterwarnings("ignore:Dynamo detected:UserWarning", "ignore::DeprecationWarning")
@EVERY_PATTERN
def test_torch_compiles_it_as_one_graph(rng, arguments):
    import torch

    torch._dynamo.reset()
    layer = make(arguments, 8, rng)
    columns = layer.row_length((3, 11, 8))
    shape = (3, 3, 2, -(-11 // columns), columns, 4)
    q, k, v = torch.tensor(rng.normal(size=shape).astype("float32"))
    mask = grid_mask(draw_mask(rng, 3, 11), 11, columns, layer.causal)

    def attention(*tensors):
        causal = {"causal": layer.causal} if layer.pattern == "fixed" else {}
        return expectation(*PATTERN_FUNCTIONS[layer.pattern](*tensors, **causal))

    call = torch.compile(attention, backend="aot_eager", fullgraph=True)
    outputs, expected = call(q, k, v, mask), attention(q, k, v, mask)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


# Cost


def sizes(jaxpr):
    """Yields the number of elements of every tensor that a function of JAX computes."""
    for equation in jaxpr.eqns:
        inner = [p for p in equation.params.values() if hasattr(p, "jaxpr")]
        for closed in inner:
            yield from sizes(closed.jaxpr)
        if not inner:
            yield from (variable.aval.size for variable in equation.outvars)


@pytest.mark.backends("jax")
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("arguments", "exponent"),
    [pytest.param(p, 1.25 if p == LOGSPARSE else 1.5, id=name(p)) for p in PATTERNS],
)
def test_no_tensor_is_as_large_as_the_attention_matrix(arguments, exponent, masked):
    """And all together grow no faster than the paper says."""
    import jax

    def measure(side):
        tokens = side**2
        size = {name: side for name in ("segment_size", "columns") if name in arguments}
        layer = CombinerAttention(1, **arguments | size)
        layer.build((None, tokens, 4))
        x, mask = jax.ShapeDtypeStruct((1, tokens, 4), "float32"), None
        if masked:
            mask = jax.ShapeDtypeStruct((1, tokens), "bool")
        elements = list(sizes(jax.make_jaxpr(lambda x, mask: layer(x, mask=mask))(x, mask).jaxpr))
        assert max(elements) < tokens**2 / 4
        return sum(elements)

    # From 1,024 tokens to 16,384.
    assert measure(128) / measure(32) < 16**exponent


# Errors


@once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            FIXED | {"pattern": "axial"},
            '`pattern` must be one of "fixed", "logsparse", "axial_vertical", "axial_horizontal", '
            "\"axial_rowmajor\". Received: pattern='axial'",
        ),
        (
            FIXED | {"segment_size": None},
            '`segment_size` must be a positive integer with pattern="fixed". '
            "Received: segment_size=None",
        ),
        (
            FIXED | {"columns": 4},
            '`columns` must be None with pattern="fixed". Received: columns=4',
        ),
        (
            LOGSPARSE | {"segment_size": 4},
            '`segment_size` must be None with pattern="logsparse". Received: segment_size=4',
        ),
        *(
            (
                pattern | {"causal": False},
                f'`causal` must be True with pattern="{pattern["pattern"]}". '
                "Received: causal=False",
            )
            for pattern in (LOGSPARSE, VERTICAL, HORIZONTAL, ROWMAJOR)
        ),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CombinerAttention(**{"num_heads": 2} | arguments)


@once
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 8), "of shape \\(batch, tokens, channels\\) .* Received: inputs.shape=\\(2, 8\\)"),
        ((2, 6, None), "with known channels. Received: inputs.shape=\\(2, 6, None\\)"),
        (
            (2, 6, 9),
            "The number of channels must be a multiple of `num_heads`. "
            "Received: num_heads=2, inputs.shape=\\(2, 6, 9\\)",
        ),
    ],
)
def test_shapes_that_have_no_heads_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        CombinerAttention(2, **FIXED).build(shape)
