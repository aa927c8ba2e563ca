"""What the vision families share: the arguments of `keras.applications`, the head, variants."""

import inspect
import re
import textwrap

import keras
import numpy as np

from keras_gimlp.backend.dense import Dense
from keras_gimlp.backend.drop_path import DropPath
from keras_gimlp.weights import find


def image_input(input_tensor, input_shape):
    """Returns the tensor of shape `(batch, height, width, channels)` that a model starts from.

    Args:
        input_tensor: A Keras tensor, or `None` for a new input of shape `input_shape`.
        input_shape: Tuple `(height, width, channels)`. `None` means `(224, 224, 3)`.

    Raises:
        ValueError: If `input_shape` is not a tuple of three, `input_tensor` is not a Keras tensor,
            or the two disagree.
    """
    if input_shape is not None and len(input_shape) != 3:
        raise ValueError(
            "`input_shape` must be a tuple (height, width, channels), without the batch. "
            f"Received: input_shape={input_shape}"
        )
    if input_tensor is None:
        return keras.Input(input_shape or (224, 224, 3), name="image")
    if not keras.utils.is_keras_tensor(input_tensor):
        raise ValueError(
            "`input_tensor` must be a Keras tensor, such as `keras.Input(...)` or the output of a "
            f"layer called on one. Received: input_tensor={input_tensor!r}"
        )
    if input_shape is not None and tuple(input_shape) != tuple(input_tensor.shape[1:]):
        raise ValueError(
            "`input_shape` and `input_tensor` must agree. Received: "
            f"input_shape={tuple(input_shape)}, input_tensor.shape={tuple(input_tensor.shape)}"
        )
    return input_tensor


def sources(tensor):
    """Returns the `keras.Input` that `tensor` is computed from, or a list if there are several."""
    inputs = keras.utils.get_source_inputs(tensor)
    return inputs[0] if len(inputs) == 1 else inputs


def check_positive_integers(**arguments):
    """Raises `ValueError` if any argument is not a positive integer."""
    for name, value in arguments.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value}")


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


def on_image(layer, inputs):
    """Calls the first layer of a model, which from then on refuses an `image` of another shape.

    On JAX, `fit` and `predict` do not check the shapes that a model was built for.
    """
    outputs = layer(inputs)
    axes = {axis: size for axis, size in enumerate(inputs.shape) if axis > 0}
    layer.input_spec = keras.layers.InputSpec(ndim=4, axes=axes, name="image")
    return outputs


def add_residual(x, y, drop_path_rate, name, dtype=None):
    """Returns `x + y`, where stochastic depth drops `y` for a random fraction of the examples."""
    if drop_path_rate:
        # Dropout of whole examples: one mask value for all positions and channels.
        noise_shape = (None,) + (1,) * (len(y.shape) - 1)
        y = DropPath(
            drop_path_rate, noise_shape=noise_shape, dtype=dtype, name=f"{name}_drop_path"
        )(y)
    return keras.layers.Add(dtype=dtype, name=f"{name}_add")([x, y])


def check_head_arguments(include_top, pooling, classes):
    """Raises `ValueError` if `pooling` is unknown or `classes` is not a positive integer."""
    if pooling not in (None, "avg", "max"):
        raise ValueError(f'`pooling` must be None, "avg" or "max". Received: pooling={pooling!r}')
    if include_top:
        check_positive_integers(classes=classes)


def chosen_maps(feature_maps, count, default, include_top, pooling):
    """Returns the numbers of the blocks or stages whose maps a model returns, in rising order.

    Args:
        feature_maps: `False` for none, `True` for `default`, or a list or tuple of numbers, of
            which negative ones count from the end.
        count: Integer, number of blocks or stages.
        default: Numbers that `True` means.
        include_top: Whether the model has a classifier.
        pooling: The pooling of the model.

    Raises:
        ValueError: If a number is out of range, there is none, or the model would not return maps.
    """
    if feature_maps is False:
        return []
    if include_top or pooling is not None:
        raise ValueError(
            "`feature_maps` needs include_top=False and pooling=None. Received: "
            f"feature_maps={feature_maps!r}, include_top={include_top}, pooling={pooling!r}"
        )
    numbers = default if feature_maps is True else feature_maps
    # True is an integer too, and not a number here.
    if not (
        isinstance(numbers, list | tuple)
        and numbers
        and all(type(number) is int and -count <= number < count for number in numbers)
    ):
        raise ValueError(
            "`feature_maps` must be True, False or a list of numbers of blocks (of stages in "
            f"CycleMLP) from {-count} to {count - 1}. Received: feature_maps={feature_maps!r}"
        )
    return sorted({number % count for number in numbers})


def layers_left_out(complete, model):
    """Returns the names of the layers of the model `complete` that `model` does without."""
    return {layer.name for layer in complete.layers} - {layer.name for layer in model.layers}


def head(x, include_top, pooling, classes, classifier_activation):
    """Pools features over all positions and classifies them, depending on the arguments.

    The classifier computes in float32 under every mixed precision policy, so that probabilities and
    losses keep full precision.
    """
    average, maximum = {
        3: (keras.layers.GlobalAveragePooling1D, keras.layers.GlobalMaxPooling1D),
        4: (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D),
    }[len(x.shape)]
    if include_top or pooling == "avg":
        x = average(data_format="channels_last", name="avg_pool")(x)
    elif pooling == "max":
        x = maximum(data_format="channels_last", name="max_pool")(x)
    if include_top:
        x = Dense(
            classes,
            activation=classifier_activation,
            dtype=keras.config.dtype_policy().variable_dtype,
            name="predictions",
        )(x)
    return x


def variant(builder, name, parameters, source, /, **sizes):
    """Returns `builder` with `sizes` and `name` as its defaults: one row of a paper's table.

    Every default can be overridden. An argument that `builder` does not have raises Python's own
    `TypeError`.

    Args:
        builder: Function or class that builds the model.
        name: Name of the size, such as `"gMLP_S"`.
        parameters: Integer, number of parameters that the model has by default.
        source: Where the sizes come from, for the docstring.
        **sizes: Arguments of `builder`.
    """
    defaults = {"name": name.lower(), **sizes}
    signature = inspect.signature(builder)
    signature = signature.replace(
        parameters=[
            p.replace(default=defaults.get(p.name, p.default))
            for p in signature.parameters.values()
        ]
    )

    def build(*args, **kwargs):
        try:
            arguments = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}() {error}") from None
        arguments.apply_defaults()
        if arguments.arguments.get("weights") == "imagenet":
            arguments.arguments["weights"] = find("imagenet", model=name)
        return builder(*arguments.args, **arguments.kwargs)

    described = ", ".join(f"{key}={value}" for key, value in sizes.items())
    title = f"{name}: {described}; {parameters:,} parameters; {source}"
    build.__name__ = build.__qualname__ = name
    build.__module__ = builder.__module__
    build.__signature__ = signature
    docstring = inspect.getdoc(builder) or ""  # none under `python -OO`
    build.__doc__ = f"{title}.\n\n{with_defaults(docstring, sizes)}"
    build.__wrapped__ = builder
    build.parameters = parameters
    return build


def with_defaults(docstring, defaults):
    """Returns a docstring that states `defaults` as the defaults of its arguments."""
    for name, value in defaults.items():
        # An argument's text continues on lines that are indented further than its name.
        entry = re.search(rf"^    {name}: .*(?:\n {{5,}}.*)*", docstring, re.MULTILINE)
        if entry is None:
            continue
        text = re.sub(r"\s+", " ", entry[0]).strip()
        text = re.sub(r" Defaults to \S+\.$", "", text) + f" Defaults to {as_code(value)}."
        lines = textwrap.wrap(text, 92, initial_indent=" " * 4, subsequent_indent=" " * 8)
        docstring = docstring.replace(entry[0], "\n".join(lines))
    return docstring


def as_code(value):
    """Returns a default as docstrings show it: numbers are plain, strings and names are code."""
    if isinstance(value, str):
        return f'`"{value}"`'
    return f"`{value}`" if value is None or isinstance(value, bool) else str(value)
