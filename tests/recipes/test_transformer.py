"""The Transformer that gMLP is compared with is what it is called."""

import keras
import numpy as np
import pytest
from keras import ops

keras_hub = pytest.importorskip("keras_hub")

from keras_gimlp import rematerialize  # noqa: E402
from recipes import mlm_pretraining  # noqa: E402
from recipes.text import pretraining, transformer  # noqa: E402
from tests.applications.text.test_gmlp_mlm import LENGTHS, masked, texts  # noqa: E402
from tests.conftest import once  # noqa: E402
from tests.families import run  # noqa: E402
from tests.training import unmoved  # noqa: E402

SIZES = {"vocabulary_size": 23, "depth": 2, "dim": 8, "ffn_dim": 12, "num_heads": 2}
SIZES |= {"sequence_length": 9}
POSITIONS = pytest.mark.parametrize("positions", ["absolute", "relative"])


def small(**kwargs):
    """A small encoder in which every weight matters."""
    model = transformer.Transformer(**(SIZES | kwargs))
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(variable + rng.normal(size=variable.shape) / 2)
    return model


def value(variable):
    return ops.convert_to_numpy(variable)


def test_it_computes_what_kerashubs_pre_norm_layers_compute():
    model, inputs = small(), texts()
    weights = {variable.path: value(variable) for variable in model.weights}
    x = value(model.token_embedding(inputs["token_ids"]))
    x = x + weights["position_embedding/embeddings"][: x.shape[1]]
    x = value(model.get_layer("embedding_norm")(x))
    for i in range(SIZES["depth"]):
        layer = keras_hub.layers.TransformerEncoder(
            SIZES["ffn_dim"], 2, activation="gelu", layer_norm_epsilon=1e-6, normalize_first=True
        )
        layer.build(x.shape)

        def of(name, i=i):
            return weights[f"block{i}_{name}"]

        attention = layer._self_attention_layer
        parts = ("query", "key", "value")
        kernels = np.split(of("attention/qkv/kernel"), 3, axis=-1)
        biases = np.split(of("attention/qkv/bias"), 3)
        for part, kernel, bias in zip(parts, kernels, biases, strict=True):
            dense = getattr(attention, f"_{part}_dense")
            dense.kernel.assign(kernel.reshape(8, 2, 4))
            dense.bias.assign(bias.reshape(2, 4))
        attention._output_dense.kernel.assign(of("attention/projection/kernel").reshape(2, 4, 8))
        attention._output_dense.bias.assign(of("attention/projection/bias"))
        for there, here in (
            (layer._self_attention_layer_norm, "attention_norm"),
            (layer._feedforward_layer_norm, "mlp_norm"),
        ):
            there.gamma.assign(of(f"{here}/gamma"))
            there.beta.assign(of(f"{here}/beta"))
        for there, here in (
            (layer._feedforward_intermediate_dense, "mlp_expand"),
            (layer._feedforward_output_dense, "mlp_contract"),
        ):
            there.kernel.assign(of(f"{here}/kernel"))
            there.bias.assign(of(f"{here}/bias"))
        x = value(layer(x, padding_mask=inputs["padding_mask"]))
    expected = value(model.get_layer("norm")(x))
    outputs = run(model, inputs)
    for found, wanted, length in zip(outputs, expected, LENGTHS, strict=True):
        np.testing.assert_allclose(found[:length], wanted[:length], rtol=1e-5, atol=1e-5)


def test_a_bias_is_of_the_distance_between_two_tokens():
    layer = transformer.SelfAttention(2, sequence_length=9)
    x = np.random.default_rng(0).normal(size=(1, 6, 8)).astype("float32")
    layer.build(x.shape)
    layer.biases.assign(np.random.default_rng(1).normal(size=layer.biases.shape))
    mask = np.arange(6)[None] < 5
    q, k, v = np.split(x[0] @ value(layer.qkv.kernel) + value(layer.qkv.bias), 3, axis=-1)
    w, expected = value(layer.biases), np.zeros((6, 8))
    for head, channels in enumerate((slice(0, 4), slice(4, 8))):
        for t in range(6):
            scores = [q[t, channels] @ k[s, channels] / 2 + w[head, t - s + 8] for s in range(5)]
            weights = np.exp(scores) / np.exp(scores).sum()
            expected[t, channels] = weights @ v[:5, channels]
    expected = expected @ value(layer.projection.kernel) + value(layer.projection.bias)
    found = value(layer(x, mask=ops.convert_to_tensor(mask)))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@POSITIONS
def test_padding_changes_nothing(positions):
    model = small(positions=positions)
    short, long = texts(6), texts(6)
    long = {name: np.pad(x, ((0, 0), (0, 3))) for name, x in long.items()}
    for found, wanted, n in zip(run(model, long), run(model, short), LENGTHS, strict=True):
        np.testing.assert_allclose(found[:n], wanted[:n], rtol=1e-5, atol=1e-5)


@POSITIONS
def test_every_weight_learns_also_where_blocks_are_computed_again(positions):
    task = transformer.TransformerMaskedLM(small(positions=positions))
    inputs = masked(texts(lengths=(6, 6, 6)))
    expected = run(task, inputs)
    rematerialize(task.backbone)
    np.testing.assert_allclose(run(task, inputs), expected, rtol=1e-5, atol=1e-5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    labels = np.random.default_rng(2).integers(0, 23, (3, 2))
    # A bias of all keys moves no attention, and neither do positions and tokens not seen.
    left = unmoved(task, inputs, labels, loss)
    assert {path.split("/")[-1] for path in left} <= {"embeddings", "biases"}


@pytest.mark.slow
@once
def test_they_are_as_large_as_gmlp():
    sizes = {}
    for name, config in mlm_pretraining.CONFIGURATIONS.items():
        if name.startswith("small_") and config.model != "BERT" and config.form == "split":
            sizes[name] = pretraining.build_task(config, 8_000).count_params()
    assert sizes["small_transformer"] == 4_873_856
    assert sizes["small_transformer_relative"] == 4_855_400
    for name, size in sizes.items():
        assert size == pytest.approx(sizes["small_gmlp"], rel=0.02), name


@once
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_heads": 3}, "`num_heads` must divide `dim`. Received: num_heads=3, dim=8"),
        (
            {"positions": "rotary"},
            '`positions` must be "absolute" or "relative". Received: .*rotary',
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        transformer.Transformer(**(SIZES | wrong))


@once
def test_biases_start_as_those_of_alibi():
    layer = transformer.SelfAttention(2, sequence_length=4)
    layer.build((None, 4, 8))
    distances = np.array([3, 2, 1, 0, 1, 2, 3])
    np.testing.assert_allclose(value(layer.biases), [-distances / 2, -distances / 4])
