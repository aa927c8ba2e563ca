"""The formats: what writes a model in each, and what computes it then."""

import dataclasses
import importlib
from collections.abc import Callable

import numpy as np

from recipes.export import int8


@dataclasses.dataclass(frozen=True)
class Format:
    """A format in which a model leaves Keras.

    Attributes:
        runtime: What computes it, for people.
        writers: For each backend that can write it, the best first, a function of a model, its
            signature and a path: `"MODULE.FUNCTION"` in this package, which imports the backend.
        cannot: For each other backend, why it cannot.
        read: Function from a path and a signature to one from inputs by name to a list of outputs.
        modules: Modules that reading it takes, under an empty name, and for each backend, and for
            int8, those that writing it takes too.
        suffix: How the path ends; nothing for a folder.
        tolerance: The largest error that a file may have, as a share of the largest output.
        quantizer: Function from the paths of a file and of the new one, and a function that returns
            an iterator over examples, which rounds the products to integers; `None` if none does.
    """

    runtime: str
    writers: dict[str, str]
    cannot: dict[str, str]
    read: Callable
    modules: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    suffix: str = ""
    tolerance: float = 1e-5
    quantizer: Callable | None = None

    def needs(self, backend, quantize):
        """Returns the modules that writing and reading it take."""
        parts = ("", backend, *([quantize] if quantize else []))
        return (backend, *(name for part in parts for name in self.modules.get(part, ())))

    def write(self, backend, model, of, path):
        module, function = self.writers[backend].split(".")
        getattr(importlib.import_module(f"recipes.export.{module}"), function)(model, of, path)


def read_onnx(path, of):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)


def read_openvino(path, of, precision="f32"):
    import openvino

    # By default it computes in bfloat16 where the processor can.
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    return lambda inputs: [compiled(inputs)[output] for output in compiled.outputs]


def read_litert(path, of):
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path)).get_signature_runner()

    def compute(inputs):
        outputs = runner(**inputs)
        return [outputs[name] for name in sorted(outputs)]

    return compute


def read_saved_model(path, of):
    import tensorflow as tf

    module = tf.saved_model.load(str(path))

    def compute(inputs):
        outputs = module.serve(inputs if of.by_name else next(iter(inputs.values())))
        return [np.asarray(x) for x in tf.nest.flatten(outputs)]

    return compute


def read_program(path, of):
    import torch

    module = torch.export.load(path).module()

    def compute(inputs):
        with torch.no_grad():
            return [x.numpy() for x in module(*map(torch.tensor, inputs.values()))]

    return compute


JAX = "traced by JAX, a text keeps no free length"
FORMATS = {
    "onnx": Format(
        "ONNX Runtime",
        {"torch": "torch_program.write_onnx", "tensorflow": "tensorflow_graph.write_onnx"},
        {"jax": JAX},
        read_onnx,
        {"": ("onnx", "onnxruntime"), "torch": ("onnxscript",), "tensorflow": ("tf2onnx",)},
        ".onnx",
        quantizer=int8.quantize_onnx,
    ),
    "openvino": Format(
        "OpenVINO",
        {"torch": "torch_program.write_openvino"},
        {"jax": JAX, "tensorflow": "OpenVINO 2026.4 fails on giDeBERTaV3 in ONNX from TensorFlow"},
        read_openvino,
        {"": ("onnx", "onnxscript", "openvino"), "int8": ("nncf",)},
        ".xml",
        quantizer=int8.quantize_openvino,
    ),
    "litert": Format(
        "LiteRT",
        {"tensorflow": "tensorflow_graph.write_litert"},
        {"jax": JAX, "torch": "Keras 3.15 writes it from PyTorch with fixed sizes alone"},
        read_litert,
        {"": ("ai_edge_litert",)},
        ".tflite",
    ),
    "tf_saved_model": Format(
        "TensorFlow",
        {"tensorflow": "tensorflow_graph.write"},
        {
            "jax": f"{JAX}, and TensorFlow 2.21 cannot read its erf",
            "torch": "only TensorFlow writes its own format",
        },
        read_saved_model,
    ),
    "torch": Format(
        "PyTorch",
        {"torch": "torch_program.write"},
        dict.fromkeys(("jax", "tensorflow"), "only PyTorch writes its own format"),
        read_program,
        suffix=".pt2",
    ),
}
