"""The class token, and the embeddings of the positions."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_gimlp")
class ClassToken(keras.layers.Layer):
    """Puts a trained token before those of an image, and adds to all an embedding of the position.

    Both start with a standard deviation of 0.02.

    Args:
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: Tensor of shape `(batch, tokens, channels)`, with the number of tokens that it was
            built with.

    Output shape:
        `(batch, 1 + tokens, channels)`.

    Reference:
        Dosovitskiy et al., "An Image is Worth 16x16 Words" (2021), arXiv:2010.11929, equation 1.
    """

    def build(self, input_shape):
        _, tokens, channels = input_shape
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={1: tokens, 2: channels})
        start = keras.initializers.TruncatedNormal(stddev=0.02)
        self.token = self.add_weight((1, channels), start, name="token")
        self.positions = self.add_weight((1 + tokens, channels), start.clone(), name="positions")

    def call(self, inputs):
        # As often as there are images. In this order: on TensorFlow, Keras 3.15 gives a sum the
        # rank of its first summand where the second has one axis of more than one value.
        token = ops.zeros_like(inputs[:, :1]) + self.token
        return ops.concatenate([token, inputs], axis=1) + self.positions

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 1 + input_shape[1], input_shape[2])
