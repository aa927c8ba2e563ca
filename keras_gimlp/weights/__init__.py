"""Where parameters come from: files that are checked as a whole before a model changes.

loading -> fetching -> catalogue -> files
loading, exporting -> names -> files
"""

from keras_gimlp.weights.catalogue import Entry as Entry
from keras_gimlp.weights.catalogue import find as find
from keras_gimlp.weights.catalogue import list_weights as list_weights
from keras_gimlp.weights.exporting import export_weights as export_weights
from keras_gimlp.weights.loading import load_weights as load_weights
from keras_gimlp.weights.resizing import Spatial as Spatial

__all__ = [
    "Entry",
    "Spatial",
    "export_weights",
    "find",
    "list_weights",
    "load_weights",
]
