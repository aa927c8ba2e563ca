"""Multiplications of a model's matrix products, as the papers count them."""

import math

import keras

from keras_gimlp import layers


def count_macs(model):
    """Returns the multiply-accumulates of all matrix products for one image."""
    return sum(layer_macs(layer) for layer in model.layers)


def layer_macs(layer):
    if isinstance(layer, keras.layers.Conv2D):
        return math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
    if isinstance(layer, keras.layers.Dense):
        return math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
    if isinstance(layer, layers.CycleFC):
        return math.prod(layer.dense.kernel.shape) * math.prod(layer.output.shape[1:-1])
    if isinstance(layer, layers.SplitAttention):
        return math.prod(layer.contract.kernel.shape) + math.prod(layer.expand.kernel.shape)
    if isinstance(layer, layers.GateWithInhibition):
        projections = (layer.gate_projection, *layer.inhibition_projections)
        weights = sum(math.prod(projection.kernel.shape) for projection in projections)
        return weights * math.prod(layer.output.shape[1:-1])
    if isinstance(layer, layers.SpatialGatingUnit):
        _, tokens, channels = layer.output.shape
        return tokens * tokens * channels
    if isinstance(layer, layers.TinyAttention):
        _, tokens, units = layer.output.shape
        channels, size = layer.input.shape[-1], layer.attention_dim
        return tokens * (channels * 3 * size + 2 * tokens * size + size * units)
    if layer.weights and not isinstance(layer, (keras.layers.LayerNormalization, layers.Affine)):
        raise TypeError(f"It is not known how to count {layer}.")
    return 0
