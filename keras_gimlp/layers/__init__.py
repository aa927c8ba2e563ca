"""The layers of which the models in `keras_gimlp.applications` are composed."""

from keras_gimlp.layers.spatial_gating_unit import SpatialGatingUnit as SpatialGatingUnit
from keras_gimlp.layers.tiny_attention import TinyAttention as TinyAttention
