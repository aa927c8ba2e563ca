"""The layers that the models in `keras_gimlp.applications` are built from."""

from keras_gimlp.layers.affine import Affine as Affine
from keras_gimlp.layers.attention_free_convolution import (
    AttentionFreeConvolution as AttentionFreeConvolution,
)
from keras_gimlp.layers.attention_free_mixing import AttentionFreeMixing as AttentionFreeMixing
from keras_gimlp.layers.combiner_attention import CombinerAttention as CombinerAttention
from keras_gimlp.layers.cycle_fc import CycleFC as CycleFC
from keras_gimlp.layers.gate_with_inhibition import GateWithInhibition as GateWithInhibition
from keras_gimlp.layers.inhibition import Inhibition as Inhibition
from keras_gimlp.layers.spatial_gating_unit import SpatialGatingUnit as SpatialGatingUnit
from keras_gimlp.layers.split_attention import SplitAttention as SplitAttention
from keras_gimlp.layers.tiny_attention import TinyAttention as TinyAttention

__all__ = [
    "Affine",
    "AttentionFreeConvolution",
    "AttentionFreeMixing",
    "CombinerAttention",
    "CycleFC",
    "GateWithInhibition",
    "Inhibition",
    "SpatialGatingUnit",
    "SplitAttention",
    "TinyAttention",
]
