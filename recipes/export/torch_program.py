"""A model as a program of PyTorch, and in the formats that are made from one."""

import contextlib
import functools
import logging
import pathlib
import tempfile
import warnings

import torch
from keras.src.backend.torch.core import get_device

from recipes.export import signature
from recipes.export.free_sizes import free_sizes


class Module(torch.nn.Module):
    """A Keras model that takes and gives tensors in the order of a signature."""

    def __init__(self, model, names):
        super().__init__()
        # To PyTorch, Keras' variables are constants. As a module in this one, the model would have
        # them in a `.pt2` file once more, as parameters.
        self.call = functools.partial(signature.call, model)
        self.names = names

    def forward(self, *tensors):
        return self.call(dict(zip(self.names, tensors, strict=True)))


def write(model, of, path):
    torch.export.save(program(model, of), path)


def write_onnx(model, of, path):
    large = model.count_params() * 4 > signature.LARGEST
    onnx_program(model, of).save(path, external_data=large)


def write_openvino(model, of, path):
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        onnx = pathlib.Path(folder) / "model.onnx"
        write_onnx(model, of, onnx)
        openvino.save_model(openvino.convert_model(onnx), path, compress_to_fp16=False)


def program(model, of):
    """Returns a `torch.export.ExportedProgram` of a model.

    Args:
        model: Functional Keras model.
        of: Its `Signature`.
    """
    sizes = {n: torch.export.Dim(n, min=signature.LEAST[n], max=of.most[n]) for n in of.free()}
    examples = of.examples(0, **signature.TRACED)
    with torch.no_grad(), free_sizes():
        return torch.export.export(
            Module(model, tuple(examples)).eval(),
            tuple(torch.tensor(x, device=get_device()) for x in examples.values()),
            dynamic_shapes={"tensors": tuple(named_axes(x, sizes) for x in of.inputs)},
        )


def onnx_program(model, of):
    """Returns a `torch.onnx.ONNXProgram` of a model."""
    names = {name: name for name in of.free()}
    with quiet():
        return torch.onnx.export(
            program(model, of),
            input_names=[x.name for x in of.inputs],
            output_names=list(of.outputs),
            dynamic_shapes={"tensors": tuple(named_axes(x, names) for x in of.inputs)},
            verbose=False,
        )


def named_axes(x, sizes):
    """Returns the axes of an `Input` with free sizes, and what `sizes` has for their names."""
    return {axis: sizes[name] for axis, name in enumerate(x.shape) if name in sizes}


@contextlib.contextmanager
def quiet():
    """Keeps to itself what the exporter has to say about its own code, and about torchvision."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            # That two inputs share the size of a batch is what their names say.
            warnings.filterwarnings("ignore", "# The axis name: .* will not be used")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
