"""What the text encoders of this package start with."""

import keras
from keras import ops


def token_inputs(tokens=None):
    """Returns the inputs of an encoder, and where there is a token as a boolean tensor.

    Args:
        tokens: Integer, the number of tokens of every example. Defaults to `None`, any.
    """
    inputs = {
        key: keras.Input((tokens,), dtype="int32", name=key)
        for key in ("token_ids", "padding_mask")
    }
    return inputs, ops.cast(inputs["padding_mask"], "bool")


def token_embedding(vocabulary_size, dim, dtype):
    """Returns the embedding of tokens, which also gives the logits of masked ones."""
    return keras.layers.ReversibleEmbedding(
        vocabulary_size,
        dim,
        embeddings_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        # Logits of a masked language model keep their digits under mixed precision.
        reverse_dtype=keras.dtype_policies.get(dtype).variable_dtype,
        dtype=dtype,
        name="token_embedding",
    )
