"""Tensors in a file, of which only what the file states has been read."""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Stored:
    """A tensor in a file: its shape and type, which the file states, and how to read its values.

    A file can state gigabytes and hold kilobytes. What it states is compared with the model
    before `read` is called.

    Attributes:
        shape: Tuple of integers.
        dtype: Name of the type, such as `"float32"`.
        read: Function that returns the values as a NumPy array, those of type `bfloat16` in
            float32.
    """

    shape: tuple
    dtype: str
    read: Callable

    def through(self, function, shape=None):
        """Returns the tensor as `function` lays it out; as it is, if its rank is wrong for that.

        Args:
            function: Takes and returns an array. Called when the tensor is read.
            shape: Of the result. By default `function` is tried on an array that takes no memory,
                and must not copy it.
        """
        if shape is None:
            try:
                shape = function(np.broadcast_to(np.int8(0), self.shape)).shape
            except (ValueError, IndexError):
                return self
        return Stored(shape, self.dtype, lambda: function(self.read()))
