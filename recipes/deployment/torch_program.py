"""A model as a program of PyTorch, and in the formats that are made from one."""

import pathlib
import tempfile

import keras
import torch

from recipes.deployment import signature


class Module(torch.nn.Module):
    """A Keras model that takes and gives tensors in the order of a signature."""

    def __init__(self, model, names):
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *tensors):
        return signature.call(self.model, dict(zip(self.names, tensors, strict=True)))


def program(model, of):
    """Returns a `torch.export.ExportedProgram` of a model.

    Args:
        model: Functional Keras model.
        of: Its `Signature`.
    """
    sizes = {name: torch.export.Dim(name, min=least(name), max=of.most[name]) for name in of.free()}
    examples = of.examples(0, **{name: 8 if name == "tokens" else 2 for name in sizes})
    shapes = [{axis: sizes[n] for axis, n in enumerate(x.shape) if n in sizes} for x in of.inputs]
    device = keras.src.backend.torch.core.get_device()
    with torch.no_grad():
        return torch.export.export(
            Module(model, tuple(examples)).eval(),
            tuple(torch.tensor(x, device=device) for x in examples.values()),
            dynamic_shapes={"tensors": tuple(shapes)},
        )


def least(name):
    return signature.SHORTEST if name == "tokens" else 1


def write(model, of, path):
    torch.export.save(program(model, of), path)


def write_onnx(model, of, path):
    torch.onnx.export(
        program(model, of),
        f=path,
        input_names=[x.name for x in of.inputs],
        output_names=list(of.outputs),
        external_data=False,
        verbose=False,
    )


def write_openvino(model, of, path):
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        onnx = pathlib.Path(folder) / "model.onnx"
        write_onnx(model, of, onnx)
        openvino.save_model(openvino.convert_model(onnx), path, compress_to_fp16=False)
