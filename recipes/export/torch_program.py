"""A model as a program of PyTorch, and in the formats that are made from one."""

import contextlib
import functools
import logging
import pathlib
import tempfile
import warnings

import torch
from keras.src.backend.torch.core import get_device

from recipes.export.free_sizes import free_sizes
from recipes.export.signature import LEAST, TRACED, call

LARGEST = 2**31 - 2**20  # bytes of weights in a file of ONNX; more stand in a file beside it


class Module(torch.nn.Module):
    """A Keras model that takes and gives tensors in the order of a signature."""

    def __init__(self, model, names):
        super().__init__()
        # To PyTorch, Keras' variables are constants. As a module in this one, the model would have
        # them in a `.pt2` file once more, as parameters.
        self.call = functools.partial(call, model)
        self.names = names

    def forward(self, *tensors):
        return self.call(dict(zip(self.names, tensors, strict=True)))


def write(model, signature, path):
    torch.export.save(program(model, signature), path)


def write_onnx(model, signature, path):
    large = model.count_params() * 4 > LARGEST
    onnx_program(model, signature).save(path, external_data=large)


def write_openvino(model, signature, path):
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        onnx = pathlib.Path(folder) / "model.onnx"
        write_onnx(model, signature, onnx)
        openvino.save_model(openvino.convert_model(onnx), path, compress_to_fp16=False)


def program(model, signature):
    """Returns a `torch.export.ExportedProgram` of a functional Keras model."""
    sizes = {n: torch.export.Dim(n, min=LEAST[n], max=signature.most[n]) for n in signature.free()}
    examples = signature.examples(0, **TRACED)
    with torch.no_grad(), free_sizes():
        return torch.export.export(
            Module(model, tuple(examples)).eval(),
            tuple(torch.tensor(x, device=get_device()) for x in examples.values()),
            dynamic_shapes={"tensors": tuple(named_axes(x, sizes) for x in signature.inputs)},
        )


def onnx_program(model, signature):
    """Returns a `torch.onnx.ONNXProgram` of a model."""
    names = {name: name for name in signature.free()}
    with quiet():
        return torch.onnx.export(
            program(model, signature),
            input_names=[x.name for x in signature.inputs],
            output_names=list(signature.outputs),
            dynamic_shapes={"tensors": tuple(named_axes(x, names) for x in signature.inputs)},
            verbose=False,
        )


def named_axes(x, sizes):
    """Returns for the axes of an `Input` with free sizes the values that `sizes` has for them."""
    return {axis: sizes[name] for axis, name in enumerate(x.shape) if name in sizes}


@contextlib.contextmanager
def quiet():
    """Silences the exporter, which reports on its own code and on torchvision."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            # Two inputs share the size of a batch, as their names say.
            warnings.filterwarnings("ignore", "# The axis name: .* will not be used")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
