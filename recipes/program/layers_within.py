"""The layers within a model, and their inputs and outputs in a call."""

import contextlib

import keras
from keras import ops


def layers_of(model):
    """Returns all layers within a model, at any depth, in the order in which they stand in it."""
    layers = {}

    def visit(layer):
        for inner in layer._layers:
            if id(inner) not in layers:
                layers[id(inner)] = inner
                visit(inner)

    visit(model)
    return list(layers.values())


def find(model, kind):
    """Returns the layers of a class within a model."""
    return [layer for layer in layers_of(model) if isinstance(layer, kind)]


@contextlib.contextmanager
def changed(layer, change):
    """Lets a layer return `change(call, inputs, ...)`, where `call` is its own method."""
    call = layer.call
    # Past what Keras tracks; the class keeps the method of this name.
    vars(layer)["call"] = lambda *args, **kwargs: change(call, *args, **kwargs)
    try:
        yield
    finally:
        del vars(layer)["call"]


def record(model, inputs, layers):
    """Calls a model and returns the inputs and outputs of some of its layers.

    Returns:
        For each layer a list of pairs of NumPy arrays: the first argument and the output of every
        call. Floats of 16 bits are given as float32, since NumPy sums bfloat16 in bfloat16.
    """
    calls = [[] for _ in layers]

    def recorder(pairs):
        def change(call, x, *args, **kwargs):
            y = call(x, *args, **kwargs)
            pairs.append((to_numpy(x), to_numpy(y)))
            return y

        return change

    with contextlib.ExitStack() as stack:
        for layer, pairs in zip(layers, calls, strict=True):
            stack.enter_context(changed(layer, recorder(pairs)))
        model(inputs, training=False)
    return calls


def to_numpy(x):
    short = keras.backend.standardize_dtype(x.dtype) in ("bfloat16", "float16")
    return ops.convert_to_numpy(ops.cast(x, "float32") if short else x)
