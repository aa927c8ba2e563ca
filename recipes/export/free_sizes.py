"""Operations of Keras 3.15 in forms that keep free sizes free, and that every format has."""

import contextlib
from unittest import mock

import keras
from keras import ops
from keras.src.backend import numpy as backend

_absolute, _arange = backend.absolute, backend.arange
_repeat, _sign = backend.repeat, backend.sign


@contextlib.contextmanager
def free_sizes():
    """Within it, models are traced whose sizes stay free.

    Keras' own operations are replaced where they make constants of free sizes: layers of Keras and
    KerasHub call them too, and Keras has no public place for another form.
    """
    replaced = {"absolute": absolute, "arange": arange, "repeat": repeat, "sign": sign}
    if keras.backend.backend() == "torch":
        replaced["take_along_axis"] = take_along_axis
    with mock.patch.multiple(backend, **replaced):
        yield


def arange(start, stop=None, step=None, dtype=None):
    """`ops.arange`, which finds no type for a free size of PyTorch."""
    if dtype is None and not isinstance(start, int | float) and not hasattr(start, "dtype"):
        dtype = "int32"
    return _arange(start, stop, step, dtype)


def repeat(x, repeats, axis=None):
    """`ops.repeat`, which with a free number of repeats leaves the shape unknown."""
    if axis is None or isinstance(repeats, list | tuple) or len(getattr(repeats, "shape", ())):
        return _repeat(x, repeats, axis)
    axis %= len(x.shape)
    *before, size = ops.shape(x)[: axis + 1]
    after = ops.shape(x)[axis + 1 :]
    x = ops.broadcast_to(ops.expand_dims(x, axis + 1), (*before, size, repeats, *after))
    return ops.reshape(x, (*before, size * repeats, *after))


def take_along_axis(x, indices, axis=None):
    """`ops.take_along_axis`: PyTorch's own makes constants of the sizes."""
    shape = list(x.shape)
    shape[axis] = indices.shape[axis]
    return x.gather(axis, indices.long().expand(shape))


def absolute(x):
    """`ops.abs`, which LiteRT does not have for integers of 64 bits."""
    return ops.maximum(x, -x) if whole(x) else _absolute(x)


def sign(x):
    """`ops.sign`, which LiteRT does not have for integers."""
    return ops.clip(x, -1, 1) if whole(x) else _sign(x)


def whole(x):
    return "int" in keras.backend.standardize_dtype(x.dtype)
