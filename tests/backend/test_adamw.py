"""AdamW computes what Keras' AdamW computes."""

import sys

import keras
import numpy as np
import pytest
from keras import ops

import keras_gimlp
from tests.families import images, tiny

OPTIMIZERS = keras.optimizers.AdamW, keras_gimlp.optimizers.AdamW


def variables(dtype="float32"):
    rng = np.random.default_rng(0)
    shapes = (5, 7), (7,), (2, 3, 4)
    return [keras.Variable(rng.normal(size=shape), dtype=dtype) for shape in shapes]


def gradients(step, dtype="float32"):
    rng = np.random.default_rng(1 + step)
    arrays = [rng.normal(size=v.shape) * 10.0 ** -(2 * step) for v in variables()]
    return [ops.convert_to_tensor(x, dtype) for x in arrays]


def updated(optimizer, steps=4, dtype="float32"):
    """Returns the variables and the state after some steps, as NumPy arrays."""
    weights = variables(dtype)
    optimizer.build(weights)
    for step in range(steps):
        optimizer.apply(gradients(step, dtype), weights)
    return [ops.convert_to_numpy(ops.cast(v, "float32")) for v in weights + optimizer.variables]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_decay": 0.1, "epsilon": 1e-3, "beta_1": 0.8, "beta_2": 0.9},
        {"learning_rate": keras.optimizers.schedules.PolynomialDecay(0.1, 3)},
        {"global_clipnorm": 0.1, "gradient_accumulation_steps": 2},
        {"use_ema": True, "ema_momentum": 0.5},
        {"amsgrad": True},
    ],
    ids=["defaults", "other rates", "schedule", "clipped, accumulated", "average", "amsgrad"],
)
def test_weights_and_moments_are_those_of_keras(options):
    theirs, ours = (updated(cls(**{"learning_rate": 0.1} | options)) for cls in OPTIMIZERS)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.backends("torch")
def test_weights_of_sixteen_bits_are_those_of_32_rounded():
    """Keras corrects the moments in the type of the weights, in which 0.999 is 1."""
    optimizer = keras_gimlp.optimizers.AdamW
    exact, rounded = (updated(optimizer(0.1), dtype=x) for x in ("float32", "bfloat16"))
    for a, b in zip(rounded[:3], exact[:3], strict=True):
        np.testing.assert_allclose(a, b, rtol=0.02, atol=0.02)


def test_gradients_may_lie_in_any_order():
    straight, turned = (keras.Variable(np.ones((3, 4), "float32")) for _ in range(2))
    gradient = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    for variable, g in (
        (straight, ops.convert_to_tensor(gradient)),
        (turned, ops.transpose(ops.convert_to_tensor(gradient.T.copy()))),
    ):
        optimizer = keras_gimlp.optimizers.AdamW(0.1)
        optimizer.build([variable])
        optimizer.apply([g], [variable])
    np.testing.assert_array_equal(*map(ops.convert_to_numpy, (straight, turned)))
    # A first step is one of the learning rate, whatever the size of the gradient.
    expected = (1 - 0.1 * 0.004) * np.ones((3, 4)) - 0.1 * np.sign(gradient)
    np.testing.assert_allclose(ops.convert_to_numpy(straight), expected, rtol=1e-4)


@pytest.mark.backends("torch")
@pytest.mark.parametrize("name", ["_momentums", "_velocities", "_get_variable_index"])
def test_without_a_private_name_of_keras_it_is_keras_own(name, monkeypatch):
    cls, expected = keras_gimlp.optimizers.AdamW, updated(keras.optimizers.AdamW(0.1))
    existing, asked = cls.__getattribute__, []

    def get(self, key):
        if key == name and sys._getframe(1).f_globals["__name__"] == "keras_gimlp.backend.adamw":
            asked.append(key)
            raise AttributeError(name)
        return existing(self, key)

    monkeypatch.setattr(cls, "__getattribute__", get)
    for ours, theirs in zip(updated(cls(0.1)), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert asked


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of PyTorch's compiler about itself
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_model_trains_as_with_keras(jit_compile, tmp_path):
    if keras.backend.backend() == "torch":
        import torch

        torch._dynamo.reset()
    x, y = images(8, 8, 8, 3), np.arange(8) % 3
    outputs = []
    model = tiny(classes=3)
    start = [ops.convert_to_numpy(v) for v in model.weights]
    for cls in OPTIMIZERS:
        model.set_weights(start)
        model.compile(cls(0.01), "sparse_categorical_crossentropy", jit_compile=jit_compile)
        model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        outputs.append(model.predict(x, verbose=0))
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-5)
    assert not np.allclose(outputs[0], tiny(classes=3).predict(x, verbose=0), atol=1e-3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is keras_gimlp.optimizers.AdamW
    loaded.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    outputs = (m.predict(x, verbose=0) for m in (model, loaded))
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-5)
