"""A Transformer to compare with: pre-norm, with absolute positions or relative biases.

Around its blocks it is gMLP's encoder, with a tied embedding and a final normalization, and with
BERT's normalization of the embeddings, without which it hardly learned. KerasHub's
`TransformerEncoder(normalize_first=True)` takes no biases; without them, the blocks are equal.
"""

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_gimlp.applications.common import add_residual
from keras_gimlp.applications.text import gmlp_tasks
from keras_gimlp.applications.text.token_inputs import token_embedding, token_inputs
from keras_gimlp.backend.dense import Dense
from keras_gimlp.backend.layer_normalization import LayerNormalization

EPSILON = 1e-6
MASKED = -1e9  # added to the scores of padding
SIZES = ("vocabulary_size", "depth", "dim", "ffn_dim", "num_heads", "positions")
SIZES += ("sequence_length", "dropout")
register = keras.saving.register_keras_serializable(package="keras_gimlp_recipes")


@register
class SelfAttention(keras.layers.Layer):
    """Attention of every token to all tokens, with a learned bias per head and distance.

    output_t = sum_s softmax_s(q_t k_s / sqrt(d) + w_(t-s)) v_s W_o + b_o

    There are `2 sequence_length - 1` biases `w` per head, as in T5 (arXiv:1910.10683), but one for
    every distance; none if `sequence_length` is `None`. They start as ALiBi's (arXiv:2108.12409)
    with eight heads, in both directions: `-2^(-i) |t - s|` in the `i`-th head, counted from 1.

    Call arguments: inputs of shape `(batch, tokens, channels)`, of which `num_heads` is a divisor,
    and a boolean mask `(batch, tokens)`, true where there is a token.
    """

    def __init__(self, num_heads, sequence_length=None, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.sequence_length = sequence_length
        self.supports_masking = True

    def build(self, input_shape):
        channels = input_shape[-1]
        self.qkv = dense(3 * channels, self.dtype_policy, "qkv")
        self.qkv.build(input_shape)
        self.projection = dense(channels, self.dtype_policy, "projection")
        self.projection.build(input_shape)
        if self.sequence_length is not None:
            self.biases = self.add_weight(
                (self.num_heads, 2 * self.sequence_length - 1), linear_biases, name="biases"
            )

    def call(self, inputs, mask):
        batch, tokens, channels = ops.shape(inputs)
        heads = (batch, tokens, self.num_heads, channels // self.num_heads)
        q, k, v = (ops.reshape(x, heads) for x in ops.split(self.qkv(inputs), 3, axis=-1))
        # (batch, heads, t, s)
        biases = ops.reshape(ops.where(mask, 0.0, MASKED), (batch, 1, 1, tokens))
        if self.sequence_length is not None:
            place = ops.arange(tokens)
            distance = ops.expand_dims(place, 1) - place
            biases = biases + ops.take(self.biases, distance + self.sequence_length - 1, axis=1)
        x = ops.dot_product_attention(q, k, v, bias=ops.cast(biases, q.dtype))
        return self.projection(ops.reshape(x, (batch, tokens, channels)))

    def get_config(self):
        return super().get_config() | {
            "num_heads": self.num_heads,
            "sequence_length": self.sequence_length,
        }


@register
class Transformer(keras_hub.models.Backbone):
    """A pre-norm Transformer encoder.

    output: (batch, tokens, dim), of integers token_ids and padding_mask (batch, tokens)

    Args:
        vocabulary_size: Integer, number of tokens.
        depth, dim, ffn_dim: Integers, blocks, channels per token, hidden units of the MLPs.
        num_heads: Integer, heads of the attention. Defaults to 8.
        positions: `"absolute"` for a learned vector per position, added to the embeddings, or
            `"relative"` for the biases of `SelfAttention` in every block. Defaults to `"absolute"`.
        sequence_length: Integer, maximum number of tokens. Defaults to 512.
        dropout: Float, dropout rate of embeddings and of every part of a block. Defaults to 0.
        dtype: Precision of the layers. Defaults to `None`, the global policy.
        **kwargs: `name`, `trainable`.

    Raises:
        ValueError: If `num_heads` does not divide `dim`, or `positions` is neither of the two.
    """

    def __init__(
        self,
        *,
        vocabulary_size,
        depth,
        dim,
        ffn_dim,
        num_heads=8,
        positions="absolute",
        sequence_length=512,
        dropout=0.0,
        dtype=None,
        name="transformer",
        **kwargs,
    ):
        if dim % num_heads:
            raise ValueError(
                f"`num_heads` must divide `dim`. Received: num_heads={num_heads}, dim={dim}"
            )
        if positions not in ("absolute", "relative"):
            raise ValueError(
                f'`positions` must be "absolute" or "relative". Received: positions={positions!r}'
            )
        self.token_embedding = token_embedding(vocabulary_size, dim, dtype)
        inputs, mask = token_inputs()
        x = self.token_embedding(inputs["token_ids"])
        if positions == "absolute":
            x = x + keras_hub.layers.PositionEmbedding(
                sequence_length,
                initializer=keras.initializers.TruncatedNormal(stddev=0.02),
                dtype=dtype,
                name="position_embedding",
            )(x)
        x = LayerNormalization(epsilon=EPSILON, dtype=dtype, name="embedding_norm")(x)
        x = keras.layers.Dropout(dropout, dtype=dtype, name="embedding_dropout")(x)
        biases = sequence_length if positions == "relative" else None
        for i in range(depth):
            x = block(x, mask, num_heads, biases, ffn_dim, dropout, dtype, name=f"block{i}")
        x = LayerNormalization(epsilon=EPSILON, dtype=dtype, name="norm")(x)
        super().__init__(inputs=inputs, outputs=x, dtype=dtype, name=name, **kwargs)
        self.vocabulary_size = vocabulary_size
        self.depth = depth
        self.dim = dim
        self.ffn_dim = ffn_dim
        self.num_heads = num_heads
        self.positions = positions
        self.sequence_length = sequence_length
        self.dropout = dropout
        # The names that KerasHub's tasks and heads look up.
        self.hidden_dim = dim
        self.max_sequence_length = sequence_length
        self.start_token_index = 0

    def get_config(self):
        return super().get_config() | {name: getattr(self, name) for name in SIZES}


def linear_biases(shape, dtype=None):
    """Returns the biases of ALiBi for heads and distances, `(heads, 2 N - 1)`."""
    heads, distances = shape
    slopes = 2.0 ** -np.arange(1, heads + 1)
    distance = np.abs(np.arange(distances) - distances // 2)
    return ops.convert_to_tensor(-slopes[:, None] * distance, dtype)


def block(x, mask, num_heads, biases, ffn_dim, dropout, dtype, name):
    """One pre-norm block on tokens of shape `(batch, N, dim)`."""
    y = LayerNormalization(epsilon=EPSILON, dtype=dtype, name=f"{name}_attention_norm")(x)
    y = SelfAttention(num_heads, biases, dtype=dtype, name=f"{name}_attention")(y, mask=mask)
    y = keras.layers.Dropout(dropout, dtype=dtype, name=f"{name}_attention_dropout")(y)
    x = add_residual(x, y, 0.0, f"{name}_attention", dtype=dtype)

    y = LayerNormalization(epsilon=EPSILON, dtype=dtype, name=f"{name}_mlp_norm")(x)
    y = dense(ffn_dim, dtype, f"{name}_mlp_expand", activation="gelu")(y)
    y = dense(x.shape[-1], dtype, f"{name}_mlp_contract")(y)
    y = keras.layers.Dropout(dropout, dtype=dtype, name=f"{name}_mlp_dropout")(y)
    return add_residual(x, y, 0.0, f"{name}_mlp", dtype=dtype)


def dense(units, dtype, name, **kwargs):
    """Returns a dense layer that starts as BERT's do."""
    start = keras.initializers.TruncatedNormal(stddev=0.02)
    return Dense(units, kernel_initializer=start, dtype=dtype, name=name, **kwargs)


def like_gmlp(kind, **parts):
    """Returns gMLP's class of a kind for `Transformer`; KerasHub finds it by its `backbone_cls`."""
    theirs = getattr(gmlp_tasks, f"gMLP{kind}")
    about = {"__doc__": f"`{theirs.__name__}` for `Transformer`.", "__module__": __name__}
    return register(
        type(f"Transformer{kind}", (theirs,), about | {"backbone_cls": Transformer} | parts)
    )


TransformerTokenizer = like_gmlp("Tokenizer")
TransformerTextClassifierPreprocessor = like_gmlp(
    "TextClassifierPreprocessor", tokenizer_cls=TransformerTokenizer
)
TransformerMaskedLMPreprocessor = like_gmlp(
    "MaskedLMPreprocessor", tokenizer_cls=TransformerTokenizer
)
TransformerTextClassifier = like_gmlp(
    "TextClassifier", preprocessor_cls=TransformerTextClassifierPreprocessor
)
TransformerMaskedLM = like_gmlp("MaskedLM", preprocessor_cls=TransformerMaskedLMPreprocessor)
