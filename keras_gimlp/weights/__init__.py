"""Where parameters come from: files, read and checked as a whole before a model is touched."""

from keras_gimlp.weights.loading import load_weights as load_weights
