"""Multiplications of a model's matrix products, as the papers count them."""

import math

import keras

from keras_gimlp import layers
from keras_gimlp.layers.class_token import ClassToken


def count_macs(model, tokens=None):
    """Returns the multiply-accumulates of all matrix products for one image, or text of `tokens`.

    Looking up the embedding of a token multiplies nothing.
    """
    return sum(layer_macs(layer, tokens) for layer in model.layers)


def layer_macs(layer, tokens=None):
    if isinstance(layer, keras.layers.Conv2D):
        return math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
    if isinstance(layer, keras.layers.Dense):
        return math.prod(layer.kernel.shape) * math.prod(tokens_of(layer, tokens))
    if isinstance(layer, layers.CycleFC):
        return math.prod(layer.dense.kernel.shape) * math.prod(layer.output.shape[1:-1])
    if isinstance(layer, layers.SplitAttention):
        return math.prod(layer.contract.kernel.shape) + math.prod(layer.expand.kernel.shape)
    if isinstance(layer, layers.GateWithInhibition):
        projections = (layer.gate_projection, *layer.inhibition_projections)
        weights = sum(math.prod(projection.kernel.shape) for projection in projections)
        return weights * math.prod(layer.output.shape[1:-1])
    if isinstance(layer, layers.SpatialGatingUnit):
        (tokens,) = tokens_of(layer, tokens)
        return tokens * tokens * layer.output.shape[-1]
    if isinstance(layer, layers.TinyAttention):
        (tokens,), units = tokens_of(layer, tokens), layer.output.shape[-1]
        channels, size = layer.qkv.kernel.shape[0], layer.attention_dim
        return tokens * (channels * 3 * size + 2 * tokens * size + size * units)
    if isinstance(layer, layers.AttentionFreeMixing | layers.AttentionFreeConvolution):
        return attention_free_macs(layer, math.prod(tokens_of(layer, tokens)))
    if hasattr(layer, "_self_attention_layer"):
        return encoder_layer_macs(layer, tokens)
    uncounted = (keras.layers.LayerNormalization, keras.layers.Embedding, layers.Affine, ClassToken)
    # KerasHub has embeddings of its own.
    if (
        layer.weights
        and not isinstance(layer, uncounted)
        and "Embedding" not in type(layer).__name__
    ):
        raise TypeError(f"It is not known how to count {layer}.")
    return 0


def attention_free_macs(layer, tokens):
    """Counts the projections, and both sums of the means: of weighted values, and of weights."""
    channels = layer.output.shape[-1]
    macs = tokens * math.prod(layer.qkv.kernel.shape) + tokens * channels * channels
    if isinstance(layer, layers.AttentionFreeConvolution):
        return macs + tokens * math.prod(layer.kernel.shape[:2]) * (channels + layer.num_heads)
    return macs if layer.form == "simple" else macs + tokens * tokens * 2 * channels


def encoder_layer_macs(layer, tokens):
    """Counts an encoder layer of KerasHub, whose attention may be gated.

    The positions of DeBERTaV3 are projected once for the text, whether or not it is in a batch.
    """
    matrices = (keras.layers.Dense, keras.layers.EinsumDense)
    inside = [x for x in layer._flatten_layers() if isinstance(x, matrices)]
    dim = layer._feedforward_output_dense.units
    macs = tokens * sum(math.prod(x.kernel.shape) for x in inside) + 2 * tokens**2 * dim
    attention = layer._self_attention_layer
    attention = getattr(attention, "attention", attention)  # inside the gates
    if hasattr(attention, "bucket_size"):
        positions = 2 * attention.bucket_size
        projections = (attention._query_dense, attention._key_dense)
        macs += positions * sum(math.prod(x.kernel.shape) for x in projections)
        macs += 2 * tokens * positions * dim
    return macs


def tokens_of(layer, tokens):
    """Returns the sizes between the batch and the channels, `tokens` where it is unknown."""
    return [tokens if size is None else size for size in layer.output.shape[1:-1]]
