"""The exact GELU and its slope are those of Python's own error function."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp.backend.gelu import gelu

VALUES = np.concatenate([np.linspace(-8, 8, 4001), [-1e4, -100, -30, 30, 100, 1e4]])


def exact(x):
    """Returns GELU and its derivative, by Python's own error function."""
    cdf = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x])
    return x * cdf, cdf + x * np.exp(-0.5 * np.square(x)) / math.sqrt(2 * math.pi)


def value_and_slope(x, compiled=False):
    """Returns what `gelu` computes, and its gradient, in the precision of `x`."""
    x = ops.convert_to_tensor(x)
    if keras.backend.backend() == "jax":
        import jax

        value = jax.jit(gelu)(x)
        slope = jax.jit(jax.grad(lambda x: gelu(x).sum()))(x)
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function(jit_compile=compiled)
        def both(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = gelu(x)
            return value, tape.gradient(value, x)

        value, slope = both(x)
    else:
        x.requires_grad_()
        value = gelu(x)
        value.sum().backward()
        value, slope = value.detach(), x.grad
    assert value.dtype == slope.dtype == x.dtype
    return ops.convert_to_numpy(ops.cast(value, "float32")), ops.convert_to_numpy(
        ops.cast(slope, "float32")
    )


@pytest.mark.parametrize(
    "compiled", [False, pytest.param(True, marks=pytest.mark.backends("tensorflow"))]
)
def test_it_is_the_exact_gelu(compiled):
    value, slope = value_and_slope(VALUES.astype("float32"), compiled)
    expected_value, expected_slope = exact(VALUES)
    np.testing.assert_allclose(value, expected_value, rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(slope, expected_slope, rtol=1e-6, atol=4e-6)


@pytest.mark.backends("jax", "torch")  # TensorFlow's, within the product, rounds more often
def test_half_precision_is_rounded_once():
    x = ops.cast(VALUES.astype("float32"), "bfloat16")
    value, _ = value_and_slope(x)
    expected, _ = exact(ops.convert_to_numpy(ops.cast(x, "float32")).astype("float64"))
    np.testing.assert_allclose(value, expected, rtol=2**-8, atol=2e-6)
