"""The exact GELU, which keeps one tensor for the backward pass.

Keras calls `jax.nn.gelu` and `tf.nn.gelu`, which take the complementary error function. XLA
computes that more slowly than erf, ONNX does not have it, and autodiff keeps several tensors of the
size of the input. PyTorch's own GELU keeps one.

No figure is kept for GELU alone. To compare, let `fastest` return its argument:
`python -m studies.speed --config gmlp --models gMLP_S --modes training`.

The forms of JAX and TensorFlow can go when their own take erf and recompute its derivative.
"""

import math

import keras


def gelu(x):
    """Returns `x` times the cumulative normal distribution of `x`, `x (1 + erf(x / sqrt 2)) / 2`.

    For the backward pass, training keeps one tensor of it: `x`, or with JAX the slope at `x`.

    Reference:
        Hendrycks & Gimpel, "Gaussian Error Linear Units" (2016), arXiv:1606.08415.
    """
    return _gelu(x)


def fastest(activation):
    """Returns an activation, in the form above if it is the exact GELU."""
    return gelu if activation is keras.activations.gelu else activation


def normal(x, erf, exp):
    """Returns the cumulative normal distribution of `x`, and its density."""
    density = exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return 0.5 * (1 + erf(x * math.sqrt(0.5))), density


if keras.backend.backend() == "jax":
    import jax
    import jax.numpy as jnp

    def _gelu(x):
        return _compute(x.astype(jnp.promote_types(x.dtype, "float32"))).astype(x.dtype)

    @jax.custom_jvp
    def _compute(x):
        return x * normal(x, jax.lax.erf, jnp.exp)[0]

    @_compute.defjvp
    def _(primals, tangents):
        (x,), (tangent,) = primals, tangents
        cdf, density = normal(x, jax.lax.erf, jnp.exp)
        return x * cdf, tangent * (cdf + x * density)

elif keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    @tf.custom_gradient
    def _gelu(x):
        def gradient(upstream):
            cdf, density = normal(x, tf.math.erf, tf.exp)
            return upstream * (cdf + x * density)

        if x.dtype == tf.float32:
            # Both forms become one with the product before them, but `tf.nn.gelu` takes erfc, which
            # ONNX does not have. With 16 bits, 1 + erf would round what erfc keeps.
            return 0.5 * x * (1 + tf.math.erf(math.sqrt(0.5) * x)), gradient
        return tf.nn.gelu(x, approximate=False), gradient

else:
    import torch

    _gelu = torch.nn.functional.gelu
