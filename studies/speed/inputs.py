"""Random batches, the same for all models of a group."""

import numpy as np

IMAGE_CLASSES, TEXT_CLASSES = 1000, 2


def images(subject):
    """Returns channels-last images."""
    shape = (subject.batch_size, subject.size, subject.size, 3)
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def tokens(subject, vocabulary_size):
    """Returns the tokens of texts without padding."""
    shape = (subject.batch_size, subject.size)
    return np.random.default_rng(0).integers(vocabulary_size, size=shape).astype("int32")


def classes(subject, count):
    return np.random.default_rng(0).integers(count, size=subject.batch_size).astype("int32")
