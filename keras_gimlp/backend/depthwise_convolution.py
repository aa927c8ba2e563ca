"""A depthwise convolution as products of matrices, on processors.

Keras calls the backend's own convolution, as this file does on accelerators and on PyTorch. On
processors, TensorFlow's and JAX's is slow, and their products of matrices are fast.

No figure is kept. To compare, return `ops.depthwise_conv` always:
`python -m studies.speed --models AFT_Conv_S_384_11 --backends jax tensorflow --no_peers`.

The file can go when XLA convolves depthwise on processors as fast as it multiplies.
"""

import keras
from keras import ops


def depthwise_convolution(x, kernel):
    """Returns images convolved channel by channel with zeros around them, in their own size.

        output[h, w] = sum over i, j of kernel[i, j] x[h + i - rows // 2, w + j - columns // 2]

    Args:
        x: Tensor of shape `(batch, height, width, channels)`.
        kernel: Tensor of shape `(rows, columns, channels)`, of odd numbers of rows and columns.
    """
    if on_processors_by_xla():
        return products(x, kernel)
    kernel = ops.expand_dims(kernel, -1)
    return ops.depthwise_conv(x, kernel, padding="same", data_format="channels_last")


def on_processors_by_xla():
    """Returns whether TensorFlow or JAX computes, without an accelerator."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() == "cpu"
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return not any(map(tf.config.list_logical_devices, ("GPU", "TPU")))
    return False


def products(x, kernel):
    """Returns the convolution by a product for every two rows of the output.

    The rows of the image that the kernel reaches from such a pair are laid out in one line, and a
    matrix says by how much each pixel of the line counts in each pixel of the pair. Of 3 rows:

        line     h - 1 | h       | h + 1   | h + 2
        row h    first | second  | third   | zeros
        row h+1  zeros | first   | second  | third        rows of the kernel, shifted to each column
    """
    rows, columns, channels = kernel.shape
    batch, height, width, _ = ops.shape(x)
    place = ops.cumsum(ops.ones_like(x[0, 0, :, 0]))  # an unknown number of columns
    column = ops.expand_dims(place, 1) - ops.expand_dims(place, 0) + columns // 2  # (read, written)
    numbers = ops.reshape(ops.arange(columns, dtype=column.dtype), (-1, 1, 1))
    chosen = ops.cast(ops.equal(column, numbers), x.dtype)  # (columns, W, W)
    row = ops.tensordot(ops.transpose(kernel, (2, 0, 1)), chosen, axes=1)  # (C, rows, W, W)
    first, second = (ops.pad(row, ((0, 0), more, (0, 0), (0, 0))) for more in ((0, 1), (1, 0)))
    matrices = ops.stack([first, second], axis=3)  # (C, rows + 1, W, 2, W)
    matrices = ops.reshape(matrices, (channels, (rows + 1) * width, 2 * width))

    # The row too many below is the second one of the last pair, if the height is odd.
    x = ops.transpose(x, (3, 0, 1, 2))
    x = ops.pad(x, ((0, 0), (0, 0), (rows // 2, rows // 2 + 1), (0, 0)))
    pairs, written = (height + 1) // 2 + rows // 2, (height + 1) // 2
    x = ops.reshape(x[:, :, : 2 * pairs], (channels, batch, pairs, 2 * width))
    reached = [x[:, :, pair : pair + written] for pair in range(rows // 2 + 1)]
    x = ops.reshape(
        ops.concatenate(reached, axis=-1), (channels, batch * written, (rows + 1) * width)
    )
    x = ops.reshape(ops.matmul(x, matrices), (channels, batch, 2 * written, width))
    return ops.transpose(x[:, :, :height], (1, 2, 3, 0))
