"""Fits the weights that mix tokens to another image size."""

import dataclasses
import math

import numpy as np
from keras import ops

# Of a file, since resampling takes memory for their square. More for models that have more.
MOST_TOKENS = 64 * 64


@dataclasses.dataclass(frozen=True)
class Spatial:
    """Fits the weights that mix tokens to a model whose images have another size.

    The tokens lie on a grid. A spatial matrix `W` from the file's grid to itself becomes

        W' = U W R    and a bias    b' = U b

    where `R` resamples a map from the model's grid to the file's, and `U` from the file's to the
    model's, both by cubic interpolation between the centers of the patches, averaging where the
    grid becomes coarser. So `W'` does to a resampled map about what `W` does to the map. The
    rows of `U` and `R` sum to 1: the sums of the rows of `W'` are the interpolated sums of the rows
    of `W`. Between equal grids nothing changes.

    Attributes:
        axes: By the end of a variable's path, the axis over the tokens that are read and the axis
            over the tokens that are written, `None` where the variable has no such axis.
        grid: `(rows, columns)` of the model's tokens.
        resize: Whether files of other grids are accepted: `True` for square ones, `(rows, columns)`
            of the file's tokens for others. A file may have 4,096 tokens, or 16 times as many as
            the model.
        others: Number of tokens before the grid, such as a class token, whose weights are kept.
    """

    axes: dict
    grid: tuple
    resize: bool | tuple = False
    others: int = 0

    def __post_init__(self):
        if not isinstance(self.resize, bool) and len(self.resize) != 2:
            raise ValueError(
                "`resize_spatial` must be True, False or the grid (rows, columns) of the file's "
                f"tokens. Received: resize_spatial={self.resize!r}"
            )

    def fit(self, path, tensor, shape):
        """Returns `tensor` resized for the variable at `path` of this `shape`, if it has to be."""
        for axis, (grid, is_read) in self.resized_axes(path, tensor.shape, shape).items():
            # Over an axis that is read, from the right: W R; over one that is written, U W.
            matrix = resampling(self.grid, grid).T if is_read else resampling(grid, self.grid)
            kept, tensor = np.split(tensor, [self.others], axis)
            tensor = np.moveaxis(np.tensordot(matrix, tensor, axes=(1, axis)), 0, axis)
            tensor = np.concatenate([kept, tensor], axis)
        return tensor

    def fit_stored(self, path, tensor, shape):
        """Returns a `Stored` tensor that `fit` resizes when it is read, if it has to be."""
        axes = self.resized_axes(path, tensor.shape, shape)
        if not axes:
            return tensor
        fitted = (shape[i] if i in axes else size for i, size in enumerate(tensor.shape))
        return tensor.through(lambda t: self.fit(path, t, shape), tuple(fitted))

    def resized_axes(self, path, stored, shape):
        """Returns `(grid, is_read)` of the axes to resize in a tensor of the shape `stored`."""
        axes = {}
        for axis, is_read in zip(self.axes_of(path), (True, False), strict=True):
            if not self.resize or axis is None or axis >= min(len(stored), len(shape)):
                continue
            grid = self.grid_of_file(stored[axis] - self.others)
            tokens = shape[axis] - self.others
            if grid not in (None, self.grid) and math.prod(self.grid) == tokens:
                axes[axis] = grid, is_read
        return axes

    def hint(self):
        """Returns the addition to the message about a file that does not fit."""
        if self.resize:
            return ""
        return (
            ". If the file is of the same model for images of another size, `resize_spatial=True` "
            "interpolates its weights over tokens"
        )

    def axes_of(self, path):
        for ending, axes in self.axes.items():
            if path.endswith(ending):
                return axes
        return None, None

    def grid_of_file(self, tokens):
        """Returns the grid of the file's tokens, `None` if `resize` does not accept it."""
        if tokens > max(MOST_TOKENS, 16 * math.prod(self.grid)):
            return None
        side = math.isqrt(tokens)
        grid = (side, side) if self.resize is True else tuple(self.resize)
        return grid if math.prod(grid) == tokens else None


def resampling(source, target):
    """Returns the matrix from maps on the grid `source` to maps on the grid `target`.

    Both are `(rows, columns)`. The matrix has one row for each position of `target`.
    """
    tokens = math.prod(source)
    unit_maps = np.eye(tokens, dtype="float32").reshape(tokens, *source, 1)
    resized = ops.image.resize(
        unit_maps, target, interpolation="bicubic", antialias=True, data_format="channels_last"
    )
    return ops.convert_to_numpy(resized).reshape(tokens, -1).T
