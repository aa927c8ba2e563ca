"""The exact GELU, in the form that each backend computes fastest."""

import functools
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
    """Returns an activation, or what computes the same faster."""
    return gelu if activation is keras.activations.gelu else activation


def normal(x, erf, exp):
    """Returns the cumulative normal distribution of `x`, and its density."""
    density = exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return 0.5 * (1 + erf(x * math.sqrt(0.5))), density


if keras.backend.backend() == "jax":
    import jax
    import jax.numpy as jnp

    # By the complementary error function, as `jax.nn.gelu` has it, XLA takes four times as long.

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

    # erf(x) = x P(x²) / Q(x²) for |x| < 4, from the highest power to the lowest: the least maximum
    # of the error, 2e-8. Rounded to float32 it is 5e-7 at most. With torch.compile's own code for
    # erf, GELU takes about twice as long in bfloat16.
    P = (1.97482882e-06, 2.8804256e-04, 4.00367891e-03, 5.34675755e-02, 1.96249694e-01, 1.12837899)
    Q = (3.74809097e-05, 1.21636875e-03, 1.54444855e-02, 1.1647673e-01, 5.07252932e-01, 1.0)

    def _gelu(x):
        # Other runtimes know PyTorch's, and compute it with the product before it.
        compiling = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
        if compiling and x.dtype != torch.float64:
            return _Compiled.apply(x)
        return torch.nn.functional.gelu(x)

    def _erf(x):
        squared = x * x
        p, q = (functools.reduce(lambda sum, a: sum * squared + a, powers) for powers in (P, Q))
        return torch.where(x.abs() < 4, x * p / q, x.sign())

    class _Compiled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            y = x.float()
            return (y * normal(y, _erf, torch.exp)[0]).to(x.dtype)

        @staticmethod
        def backward(ctx, upstream):
            (x,) = ctx.saved_tensors
            y = x.float()
            cdf, density = normal(y, _erf, torch.exp)
            return (upstream.float() * (cdf + y * density)).to(x.dtype)
