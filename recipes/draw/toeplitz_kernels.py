"""The spatial weights of gMLP for text: one value for each relative position, over the depth."""

import numpy as np
from keras import ops

from keras_gimlp.layers.toeplitz_projection import ToeplitzProjection
from recipes.draw import PictureError, figures
from recipes.program import layers_within

CURVES = 4  # blocks, unless others are named
NEAR = 16  # tokens on each side in the curves


def draw(model, blocks=None):
    """Draws `w_(i-j)` of every block over the position of token j that is read, relative to i.

    Args:
        model: gMLP or aMLP for text, or a task on it.
        blocks: Numbers of the blocks that are drawn as curves. Defaults to `None`, at most four
            from the first to the last.

    Returns:
        A `Figure`: all blocks as a map, where each has the colors of its own largest weight, and
        some as curves near the token.
    """
    kernels = kernels_of(model)
    chosen = blocks or figures.spread(len(kernels), CURVES)
    chosen = figures.choose(range(len(kernels)), chosen, "blocks")
    most = kernels.shape[1] // 2
    figure = figures.new(
        2.9 + 0.2 * min(len(kernels), 24) + 2.2, f"Toeplitz kernels of {figures.name_of(model)}"
    )
    upper, lower = figure.subplots(2, 1, height_ratios=[1 + 0.1 * min(len(kernels), 24), 1])

    scaled = kernels / np.abs(kernels).max(1, keepdims=True).clip(np.finfo("float32").tiny)
    extent = (-most - 0.5, most + 0.5, len(kernels) - 0.5, -0.5)
    image = figures.show_signed(upper, scaled, 1.0, aspect="auto", extent=extent)
    upper.set(ylabel="block", xlabel=axis_of(most))
    upper.yaxis.get_major_locator().set_params(integer=True)
    figure.colorbar(image, ax=upper, label="weight / largest of the block")

    near = min(NEAR, most)
    places = np.arange(-near, near + 1)
    for n in chosen:
        lower.plot(places, kernels[n, most - near : most + near + 1], ".-", label=f"block {n}")
    lower.axhline(0, color="gray", linewidth=0.8)
    lower.set(ylabel="weight", xlabel=axis_of(near))
    lower.grid(alpha=0.3)
    lower.legend(fontsize="small")
    return figure


def axis_of(most):
    side = "token" if most == 1 else "tokens"
    return f"token that is read, relative to the one computed (−{most}: {most} {side} before it)"


def kernels_of(model):
    """Returns the weights of every block, `(blocks, 2 n - 1)`, first of n - 1 tokens before."""
    layers = layers_within.find(model, ToeplitzProjection)
    if not layers:
        raise PictureError(
            f"{figures.name_of(model)} has no Toeplitz kernels: gMLP and aMLP for text have "
            "them, unless their spatial weights are dense."
        )
    # They begin with `w_(1-n)`, by which the first token takes from the last.
    return np.stack([ops.convert_to_numpy(layer.kernel)[::-1] for layer in layers])
