"""The optimizer with which the recipes train."""

from keras_gimlp.backend.adamw import AdamW as AdamW

__all__ = ["AdamW"]
