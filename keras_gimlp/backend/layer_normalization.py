"""Layer normalization with a derivative of its own, on TensorFlow and JAX.

Keras leaves it to autodiff, which derives one from every operation. TensorFlow then keeps several
tensors of the size of the input; here it keeps the input, and two numbers a token. On JAX, XLA then
computes the sum of all blocks before it again in each layer normalization of a deep model; here it
does not. PyTorch has one operation for all of it, which Keras calls.

Measured on JAX: a training step of gMLP_S in float32 took twice as long with the derived one
(`python -m studies.speed --config gmlp --models gMLP_S --modes training --precisions float32`).

The file can go when Keras' layer has such a derivative.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_gimlp")
class LayerNormalization(keras.layers.LayerNormalization):
    """A `keras.layers.LayerNormalization` over the last axis, with a derivative of its own.

    Args:
        **kwargs: Arguments of `keras.layers.LayerNormalization`, except for those that change what
            it computes: `axis`, `center`, `scale` and `rms_scaling`.

    Call arguments:
        inputs: Tensor of shape `(batch, ..., channels)`.

    Output shape:
        Same as `inputs`.

    Reference:
        Ba et al., "Layer Normalization" (2016), arXiv:1607.06450.
    """

    def call(self, inputs):
        if keras.backend.backend() == "torch":  # which has one operation for all of it
            return super().call(inputs)
        return normalize(inputs, self.gamma.value, self.beta.value, self.epsilon)


def mean(x):
    return ops.mean(x, axis=-1, keepdims=True)


def moments(x, epsilon):
    """Returns the mean of every token, and one over its standard deviation."""
    middle = mean(x)
    return middle, ops.rsqrt(mean(ops.square(x - middle)) + epsilon)


def widen(x):
    """Returns a tensor in float32 at least."""
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))


def normalize(x, gamma, beta, epsilon):
    """Returns `gamma (x - mean) / deviation + beta` in the type of `x`."""
    return ops.cast(_normalize(x, widen(gamma), widen(beta), epsilon), x.dtype)


if keras.backend.backend() == "jax":
    import functools

    import jax

    @functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
    def _normalize(x, gamma, beta, epsilon):
        x = widen(x)
        middle, inverse = moments(x, epsilon)
        return (x - middle) * inverse * gamma + beta

    @_normalize.defjvp
    def _(epsilon, primals, tangents):
        (x, gamma, beta), (dx, dgamma, dbeta) = primals, tangents
        x, dx = widen(x), widen(dx)
        middle, inverse = moments(x, epsilon)
        normed, dx = (x - middle) * inverse, dx * inverse
        change = dx - mean(dx) - normed * mean(normed * dx)
        return normed * gamma + beta, change * gamma + normed * dgamma + dbeta

elif keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    def _normalize(x, gamma, beta, epsilon):
        @tf.custom_gradient
        def compute(x, gamma, beta):
            middle, inverse = moments(widen(x), epsilon)

            def gradient(upstream):
                normed = (widen(x) - middle) * inverse
                along = upstream * gamma
                dx = inverse * (along - mean(along) - normed * mean(normed * along))
                tokens = list(range(len(x.shape) - 1))
                dgamma, dbeta = (ops.sum(a, axis=tokens) for a in (upstream * normed, upstream))
                return ops.cast(dx, x.dtype), dgamma, dbeta

            scale = inverse * gamma
            return widen(x) * scale + (beta - middle * scale), gradient

        return compute(x, gamma, beta)
