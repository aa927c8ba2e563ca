"""The reach of CycleMLP: the pixels that one position of a map sees."""

import re

import keras
import numpy as np
from keras import ops

from keras_gimlp.layers import CycleFC
from recipes.draw import PictureError, figures
from recipes.draw.gradients import gradient
from recipes.program import layers_within

DECADES = 5  # of the colors, from the strongest down


def draw(model, image=None, position=None):
    """Draws the pixels of the image that one position of every stage's map sees.

    Args:
        model: CycleMLP or giCycleMLP.
        image: An image as the model takes it, in a batch of its own. Defaults to `None`, noise of
            224 x 224 pixels where the model takes any size.
        position: Row and column of a pixel in the patch of the position. Defaults to `None`, the
            middle.

    Returns:
        A `Figure`. Above are the pixels that convolutions and shifts reach, exactly. Below is the
        gradient of the sum of the position's channels, with the same border: beyond it are the
        weights of the branches, means over the whole image, and the maximum of an inhibition.
    """
    import matplotlib

    check(model)
    stages = stages_of(model)
    if image is None:
        shape = [n or size for n, size in zip(model.input_shape[1:], (224, 224, 3), strict=True)]
        image = np.random.default_rng(0).normal(size=(1, *shape)).astype("float32")
    size = image.shape[1:3]
    position = position or tuple(n // 2 for n in size)
    if not all(0 <= p < n for p, n in zip(position, size, strict=True)):
        raise PictureError(
            f"position must be a pixel of {size[0]} x {size[1]}. Received: {tuple(position)}"
        )
    height = 1.3 + 2 * (figures.WIDTH - 1.2) / max(len(stages), 2)
    figure = figures.new(height, f"What one position of {figures.name_of(model)} sees")
    upper, lower = figure.subplots(2, len(stages), squeeze=False)
    colors = matplotlib.colormaps["magma"].resampled(2 * DECADES)
    for s, (top, bottom) in enumerate(zip(upper, lower, strict=True)):
        reached = reach_of(model, s, size, position)
        strength = strength_of(model, image, s, position)
        top.imshow(reached, cmap="Greys", vmin=0, vmax=1.6, interpolation="nearest")
        top.set_title(f"stage {s}\n{reached.sum():,} of {reached.size:,} pixels", fontsize="small")
        decades = np.log10(np.maximum(strength / strength.max(), 10.0**-DECADES))
        image_of = bottom.imshow(
            decades, cmap=colors, vmin=-DECADES, vmax=0, interpolation="nearest"
        )
        outline(bottom, reached)
        for axes in (top, bottom):
            figures.no_ticks(axes)
            axes.plot(position[1], position[0], "+", color="tab:cyan", markersize=8)
    upper[0].set_ylabel("reached by the shifts", fontsize="small")
    lower[0].set_ylabel("gradient", fontsize="small")
    figure.colorbar(image_of, ax=[*upper, *lower], label="log10 of gradient / largest")
    return figure


def outline(axes, mask):
    """Draws the border of a mask along the edges of its pixels."""
    padded = np.pad(mask, 1)
    rows, columns = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    axes.hlines(rows - 0.5, columns - 0.5, columns + 0.5, color="tab:cyan", linewidth=1)
    rows, columns = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    axes.vlines(columns - 0.5, rows - 0.5, rows + 0.5, color="tab:cyan", linewidth=1)


def check(model):
    """Raises `PictureError` if a model does not shift pixels."""
    if not layers_within.find(model, CycleFC):
        raise PictureError(
            f"{figures.name_of(model)} shifts no pixels: CycleMLP and giCycleMLP do, and have "
            "a reach."
        )


def stages_of(model):
    """Returns the blocks of every stage: for each block the kernel sizes of its `CycleFC`s."""
    blocks = {}
    for layer in layers_within.find(model, CycleFC):
        stage, block = map(int, re.match(r"stage(\d+)_block(\d+)_", layer.name).groups())
        blocks.setdefault(stage, {}).setdefault(block, {})[layer.axis] = layer.kernel_size
    return [list(blocks[s].values()) for s in sorted(blocks)]


def convolutions_of(model, stage):
    """Returns size, stride and padding of the convolutions before a stage, the first one first."""
    names = ["stem", *(f"stage{s}_downsample" for s in range(1, stage + 1))]
    layers = {layer.name: layer for layer in layers_within.layers_of(model)}
    return [
        (layers[n].kernel_size[0], layers[n].strides[0], layers[f"{n}_padding"].padding[0][0])
        for n in names
    ]


def reach_of(model, stage, size, position):
    """Returns the pixels that a position of a stage's map sees, booleans `(height, width)`.

    It sees them through convolutions and shifts. Influences without a place are left out: the
    weights of `SplitAttention` and the maximum of an inhibition come from the whole image. `size`
    is that of the image, `position` the row and column of a pixel in the patch of the position.
    """
    convolutions = convolutions_of(model, stage)
    sizes = [tuple(size)]
    for kernel, stride, padding in convolutions:
        sizes.append(tuple((n + 2 * padding - kernel) // stride + 1 for n in sizes[-1]))
    mask = np.zeros(sizes[-1], bool)
    mask[place(model, stage, sizes[-1], position)] = True
    stages = stages_of(model)
    for s in range(stage, -1, -1):
        for kernels in stages[s]:
            mask = cross(mask, kernels["height"] // 2, kernels["width"] // 2)
        mask = before_convolution(mask, *convolutions[s], sizes[s])
    return mask


def place(model, stage, size, position):
    """Returns the position in a stage's map in whose patch a pixel lies."""
    stride = np.prod([stride for _, stride, _ in convolutions_of(model, stage)])
    return tuple(min(p // int(stride), n - 1) for p, n in zip(position, size, strict=True))


def cross(mask, rows, columns):
    """Returns the pixels that a block's branches read: so many up, down, left and right."""
    read = mask.copy()
    for n in range(1, rows + 1):
        read[n:] |= mask[:-n]
        read[:-n] |= mask[n:]
    for n in range(1, columns + 1):
        read[:, n:] |= mask[:, :-n]
        read[:, :-n] |= mask[:, n:]
    return read


def before_convolution(mask, kernel, stride, padding, size):
    """Returns which pixels, `size` in all, a convolution reads for those of a mask."""
    read = np.zeros(np.add(size, 2 * padding), bool)
    for row, column in np.argwhere(mask) * stride:
        read[row : row + kernel, column : column + kernel] = True
    return read[padding : padding + size[0], padding : padding + size[1]]


def strength_of(model, image, stage, position):
    """Returns how strongly a position's channels depend on each pixel: `(height, width)`."""
    last = len(stages_of(model)[stage]) - 1
    part = keras.Model(model.input, model.get_layer(f"stage{stage}_block{last}_mlp_add").output)
    row, column = place(model, stage, ops.shape(part(image))[1:3], position)
    slope = gradient(lambda x: ops.sum(part(x, training=False)[0, row, column]), image)
    return np.abs(slope[0]).sum(-1)
