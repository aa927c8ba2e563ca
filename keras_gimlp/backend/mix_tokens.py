"""A matrix over tokens times tokens."""

import keras
from keras import ops


def mix_tokens(matrix, inputs, bias=None, mask=None):
    """Returns a matrix over tokens times `(batch, tokens, channels)`, plus any bias.

    Masked tokens contribute nothing. The mask is applied to the matrix, as a rule smaller than the
    inputs.
    """
    if mask is not None:
        matrix = matrix * ops.cast(ops.expand_dims(mask, 1), matrix.dtype)  # (B, N, N)
    bias = None if bias is None else ops.expand_dims(bias, -1)
    if keras.backend.backend() == "torch":
        import torch

        # As a batch, for which it transposes nothing, and with the bias in one.
        matrix = matrix.expand(inputs.shape[0], *matrix.shape[-2:])
        return torch.bmm(matrix, inputs) if bias is None else torch.baddbmm(bias, matrix, inputs)
    x = ops.matmul(matrix, inputs)
    return x if bias is None else x + bias
