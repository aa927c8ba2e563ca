"""A dense layer in the form that each backend computes fastest."""

import keras
from keras import ops

from keras_gimlp.backend.gelu import fastest


@keras.saving.register_keras_serializable(package="keras_gimlp")
class Dense(keras.layers.Dense):
    """A `keras.layers.Dense` whose product, bias and activation a backend computes in one.

    It takes what `keras.layers.Dense` takes, has the same weights under the same names, and saves,
    adapts (LoRA) and quantizes like it. The activation `"gelu"` is the exact GELU.

    TensorFlow and PyTorch add the bias within the product; TensorFlow's graphs compute the GELU
    there too. Keras' layer computes all three one after the other, each in new memory.

    Args:
        units: Integer, number of output channels.
        **kwargs: Arguments of `keras.layers.Dense`.

    Call arguments:
        inputs: Tensor of shape `(batch, ..., channels)`.

    Output shape:
        `(batch, ..., units)`.
    """

    def call(self, inputs, training=None):
        backend = keras.backend.backend()
        if self.bias is None or backend == "jax":  # XLA joins them itself
            x = ops.matmul(inputs, self.kernel)
            x = x if self.bias is None else x + self.bias
            return self.activate(x)
        kernel, bias = ops.convert_to_tensor(self.kernel), ops.convert_to_tensor(self.bias)
        if backend == "tensorflow":
            import tensorflow as tf

            # Only a product of matrices is joined with what follows.
            x = tf.matmul(tf.reshape(inputs, (-1, kernel.shape[0])), kernel)
            x = self.activate(tf.nn.bias_add(x, bias))
            return ops.reshape(x, (*ops.shape(inputs)[:-1], self.units))
        import torch

        if torch.compiler.is_compiling():  # which joins the bias with what follows
            return self.activate(torch.matmul(inputs, kernel) + bias)
        return self.activate(torch.nn.functional.linear(inputs, kernel.T, bias))

    def activate(self, x):
        return x if self.activation is None else fastest(self.activation)(x)

    def quantize(self, mode=None, type_check=True, config=None):
        # By default, Keras refuses subclasses of `Dense`.
        super().quantize(mode, type_check=False, config=config)
