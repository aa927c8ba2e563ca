"""A product and a sum for each channel, in one pass."""

import keras
from keras import ops


def scale_and_shift(x, scale, shift):
    """Returns `scale * x + shift`."""
    if keras.backend.backend() == "torch":
        import torch

        scale, shift = (ops.convert_to_tensor(value) for value in (scale, shift))
        return torch.addcmul(shift, x, scale)
    return x * scale + shift
