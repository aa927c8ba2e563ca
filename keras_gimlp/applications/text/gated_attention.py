"""Attention whose queries and keys are gated, around the attention layers of Keras and KerasHub.

It uses their private names; `tests/applications/text/test_gated_encoders.py` names the one that is
missing.
"""

import keras
from keras import ops

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

    def gated(self, query, key, hidden, attention_mask):
        """Multiplies projections, `(batch, tokens, heads, size)`, by the gates of `hidden`."""
        # Whatever no token may attend to is padding.
        mask = None if attention_mask is None else ops.any(attention_mask, axis=-2)
        gates = iter(ops.split(self.gate(hidden, mask=mask), self.gate.gates, axis=-1))
        if self.gate_query:
            query = query * ops.reshape(next(gates), ops.shape(query))
        if self.gate_key:
            key = key * ops.reshape(next(gates), ops.shape(key))
        return query, key


class GatedMultiHeadAttention(GatedAttention):
    """Around `keras.layers.MultiHeadAttention`."""

    def call(self, query, value, attention_mask=None, training=None):
        attention = self.attention
        q, k = self.gated(
            attention._query_dense(query), attention._key_dense(value), query, attention_mask
        )
        mask = attention._compute_attention_mask(query, value, attention_mask=attention_mask)
        output, _ = attention._compute_attention(
            q, k, attention._value_dense(value), mask, training
        )
        return attention._output_dense(output)


class GatedDisentangledAttention(GatedAttention):
    """Around the attention of KerasHub's DeBERTaV3.

    The gated queries and keys enter the terms between contents and positions too. The projections
    of the relative positions are not gated. They are the same for every example and are computed
    once, where KerasHub computes them for each; with dropout, all examples lose the same ones, as
    in the code of DeBERTa's authors.
    """

    def call(self, inputs, rel_embeddings, attention_mask=None, training=None):
        attention = self.attention
        q, k = self.gated(
            attention._query_dense(inputs), attention._key_dense(inputs), inputs, attention_mask
        )
        positions = attention._position_dropout_layer(rel_embeddings[:1], training=training)
        scores = ops.einsum("bqhd,bkhd->bhqk", q, k) + self.relative_scores(q, k, positions)
        scores = attention._masked_softmax(scores * attention.scale_factor, attention_mask)
        scores = attention._attn_dropout_layer(scores, training=training)
        output = ops.einsum("bhqk,bkhd->bqhd", scores, attention._value_dense(inputs))
        return attention._output_dense(ops.reshape(output, ops.shape(inputs)))

    def relative_scores(self, query, key, positions):
        """Returns the scores of contents with positions and of positions with contents.

        Args:
            query: `(batch, tokens, heads, size)`.
            key: `(batch, tokens, heads, size)`.
            positions: `(1, 2 * bucket_size, hidden_dim)`, the embeddings of relative positions.

        Returns:
            `(batch, heads, tokens, tokens)`, to be scaled.
        """
        attention = self.attention
        position_query = attention._query_dense(positions)[0]  # (P, H, D)
        position_key = attention._key_dense(positions)[0]
        distances = attention._make_log_bucket_position(distances_of(ops.shape(query)[1]))
        last = 2 * attention.bucket_size - 1
        to_key, to_query = (
            ops.clip(sign * distances + attention.bucket_size, 0, last) for sign in (1, -1)
        )
        to_positions = ops.einsum("bqhd,phd->bhqp", query, position_key)
        from_positions = ops.einsum("bkhd,phd->bhkp", key, position_query)
        return pick(to_positions, to_key) + ops.swapaxes(pick(from_positions, to_query), -1, -2)


def distances_of(tokens):
    """Returns how far each token is from each other, `(tokens, tokens)`."""
    # KerasHub's repeats a row, and so fixes the number of tokens in exported models.
    positions = ops.arange(tokens, dtype="int32")
    return ops.expand_dims(positions, 1) - ops.expand_dims(positions, 0)


def pick(scores, indices):
    """Returns `(batch, heads, N, N)` out of `(batch, heads, N, P)`, by indices `(N, N)`."""
    indices = ops.broadcast_to(indices, (*ops.shape(scores)[:-1], ops.shape(indices)[-1]))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # `take_along_axis` loses the shape of texts of any length.
        return tf.gather(scores, indices, batch_dims=3)
    return ops.take_along_axis(scores, indices, axis=-1)


def add_gates(encoder_layer, wrapper, **kwargs):
    """Replaces the attention of a KerasHub encoder layer with a gated one around it."""
    attention = encoder_layer._self_attention_layer
    gated = wrapper(attention, dtype=encoder_layer.dtype_policy, **kwargs)
    hidden_dim = encoder_layer._feedforward_output_dense.units
    with keras.name_scope(encoder_layer.name), keras.name_scope(gated.name):
        gated.gate.build((None, None, hidden_dim))
    gated.built = True
    # A built layer accepts new state only while unlocked, which is what Keras does for LoRA.
    encoder_layer._tracker.unlock()
    encoder_layer._self_attention_layer = gated
    encoder_layer._tracker.lock()
    return gated
