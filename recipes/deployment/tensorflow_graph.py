"""A model as a graph of TensorFlow, and in the formats that are made from one."""

import keras

from recipes.deployment import signature


def write(model, of, path):
    export(model, of, path, "tf_saved_model")


def write_litert(model, of, path):
    export(model, of, path, "litert")


def write_onnx(model, of, path):
    export(model, of, path, "onnx")


def export(model, of, path, form):
    """Lets Keras export a model whose sizes stay as free as its signature says."""
    specs = {
        x.name: keras.InputSpec(
            shape=[n if isinstance(n, int) else None for n in x.shape], dtype=x.dtype, name=x.name
        )
        for x in of.inputs
    }
    # Keras takes a model for unbuilt until it was called.
    signature.call(model, of.examples(0, **dict.fromkeys(of.free(), 8)))
    single = not isinstance(model.input, dict)
    model.export(
        path,
        format=form,
        input_signature=list(specs.values()) if single else [specs],
        verbose=False,
    )
