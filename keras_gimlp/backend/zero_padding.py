"""Zeros around images, in a form that torch.compile can trace."""

import keras
from keras import ops


def zero_pad(images, height, width):
    """Returns `(batch, height, width, channels)` with zeros before and after, two numbers each.

    `keras.ops.pad` makes an object with a new name in each call, at which torch.compile gives up.
    """
    if keras.backend.backend() == "torch":
        import torch

        return torch.nn.functional.pad(images, (0, 0, *width, *height))
    return ops.pad(images, ((0, 0), height, width, (0, 0)))


@keras.saving.register_keras_serializable(package="keras_gimlp")
class ZeroPadding2D(keras.layers.ZeroPadding2D):
    """A `keras.layers.ZeroPadding2D` with channels last."""

    def call(self, inputs):
        return zero_pad(inputs, *self.padding)
