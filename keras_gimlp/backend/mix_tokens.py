"""A matrix over tokens times tokens, with the bias in one.

`keras.ops.matmul` and a sum are two operations. On PyTorch, a product with one matrix for the whole
batch also transposes the inputs and the outputs; `torch.baddbmm` does not, and adds the bias. The
other backends get `keras.ops`.

No figure is kept. To compare, take the last two lines for PyTorch too:
`python -m studies.speed --config gmlp --models gMLP_S --modes inference --backends torch`.

The file can go when `keras.ops` has a product of matrices that adds a bias.
"""

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

        # A batch of matrices is multiplied without a transposition.
        matrix = matrix.expand(inputs.shape[0], *matrix.shape[-2:])
        return torch.bmm(matrix, inputs) if bias is None else torch.baddbmm(bias, matrix, inputs)
    x = ops.matmul(matrix, inputs)
    return x if bias is None else x + bias
