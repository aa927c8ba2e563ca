"""Computing blocks again in the backward pass changes nothing but time and memory."""

import functools
import re

import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp import applications, rematerialize
from keras_gimlp.backend.dense import Dense
from keras_gimlp.families import block_of, blocks_of
from keras_gimlp.rematerialization import Recomputed
from tests.conftest import JIT, once
from tests.families import EVERY_FAMILY, images, tiny

TEXT = {"vocabulary_size": 12, "num_layers": 2, "num_heads": 2, "hidden_dim": 8}
TEXT |= {"intermediate_dim": 16, "dropout": 0.1}


def twins(build):
    """Returns two models with the same initial weights, the second rematerialized."""
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(0)  # of stochastic depth and dropout too
        models.append(build())
    rematerialize(getattr(models[1], "backbone", models[1]))
    return models


def trained(model, x, y, jit_compile):
    """Returns the weights after two steps, and the losses."""
    keras.utils.set_random_seed(1)  # PyTorch's own
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
    history = model.fit(x, y, batch_size=2, epochs=2, shuffle=False, verbose=0)
    return model.get_weights(), history.history["loss"]


def assert_trains_the_same(plain, remat, x, jit_compile=JIT):
    y = np.ones(ops.shape(plain(x)), "float32")
    expected, got = (trained(model, x, y, jit_compile) for model in (plain, remat))
    assert got[1] == pytest.approx(expected[1], rel=1e-5)
    for one, other in zip(expected[0], got[0], strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["aMLP", pytest.param("giCycleMLP", marks=pytest.mark.slow)])
def test_image_models_train_the_same(family):
    # Stochastic depth drops the same examples when a block is computed again.
    plain, remat = twins(lambda: tiny(family, include_top=False, drop_path_rate=0.5))
    assert_trains_the_same(plain, remat, images(2, 8, 8, 3))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "sizes"),
    [
        (
            applications.gMLP_MLM,
            {"vocabulary_size": 12, "depth": 2, "dim": 8, "ffn_dim": 16, "attention_dim": 4}
            | {"sequence_length": 6, "dropout": 0.1},
        ),
        (applications.giRoBERTa, TEXT),
        (applications.giDeBERTaV3, TEXT),
    ],
)
def test_text_encoders_train_the_same_inside_a_head(model, sizes):
    rng = np.random.default_rng(0)
    x = {
        "token_ids": rng.integers(1, 12, (2, 6)).astype("int32"),
        "padding_mask": np.array([[1] * 6, [1] * 4 + [0] * 2], "int32"),
    }
    plain, remat = twins(
        lambda: applications.TokenClassifier(
            model(**sizes, name="encoder"), num_classes=3, dropout=0.1
        )
    )
    assert_trains_the_same(plain, remat, x)


@pytest.mark.backends("tensorflow")  # JAX compiles anyway
def test_it_compiles_just_in_time():
    plain, remat = twins(lambda: tiny("aMLP", include_top=False, drop_path_rate=0.5))
    assert_trains_the_same(plain, remat, images(2, 8, 8, 3), jit_compile=True)


@once
@EVERY_FAMILY
def test_every_family_has_its_blocks(family):
    model = tiny(family, include_top=False)
    stages = ["stage0_block0", "stage1_block0", "stage1_block1"]
    assert blocks_of(model.layers) == (stages if "Cycle" in family else ["block0", "block1"])
    inside = [layer for layer in model.layers if block_of(layer)]
    # All layers but those that make tokens or maps, and the last normalization.
    trained = sum(layer.count_params() for layer in inside)
    outside = ("patch_embedding", "class_token", "norm", "stem", "stage1_downsample")
    rest = [layer for layer in model.layers if layer.name in outside]
    assert trained + sum(layer.count_params() for layer in rest) == model.count_params()


@pytest.mark.slow
def test_layers_keep_their_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    plain, remat = twins(lambda: tiny("giCycleMLP", include_top=False))
    x = images(2, 8, 8, 3)
    got = ops.convert_to_numpy(ops.cast(remat(x), "float32"))
    np.testing.assert_array_equal(got, ops.convert_to_numpy(ops.cast(plain(x), "float32")))


@pytest.mark.backends("tensorflow", "torch")
def test_a_block_is_computed_again(monkeypatch):
    calls = []
    call = Dense.call

    @functools.wraps(call)
    def counted(self, *args, **kwargs):
        calls.append(self.name)
        return call(self, *args, **kwargs)

    monkeypatch.setattr(Dense, "call", counted)
    x = images(2, 8, 8, 3)
    counts = []
    for model in twins(lambda: tiny("gMLP", include_top=False)):
        calls.clear()
        model.compile("sgd", "mse", run_eagerly=True)
        model.fit(x, np.ones((2, *model.output_shape[1:]), "float32"), verbose=0)
        counts.append([calls.count(f"block{i}_expand") for i in range(2)])
    plain, remat = counts
    assert remat == [count + 1 for count in plain]


@pytest.mark.backends("jax")
def test_a_block_is_marked_to_be_computed_again():
    import jax

    x = images(2, 8, 8, 3)
    plain, remat = twins(lambda: tiny("gMLP", include_top=False))
    plain, remat = (str(jax.make_jaxpr(model)(x)).count("remat2[") for model in (plain, remat))
    assert (plain, remat) == (0, 2)


def test_the_saved_model_is_a_plain_one(tmp_path):
    model = tiny("gMLP", classes=3)
    names = [v.path for v in model.variables]
    rematerialize(model)
    assert [v.path for v in model.variables] == names
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert not any(isinstance(layer, Recomputed) for layer in loaded._flatten_layers())
    x = images(2, 8, 8, 3)
    np.testing.assert_allclose(
        ops.convert_to_numpy(loaded(x)), ops.convert_to_numpy(model(x)), atol=1e-6
    )


@once
def test_a_model_without_blocks_is_refused():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=re.escape("`model` must be a functional model with")):
        rematerialize(model)
