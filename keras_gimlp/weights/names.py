"""How published files name and lay out the parameters of a model, both ways."""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Layout:
    """A pair of functions between the published tensor and ours.

    `ours` raises `ValueError` or `IndexError` for a tensor of another rank, and copies nothing.
    """

    ours: Callable
    theirs: Callable


VECTOR = Layout(lambda t: t, lambda v: v)
MATRIX = Layout(np.transpose, np.transpose)
CONVOLUTION = Layout(lambda t: t.transpose(2, 3, 1, 0), lambda v: v.transpose(3, 2, 0, 1))
# A matrix in the form of a convolution of one pixel.
POINTWISE = Layout(lambda t: t.reshape(t.shape[:2]).T, lambda v: v.T[:, :, None, None])
# A vector with axes for batch and tokens, which the ResMLP paper's own files lack.
TOKEN_VECTOR = Layout(lambda t: t.reshape(t.shape[-1:]), lambda v: v[None, None])


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


def mlp(ours, theirs):
    return dense(f"{ours}_expand", f"{theirs}.fc1") | dense(f"{ours}_contract", f"{theirs}.fc2")


def ends(embedding, their_embedding, norm_rows=norm):
    """What comes before the blocks and after them."""
    rows = convolution(embedding, their_embedding) | norm_rows("norm", "norm")
    return rows | dense("predictions", "head")
