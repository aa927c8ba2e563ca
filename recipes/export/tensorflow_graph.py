"""A model as a graph of TensorFlow, and in the formats that are made from one."""

import logging
import warnings

import keras

from recipes.export.free_sizes import free_sizes
from recipes.export.signature import TRACED, call


def write_onnx(model, signature, path):
    import onnx

    from recipes.export import erfc  # noqa: F401  tf2onnx knows it from now on

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # Keras repairs tf2onnx for NumPy 2, and asks for `np.object` to do it.
        warnings.simplefilter("ignore", FutureWarning)
        export(model, signature, path, "onnx")
    file = onnx.load(path)
    name_outputs(file.graph, signature.outputs)
    name_sizes(file.graph, {x.name: x.shape for x in signature.inputs})
    onnx.save(file, path)


def name_outputs(graph, names):
    """Gives the outputs of an ONNX graph their names."""
    names = {x.name: name for x, name in zip(graph.output, names, strict=True)}
    for node in graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [names.get(name, name) for name in tensors]
    for x in graph.output:
        x.name = names[x.name]


def name_sizes(graph, shapes):
    """Names the free sizes of an ONNX graph's inputs, and the batches of its outputs."""
    for x in graph.input:
        for size, name in zip(x.type.tensor_type.shape.dim, shapes[x.name], strict=True):
            if not isinstance(name, int):
                size.dim_param = name
    for x in graph.output:
        for axis, size in enumerate(x.type.tensor_type.shape.dim):
            if size.dim_param:
                size.dim_param = "" if axis else "batch"


def export(model, signature, path, format):
    """Lets Keras export a model whose sizes stay as free as its signature says."""
    specs = {
        x.name: keras.InputSpec(
            shape=[n if isinstance(n, int) else None for n in x.shape], dtype=x.dtype, name=x.name
        )
        for x in signature.inputs
    }
    # Before its first call, Keras knows no sizes of a model.
    call(model, signature.examples(0, **TRACED))
    with free_sizes():
        model.export(
            path,
            format=format,
            input_signature=[specs] if signature.by_name else list(specs.values()),
            verbose=False,
        )
