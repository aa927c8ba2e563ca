"""How the parameters of a model are called and laid out in its published files, both ways."""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Layout:
    """A pair of functions between the published tensor and ours."""

    ours: Callable
    theirs: Callable


VECTOR = Layout(lambda t: t, lambda v: v)
MATRIX = Layout(np.transpose, np.transpose)
CONVOLUTION = Layout(lambda t: t.transpose(2, 3, 1, 0), lambda v: v.transpose(3, 2, 0, 1))
# A matrix in the form of a convolution of one pixel.
POINTWISE = Layout(lambda t: t.reshape(t.shape[:2]).T, lambda v: v.T[:, :, None, None])
# A vector with axes for batch and tokens; the ResMLP paper's own files have them not.
TOKEN_VECTOR = Layout(np.ravel, lambda v: v[None, None])


@dataclasses.dataclass(frozen=True)
class Correspondence:
    """Between a model's variables and the tensors of its published files.

    Attributes:
        rows: By the path of each variable, the name of the tensor and its `Layout`.
        constants: By name, tensors that the files hold and the model computes.
        renamed: Function from a name in an older kind of file to the one in `rows`.
    """

    rows: dict
    constants: dict = dataclasses.field(default_factory=dict)
    renamed: Callable = str


def dense(ours, theirs, layout=MATRIX, bias=True):
    rows = {f"{ours}/kernel": (f"{theirs}.weight", layout)}
    return rows | ({f"{ours}/bias": (f"{theirs}.bias", VECTOR)} if bias else {})


def convolution(ours, theirs):
    return dense(ours, theirs, CONVOLUTION)


def norm(ours, theirs):
    return {
        f"{ours}/gamma": (f"{theirs}.weight", VECTOR),
        f"{ours}/beta": (f"{theirs}.bias", VECTOR),
    }


def affine(ours, theirs):
    return {
        f"{ours}/alpha": (f"{theirs}.alpha", TOKEN_VECTOR),
        f"{ours}/beta": (f"{theirs}.beta", TOKEN_VECTOR),
    }


def scale(ours, theirs):
    return {f"{ours}/alpha": (theirs, VECTOR)}
