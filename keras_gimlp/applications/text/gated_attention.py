"""Attention whose queries and keys are gated, in encoder layers of KerasHub.

The projections are those of the built attention layer, found by the names that they have in saved
files. `tests/test_private_names.py` says which private name of Keras or KerasHub is missing.
"""

import math

import keras
from keras import ops

from keras_gimlp.backend.pick import pick
from keras_gimlp.layers import GateWithInhibition


class GatedAttention(keras.layers.Layer):
    """Attention whose query and key projections are multiplied by gates with inhibition.

        q, k = g_q * (h W_q + b_q), g_k * (h W_k + b_k)    with the gates of h

    Args:
        attention: A built attention layer, whose weights this layer keeps using.
        gate_query: Whether the queries are gated.
        gate_key: Whether the keys are gated.
        **kwargs: Arguments of `GateWithInhibition`.
    """

    def __init__(self, attention, gate_query, gate_key, dtype, **kwargs):
        super().__init__(dtype=dtype, name="gated_attention")
        self.attention = attention
        self.gate_query = gate_query
        self.gate_key = gate_key
        self.gate = GateWithInhibition(
            gates=gate_query + gate_key, dtype=dtype, name="gate", **kwargs
        )

    @property
    def parts(self):
        """The sublayers of the attention."""
        return self.attention._flatten_layers(include_self=False, recursive=False)

    def part(self, name):
        """Returns `"query"`, `"key"`, `"value"` or `"attention_output"`, dense layers."""
        return next(layer for layer in self.parts if layer.name == name)

    def dropouts(self):
        """Returns the dropout layers of the attention, the last one for the shares of tokens."""
        return [layer for layer in self.parts if isinstance(layer, keras.layers.Dropout)]

    def project(self, hidden, attention_mask):
        """Returns gated queries, gated keys, and values, `(batch, tokens, heads, size)`."""
        query, key, value = (self.part(name)(hidden) for name in ("query", "key", "value"))
        # Whatever no token may attend to is padding.
        mask = None if attention_mask is None else ops.any(attention_mask, axis=-2)
        gates = iter(ops.split(self.gate(hidden, mask=mask), self.gate.gates, axis=-1))
        if self.gate_query:
            query = query * ops.reshape(next(gates), ops.shape(query))
        if self.gate_key:
            key = key * ops.reshape(next(gates), ops.shape(key))
        return query, key, value

    def mix(self, scores, value, attention_mask, training):
        """Returns the values mixed by the softmax of the scores, `(batch, heads, to, from)`."""
        shares = self.attention._masked_softmax(scores, attention_mask)
        shares = self.dropouts()[-1](shares, training=training)
        return ops.einsum("bhqk,bkhd->bqhd", shares, value)


class GatedMultiHeadAttention(GatedAttention):
    """Multi-head attention, around `keras.layers.MultiHeadAttention`."""

    def call(self, query, value, attention_mask=None, training=None):
        if attention_mask is not None:
            attention_mask = ops.cast(attention_mask, "bool")
        q, k, v = self.project(query, attention_mask)
        if self.attention.dropout:
            q = q * ops.cast(1 / math.sqrt(self.attention.key_dim), q.dtype)
            scores = ops.einsum("bqhd,bkhd->bhqk", q, k)
            y = self.mix(scores, v, attention_mask, training)
        else:
            mask = None if attention_mask is None else ops.expand_dims(attention_mask, 1)
            y = ops.dot_product_attention(
                q, k, v, mask=mask, flash_attention=keras.config.is_flash_attention_enabled()
            )
        return self.part("attention_output")(y)


class GatedDisentangledAttention(GatedAttention):
    """The attention of DeBERTaV3, around KerasHub's.

    The gated queries and keys enter the terms between contents and positions too. The projections
    of the relative positions are not gated. They are the same for every example and are computed
    once, where KerasHub computes them for each; with dropout, all examples lose the same ones, as
    in the code of DeBERTa's authors.
    """

    def call(self, inputs, rel_embeddings, attention_mask=None, training=None):
        q, k, v = self.project(inputs, attention_mask)
        positions = self.dropouts()[0](rel_embeddings[:1], training=training)
        scores = ops.einsum("bqhd,bkhd->bhqk", q, k) + self.relative_scores(q, k, positions)
        y = self.mix(scores * self.attention.scale_factor, v, attention_mask, training)
        return self.part("attention_output")(ops.reshape(y, ops.shape(inputs)))

    def relative_scores(self, query, key, positions):
        """Returns the scores of contents with positions and of positions with contents.

        Args:
            query: `(batch, tokens, heads, size)`.
            key: `(batch, tokens, heads, size)`.
            positions: `(1, 2 * bucket_size, hidden_dim)`, the embeddings of relative positions.

        Returns:
            `(batch, heads, tokens, tokens)`, to be scaled.
        """
        size = self.attention.bucket_size
        position_query = self.part("query")(positions)[0]  # (P, H, D)
        position_key = self.part("key")(positions)[0]
        tokens = ops.shape(query)[1]
        distances = self.attention._make_log_bucket_position(distances_of(tokens))
        to_key, to_query = (ops.clip(sign * distances + size, 0, 2 * size - 1) for sign in (1, -1))
        to_positions = ops.einsum("bqhd,phd->bhqp", query, position_key)
        from_positions = ops.einsum("bkhd,phd->bhkp", key, position_query)
        return pick(to_positions, to_key) + ops.swapaxes(pick(from_positions, to_query), -1, -2)


def distances_of(tokens):
    """Returns how far each token is from each other, `(tokens, tokens)`."""
    # KerasHub's repeats a row, and so fixes the number of tokens in exported models.
    positions = ops.arange(tokens, dtype="int32")
    return ops.expand_dims(positions, 1) - ops.expand_dims(positions, 0)


def add_gates(encoder_layer, wrapper, **kwargs):
    """Replaces the attention of a KerasHub encoder layer with a gated one around it."""
    gated = wrapper(encoder_layer._self_attention_layer, dtype=encoder_layer.dtype_policy, **kwargs)
    hidden_dim = gated.part("query").kernel.shape[0]
    with keras.name_scope(encoder_layer.name), keras.name_scope(gated.name):
        gated.gate.build((None, None, hidden_dim))
    gated.built = True
    # A built layer accepts new state only while unlocked, which is what Keras does for LoRA.
    encoder_layer._tracker.unlock()
    encoder_layer._self_attention_layer = gated
    encoder_layer._tracker.lock()
    return gated
