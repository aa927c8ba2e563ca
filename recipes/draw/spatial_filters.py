"""The spatial weights of image models, each row on the grid of patches."""

import dataclasses

import numpy as np
from keras import ops

from keras_gimlp.layers import SpatialGatingUnit
from recipes.draw import PictureError, figures
from recipes.program import layers_within

# The matrices over tokens that are layers of their own: by the ends of their names.
DENSE = {"_tokens_expand": "hidden unit", "_tokens_mix": "token"}
BLOCKS, TOKENS = 6, 9  # drawn, unless others are named


@dataclasses.dataclass(frozen=True)
class Filters:
    """The spatial weights of a block, `(units, height, width)`.

    A row is what a token, or hidden unit, takes from the patches; `unit` says which of the two.
    """

    block: str
    rows: np.ndarray
    unit: str


def draw(model, blocks=None, tokens=None):
    """Draws rows of the spatial weights `W` on the grid of patches, a row of pictures a block.

    Args:
        model: gMLP, aMLP, MLP-Mixer or ResMLP for images.
        blocks: Numbers of the blocks. Defaults to `None`, at most six from the first to the last.
        tokens: Numbers of the tokens (in MLP-Mixer of the hidden units), counted along the rows of
            patches. Defaults to `None`, at most nine all over the image.

    Returns:
        A `Figure`. The cross marks the token that the row belongs to.
    """
    every = filters_of(model)
    drawn = figures.choose(every, blocks or figures.spread(len(every), BLOCKS), "blocks")
    units, *grid = drawn[0].rows.shape
    own = drawn[0].unit == "token"
    numbers = tokens or (places(*grid) if own else figures.spread(units, TOKENS))
    numbers = figures.choose(range(units), numbers, "tokens")

    figure = figures.new(0.9 + 0.95 * len(drawn), f"Spatial filters of {figures.name_of(model)}")
    table = figure.subplots(len(drawn), len(numbers), squeeze=False)
    for row, (axes_of_row, filters) in enumerate(zip(table, drawn, strict=True)):
        limit = figures.farthest(filters.rows[numbers])
        for n, axes in zip(numbers, axes_of_row, strict=True):
            image = figures.show_signed(axes, filters.rows[n], limit)
            figures.no_ticks(axes)
            if own:
                axes.plot(n % grid[1], n // grid[1], "x", color="black", markersize=4)
            if row == 0:
                label = f"{n // grid[1]}, {n % grid[1]}" if own else str(n)
                axes.set_title(label, fontsize="small")
        axes_of_row[0].set_ylabel(filters.block, fontsize="small")
        bar = figure.colorbar(image, ax=axes_of_row, fraction=0.05, pad=0.01, aspect=8)
        bar.ax.tick_params(labelsize="x-small")
    what = "weights of every patch for the token in this row, column of patches"
    figure.supxlabel(
        f"{what} (x)" if own else "weights of every patch for this hidden unit", fontsize="small"
    )
    return figure


def places(height, width):
    """Returns the numbers of at most nine tokens, in rows and columns all over a grid."""
    rows, columns = (sorted({n * k // 6 for k in (1, 3, 5)}) for n in (height, width))
    return [row * width + column for row in rows for column in columns]


def filters_of(model):
    """Returns the `Filters` of every block of a model."""
    layers = layers_within.layers_of(model)
    grids = [x.output.shape[1:3] for x in layers if x.name == "patch_embedding"]
    kernels = []
    for layer in layers:
        if isinstance(layer, SpatialGatingUnit) and layer.sequence_length is None:
            kernels.append((layer.name.removesuffix("_gate"), layer.spatial.kernel, "token"))
        for end, unit in DENSE.items():
            if layer.name.endswith(end):
                kernels.append((layer.name.removesuffix(end), layer.kernel, unit))
    if not grids or not kernels:
        raise PictureError(
            f"{figures.name_of(model)} has no matrices over the patches of an image: gMLP, "
            "aMLP, MLP-Mixer and ResMLP have them."
        )
    # Column i of a kernel is row i of W.
    return [
        Filters(name, ops.convert_to_numpy(kernel).T.reshape(-1, *grids[0]), unit)
        for name, kernel, unit in kernels
    ]
