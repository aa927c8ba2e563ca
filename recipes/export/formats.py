"""The formats: what writes a model in each, and what computes the file."""

import dataclasses
from collections.abc import Callable

import numpy as np

from recipes.export import int8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """A format in which a model leaves Keras.

    Attributes:
        runtime: What computes it, for people.
        suffix: How the path ends; nothing for a folder.
        writers: For each backend that can write it, the best first, `writer(model, signature,
            path)`.
        cannot: For each other backend, why it cannot.
        read: `read(path)` returns a function from inputs by name to a list of outputs.
        quantizer: `quantizer(source, target, examples)` writes an int8 copy; `None` if the format
            has none.
        tolerance: The largest error that a file may have, as a share of the largest output.
        read_by: Modules that reading it takes.
        written_by: For each backend, the modules that writing it takes too.
        quantized_by: The modules that quantizing it takes too.
    """

    runtime: str
    suffix: str = ""
    writers: dict[str, Callable]
    cannot: dict[str, str]
    read: Callable
    quantizer: Callable | None = None
    tolerance: float = 1e-5
    read_by: tuple[str, ...] = ()
    written_by: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    quantized_by: tuple[str, ...] = ()

    def needs(self, backend, quantize):
        """Returns the modules that writing and reading it take."""
        quantized_by = self.quantized_by if quantize else ()
        return (backend, *self.read_by, *self.written_by.get(backend, ()), *quantized_by)


def read_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)


def read_openvino(path, precision="f32"):
    import openvino

    # By default it computes in bfloat16 where the processor can.
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    return lambda inputs: [compiled(inputs)[output] for output in compiled.outputs]


def read_litert(path):
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path)).get_signature_runner()

    def compute(inputs):
        outputs = runner(**inputs)
        return [outputs[name] for name in sorted(outputs)]

    return compute


def read_saved_model(path):
    import tensorflow as tf

    module = tf.saved_model.load(str(path))

    def compute(inputs):
        outputs = module.serve(inputs.get("images", inputs))
        return [np.asarray(x) for x in tf.nest.flatten(outputs)]

    return compute


def read_program(path):
    import torch

    module = torch.export.load(path).module()

    def compute(inputs):
        with torch.no_grad():
            return [x.numpy() for x in module(*map(torch.tensor, inputs.values()))]

    return compute


def with_torch():
    from recipes.export import torch_program

    return torch_program


def with_tensorflow():
    from recipes.export import tensorflow_graph

    return tensorflow_graph


JAX = "traced by JAX, a text keeps no free length"
FORMATS = {
    "onnx": Format(
        runtime="ONNX Runtime",
        suffix=".onnx",
        writers={
            "torch": lambda *model: with_torch().write_onnx(*model),
            "tensorflow": lambda *model: with_tensorflow().write_onnx(*model),
        },
        cannot={"jax": JAX},
        read=read_onnx,
        quantizer=int8.quantize_onnx,
        read_by=("onnx", "onnxruntime"),
        written_by={"torch": ("onnxscript",), "tensorflow": ("tf2onnx",)},
    ),
    "openvino": Format(
        runtime="OpenVINO",
        suffix=".xml",
        writers={"torch": lambda *model: with_torch().write_openvino(*model)},
        cannot={
            "jax": JAX,
            "tensorflow": "OpenVINO 2026.4 fails on giDeBERTaV3 in ONNX from TensorFlow",
        },
        read=read_openvino,
        quantizer=int8.quantize_openvino,
        read_by=("openvino",),
        written_by={"torch": ("onnx", "onnxscript")},
        quantized_by=("nncf",),
    ),
    "litert": Format(
        runtime="LiteRT",
        suffix=".tflite",
        writers={"tensorflow": lambda *model: with_tensorflow().export(*model, "litert")},
        cannot={"jax": JAX, "torch": "Keras 3.15 writes it from PyTorch with fixed sizes alone"},
        read=read_litert,
        read_by=("ai_edge_litert",),
    ),
    "tf_saved_model": Format(
        runtime="TensorFlow",
        writers={"tensorflow": lambda *model: with_tensorflow().export(*model, "tf_saved_model")},
        cannot={
            "jax": f"{JAX}, and TensorFlow 2.21 cannot read its erf",
            "torch": "only TensorFlow writes its own format",
        },
        read=read_saved_model,
    ),
    "torch": Format(
        runtime="PyTorch",
        suffix=".pt2",
        writers={"torch": lambda *model: with_torch().write(*model)},
        cannot=dict.fromkeys(("jax", "tensorflow"), "only PyTorch writes its own format"),
        read=read_program,
    ),
}
