"""The single-head attention that aMLP adds to its spatial gating units."""

import keras
from keras import ops

from keras_gimlp.backend.dense import Dense
from keras_gimlp.layers.arguments import check_positive_integers
from keras_gimlp.layers.composite import CompositeLayer


@keras.saving.register_keras_serializable(package="keras_gimlp")
class TinyAttention(CompositeLayer):
    """Self-attention with one small head.

        q, k, v = inputs W_qkv + b_qkv
        output  = softmax(q kᵀ / sqrt(attention_dim)) v W_o + b_o

    Args:
        units: Integer, number of output channels. In aMLP, half of `ffn_dim`, so that the output
            can be added to the gate of a `SpatialGatingUnit`.
        attention_dim: Integer, size of the head. Defaults to 64.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: Tensor of shape `(batch, tokens, channels)`. Any number of tokens.
        mask: Optional boolean tensor of shape `(batch, tokens)`, true where there is a token. A
            masked token is not attended to.

    Output shape:
        `(batch, tokens, units)`.

    Raises:
        ValueError: If `units` or `attention_dim` is not a positive integer, or the inputs are not
            of rank 3 with known channels.

    Differences from the paper:
        None known. The paper has no mask.

    Example:

    ```python
    import keras
    from keras_gimlp import layers

    attention = layers.TinyAttention(units=768, attention_dim=64)
    attention(keras.ops.ones((2, 196, 256))).shape  # (2, 196, 768)
    ```

    Reference:
        Liu et al., "Pay Attention to MLPs" (2021), arXiv:2105.08050, Table 5 (aMLP).
    """

    def __init__(self, units, attention_dim=64, **kwargs):
        super().__init__(**kwargs)
        check_positive_integers(units=units, attention_dim=attention_dim)
        self.units = units
        self.attention_dim = attention_dim
        self.supports_masking = True

    def build(self, input_shape):
        if len(input_shape) != 3 or input_shape[2] is None:
            raise ValueError(
                "`TinyAttention` needs `inputs` of shape (batch, tokens, channels) with known "
                f"channels. Received: inputs.shape={tuple(input_shape)}"
            )
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={2: input_shape[2]})
        attended = (None, None, self.attention_dim)
        self.qkv = self.sublayer(Dense, "qkv", input_shape, units=3 * self.attention_dim)
        self.softmax = self.sublayer(keras.layers.Softmax, "softmax", (None, None, None))
        self.projection = self.sublayer(Dense, "projection", attended, units=self.units)

    def call(self, inputs, mask=None):
        q, k, v = ops.split(self.qkv(inputs), 3, axis=-1)  # (B, N, A) each
        scores = ops.matmul(q * self.attention_dim**-0.5, ops.transpose(k, (0, 2, 1)))  # (B, N, N)
        if mask is not None:
            mask = ops.expand_dims(mask, 1)  # (B, 1, N): over keys
        return self.projection(ops.matmul(self.softmax(scores, mask=mask), v))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "attention_dim": self.attention_dim,
        }
