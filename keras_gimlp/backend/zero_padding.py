"""Zeros around images, in a form that torch.compile can trace.

`keras.ops.pad` makes an object with a new name in each call, at which torch.compile gives up.
PyTorch gets its own function, the other backends `keras.ops.pad`. No figure is kept; to compare,
take `keras.ops.pad` everywhere:
`python -m studies.speed --models CycleMLP_B1 --backends torch --jit_compile on`.

The file can go when torch.compile traces `keras.ops.pad`.
"""

import keras
from keras import ops


def zero_pad(images, height, width):
    """Returns `(batch, height, width, channels)` with zeros before and after, two numbers each."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.nn.functional.pad(images, (0, 0, *width, *height))
    return ops.pad(images, ((0, 0), height, width, (0, 0)))


@keras.saving.register_keras_serializable(package="keras_gimlp")
class ZeroPadding2D(keras.layers.ZeroPadding2D):
    """A `keras.layers.ZeroPadding2D` with channels last."""

    def call(self, inputs):
        return zero_pad(inputs, *self.padding)
