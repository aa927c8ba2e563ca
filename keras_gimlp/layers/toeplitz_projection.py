"""The projection over tokens whose weights depend only on relative positions."""

import keras
from keras import ops

from keras_gimlp.backend.mix_tokens import mix_tokens


@keras.saving.register_keras_serializable(package="keras_gimlp")
class ToeplitzProjection(keras.layers.Layer):
    """Mixes tokens with a Toeplitz matrix: the spatial weights of a `SpatialGatingUnit`.

        output_i = sum_j w_(i-j) inputs_j + b_i

    `sequence_length` tokens have `2 sequence_length - 1` relative positions: `kernel[r +
    sequence_length - 1]` is `w_r`. Shorter inputs use the values in the middle.

    Args:
        sequence_length: Integer, maximum number of tokens.
        kernel_initializer: Initializer of `w`.
        bias_initializer: Initializer of `b`.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: Tensor of shape `(batch, tokens, channels)`.
        mask: Optional boolean tensor of shape `(batch, tokens)`, true where there is a token. A
            masked token contributes nothing to the output.

    Output shape:
        Same as `inputs`.
    """

    def __init__(self, sequence_length, kernel_initializer, bias_initializer, **kwargs):
        super().__init__(**kwargs)
        self.sequence_length = sequence_length
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.supports_masking = True

    def build(self, input_shape):
        n = self.sequence_length
        self.kernel = self.add_weight(
            shape=(2 * n - 1,), initializer=self.kernel_initializer, name="kernel"
        )
        self.bias = self.add_weight(shape=(n,), initializer=self.bias_initializer, name="bias")

    def call(self, inputs, mask=None):
        check_tokens(inputs.shape, self.sequence_length)
        tokens = ops.shape(inputs)[1]
        return mix_tokens(self.matrix(tokens), inputs, self.bias[:tokens], mask)

    def matrix(self, tokens):
        """Returns the `(tokens, tokens)` weights: each row is the one above, one to the right."""
        n, m = self.sequence_length, tokens
        # A row is one value shorter than the repeated pattern, so each starts one value earlier. A
        # gather is slower for many tokens on PyTorch, and no faster elsewhere.
        row = ops.flip(self.kernel[n - m : n + m - 1], 0)
        row = ops.concatenate([row, row[:1]])  # (2 N,); no row keeps the last
        rows = ops.reshape(ops.tile(row, (m,))[: m * (2 * m - 1)], (m, 2 * m - 1))
        return rows[:, m - 1 :]  # (N, N)

    def compute_output_shape(self, input_shape):
        check_tokens(input_shape, self.sequence_length)
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "sequence_length": self.sequence_length,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


def check_tokens(shape, sequence_length):
    """Raises `ValueError` if a shape is known to have more than `sequence_length` tokens."""
    if shape[1] is not None and shape[1] > sequence_length:
        raise ValueError(
            f"`inputs` must have at most `sequence_length` tokens, {sequence_length}. "
            f"Received: inputs.shape={tuple(shape)}"
        )
