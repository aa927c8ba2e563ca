"""Layer normalization that keeps little for the backward pass."""

import keras


@keras.saving.register_keras_serializable(package="keras_gimlp")
class LayerNormalization(keras.layers.LayerNormalization):
    """A `keras.layers.LayerNormalization` over the last axis.

    On TensorFlow, where nothing fuses it, Keras' layer keeps several tensors of the size of its
    input until the backward pass. This one keeps the input, and a mean and a deviation per token.

    Args:
        **kwargs: Arguments of `keras.layers.LayerNormalization`.

    Call arguments:
        inputs: Tensor of shape `(batch, ..., channels)`.

    Output shape:
        Same as `inputs`.
    """

    def call(self, inputs):
        if keras.backend.backend() != "tensorflow":
            return super().call(inputs)
        return normalize(inputs, self.gamma.value, self.beta.value, self.epsilon)


def normalize(x, gamma, beta, epsilon):
    """Returns `gamma (x - mean) / deviation + beta`, computed in float32 at least (TensorFlow)."""
    import tensorflow as tf

    @tf.custom_gradient
    def compute(x, gamma, beta):
        y = tf.cast(x, gamma.dtype)
        mean, variance = tf.nn.moments(y, [-1], keepdims=True)
        inverse = tf.math.rsqrt(variance + epsilon)

        def gradient(upstream):
            upstream = tf.cast(upstream, gamma.dtype)
            normed = (tf.cast(x, gamma.dtype) - mean) * inverse
            tokens = list(range(len(x.shape) - 1))
            g = upstream * gamma
            along = tf.reduce_mean(g * normed, -1, keepdims=True)
            dx = inverse * (g - tf.reduce_mean(g, -1, keepdims=True) - normed * along)
            return (
                tf.cast(dx, x.dtype),
                tf.reduce_sum(upstream * normed, tokens),
                tf.reduce_sum(upstream, tokens),
            )

        scale = inverse * gamma
        return tf.cast(y * scale + (beta - mean * scale), x.dtype), gradient

    return compute(x, gamma, beta)
