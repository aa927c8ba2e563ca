"""Figures a thousand pixels wide, and colors with zero in the middle."""

import numpy as np

from recipes.draw import PictureError

WIDTH = 8.4  # inches
DPI = 120
SIGNED = "RdBu_r"  # white is zero, red above, blue below


def new(height, title):
    """Returns a figure of a thousand pixels by a height in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize="large")
    return figure


def name_of(model):
    """Returns the name of a model, of a task its class: KerasHub numbers the names of tasks."""
    return type(model).__name__ if hasattr(model, "backbone") else model.name


def show_signed(axes, values, limit=None, center=0.0, **kwargs):
    """Draws a matrix in colors that are as far above `center`, which is white, as below.

    The strongest color is at `limit` from `center`, `None` for the farthest value. `**kwargs` are
    arguments of `imshow`. Returns the image.
    """
    limit = farthest(values, center) if limit is None else limit
    span = {"vmin": center - limit, "vmax": center + limit}
    return axes.imshow(values, cmap=SIGNED, **span, **({"interpolation": "nearest"} | kwargs))


def farthest(values, center=0.0):
    """Returns how far the values go from `center`; never 0, which colors could not be scaled to."""
    return float(np.abs(np.asarray(values) - center).max()) or 1.0


def show_image(axes, image):
    """Draws an image `(height, width, channels)` of any range of values, without ticks."""
    low, high = image.min(), image.max()
    pixels = (image - low) / ((high - low) or 1)
    gray = pixels.shape[-1] != 3
    axes.imshow(pixels.mean(-1) if gray else pixels, cmap="gray", interpolation="nearest")
    no_ticks(axes)


def no_ticks(axes):
    axes.set(xticks=[], yticks=[])


def spread(count, most):
    """Returns at most `most` numbers below `count`, evenly from the first to the last."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def choose(items, numbers, name):
    """Returns the items of a list that have the given numbers."""
    wrong = [n for n in numbers if not 0 <= n < len(items)]
    if wrong:
        raise PictureError(f"{name} must be among 0 to {len(items) - 1}. Received: {wrong[0]}")
    return [items[n] for n in numbers]
