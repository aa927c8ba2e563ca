"""A dense layer whose product, bias and activation are one operation.

Keras computes the three one after the other, each in new memory. TensorFlow's oneDNN joins a
product of matrices with `bias_add` and the activation, PyTorch adds the bias within the product.
XLA joins all three by itself: JAX gets the operations of Keras.

Measured on TensorFlow: only in this form is bfloat16 faster than float32. No other figure is kept;
to compare, replace `Dense` by `keras.layers.Dense`:
`python -m studies.speed --config gmlp --models gMLP_S --modes inference`.

The file can go when Keras' layer calls these operations.
"""

import keras
from keras import ops

from keras_gimlp.backend.gelu import fastest


@keras.saving.register_keras_serializable(package="keras_gimlp")
class Dense(keras.layers.Dense):
    """A `keras.layers.Dense` whose product, bias and activation are one operation.

    It takes what `keras.layers.Dense` takes, has the same weights under the same names, and saves,
    adapts (LoRA) and quantizes like it. The activation `"gelu"` is the exact GELU.

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
