"""What models of images and of text share: residuals with stochastic depth, and named sizes."""

import inspect

import keras
import numpy as np

from keras_gimlp.backend.drop_path import DropPath
from keras_gimlp.weights import find


def drop_path_rates(drop_path_rate, depth):
    """Returns the stochastic depth of each block, rising linearly from 0 to `drop_path_rate`.

    A single block counts as the last.
    """
    if not 0 <= drop_path_rate < 1:
        raise ValueError(
            f"`drop_path_rate` must be in [0, 1). Received: drop_path_rate={drop_path_rate}"
        )
    first = drop_path_rate if depth == 1 else 0.0
    return np.linspace(first, drop_path_rate, depth).tolist()


def add_residual(x, y, drop_path_rate, name, dtype=None):
    """Returns `x + y`, where stochastic depth drops `y` for a random fraction of the examples."""
    if drop_path_rate:
        # Dropout of whole examples: one mask value for all positions and channels.
        noise_shape = (None,) + (1,) * (len(y.shape) - 1)
        y = DropPath(
            drop_path_rate, noise_shape=noise_shape, dtype=dtype, name=f"{name}_drop_path"
        )(y)
    return keras.layers.Add(dtype=dtype, name=f"{name}_add")([x, y])


def variant(builder, name, parameters, source, /, **sizes):
    """Returns `builder` with `sizes` and `name` as its defaults: one row of a paper's table.

    Args:
        builder: Function or class that builds the model.
        name: Name of the size, such as `"gMLP_S"`.
        parameters: Integer, number of parameters that the model has by default.
        source: Where the sizes come from, for the docstring.
        **sizes: Arguments of `builder`.
    """
    defaults = {"name": name.lower(), **sizes}
    signature = inspect.signature(builder)
    replaced = [
        p.replace(default=defaults.get(p.name, p.default)) for p in signature.parameters.values()
    ]
    signature = signature.replace(parameters=replaced)

    def build(*args, **kwargs):
        try:
            arguments = defaults | signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{name}() {error}") from None
        if arguments.get("weights") == "imagenet":
            arguments["weights"] = find("imagenet", model=name)
        return builder(**arguments)

    described = ", ".join(f"{key}={value}" for key, value in sizes.items())
    build.__doc__ = f"""{name}: {described}; {parameters:,} parameters; {source}.

    The signature shows the defaults of this size; `{builder.__name__}` describes the arguments.
    """
    build.__name__ = build.__qualname__ = name
    build.__module__ = builder.__module__
    build.__signature__ = signature
    build.__wrapped__ = builder
    build.parameters = parameters
    return build
