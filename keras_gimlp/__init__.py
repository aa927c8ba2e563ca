"""Gated MLPs for Keras 3, on TensorFlow, JAX and PyTorch.

Importing this package needs `keras` and the backend that `KERAS_BACKEND` names, and nothing else.
"""

from keras_gimlp import applications as applications
from keras_gimlp import distribution as distribution
from keras_gimlp import layers as layers
from keras_gimlp import optimizers as optimizers
from keras_gimlp import weights as weights
from keras_gimlp.counting import count_macs as count_macs
from keras_gimlp.rematerialization import rematerialize as rematerialize

__all__ = [
    "applications",
    "count_macs",
    "distribution",
    "layers",
    "optimizers",
    "rematerialize",
    "weights",
]
__version__ = "0.1.0"
