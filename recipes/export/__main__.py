"""Writes a model in a format of another runtime, and checks that it computes the same there.

    python -m recipes.export --model gMLP_S --weights imagenet --format onnx --output gmlp_s.onnx
    python -m recipes.export --weights runs/digits/model.keras --format litert --output a.tflite
    python -m recipes.export --preset runs/cola/preset --format openvino --output cola.xml
    python -m recipes.export --weights runs/digits/model.keras --format onnx --quantize int8 \
        --output small.onnx

The size of the batch and the length of texts stay free. The file is run in its own runtime on
inputs of two sizes, and thrown away if it computes something else. A JSON file beside it describes
its inputs. `docs/deployment.md` says which backend of Keras can write which format.

With --quantize int8 the matrix products are of integers of 8 bits. A model in the folder of the run
that trained it is calibrated on the training data of that run and scored on its test data; the file
is thrown away if it loses more than --most_lost. Any image model can be calibrated on --photos.
"""

import dataclasses
import importlib.util
import os
import pathlib
import sys
from typing import Literal

from recipes.export.formats import FORMATS
from recipes.program import command_line
from recipes.program.command_line import Arguments, NonNegative

PROGRAM = "python -m recipes.export"


@dataclasses.dataclass(frozen=True)
class Config:
    """The model to export, and the format."""

    # Format of the file.
    format: Literal["onnx", "openvino", "litert", "tf_saved_model", "torch"]
    # Path of the file, of a folder for tf_saved_model. There must be nothing yet.
    output: str
    # Model of keras_gimlp.applications, such as gMLP_S.
    model: str | None = None
    # Arguments of --model, such as "input_shape=(None,None,3)" for CycleMLP on images of any size.
    model_args: Arguments = dataclasses.field(default_factory=dict)
    # Weights of --model, such as imagenet or a file; or alone, a .keras file with a model.
    weights: str | None = None
    # Folder of a preset: a text model, with its tokenizer.
    preset: str | None = None
    # Backend of Keras that writes it. None: KERAS_BACKEND if it can, or the best one that can.
    backend: Literal["tensorflow", "jax", "torch"] | None = None
    # int8: matrix products of integers of 8 bits, for onnx and openvino.
    quantize: Literal["int8"] | None = None
    # Folder of photos to calibrate int8 on. None: the data of the model's run.
    photos: str | None = None
    # Points of the score in a hundred that int8 may lose.
    most_lost: NonNegative = 0.5


def main(arguments=None):
    config = command_line.parse_options(Config, PROGRAM, __doc__, arguments)
    format = FORMATS[config.format]
    path = new_path(config.output, format)
    start_backend(config, format)
    from recipes.export import writing
    from recipes.trained import loading

    file = writing.write(loading.load(config), format, path, config)
    print(
        f"{path}: {file['model']}, {file['parameters']:,} parameters, {file['bytes'] / 2**20:.1f} "
        f"MiB, written by {file['backend']}. {checked(**file)} What it takes: {path}.json"
    )


def checked(runtime, error, quantized, **description):
    """Returns in words how far a file is from the model."""
    same = f"{runtime} computes the same, to {error:.0e} of the largest output"
    if not quantized:
        return f"{same}."
    if not quantized["after"]:
        return f"Before {quantized['to']}, {same}; what it loses was not measured."
    scores = (
        f"{name} {quantized['before'][name]:.2%}, then {score:.2%}"
        for name, score in quantized["after"].items()
    )
    return f"Before {quantized['to']}, {same}: {'; '.join(scores)}."


def new_path(output, format):
    """Returns the path to write, or ends the program if the format cannot be written there."""
    path = pathlib.Path(output).expanduser()
    if path.suffix != format.suffix and format.suffix:
        raise SystemExit(f"--output must end in {format.suffix}. Received: {output}")
    if path.exists():
        raise SystemExit(f"--output is there already, and was left as it is: {output}")
    if not path.parent.is_dir():
        raise SystemExit(f"--output is in a folder that does not exist: {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise SystemExit(f"--output is in a folder that cannot be written: {path.parent}")
    return path


def start_backend(config, format):
    """Chooses the backend of Keras before it is imported, or ends the program if none can."""
    if config.quantize and not format.quantizer:
        able = " and ".join(name for name, other in FORMATS.items() if other.quantizer)
        raise SystemExit(f"--quantize is for {able}. Received: --format {config.format}")
    able = " or ".join(format.writers)
    if config.backend in format.cannot:
        raise SystemExit(
            f"{config.backend} cannot write {config.format}: {format.cannot[config.backend]}. The "
            f"same model can be written with --backend {able}."
        )
    wished = (config.backend, os.environ.get("KERAS_BACKEND"))
    backend = next((x for x in wished if x in format.writers), next(iter(format.writers)))
    missing = [
        name
        for name in format.needs(backend, config.quantize)
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise SystemExit(
            f"{config.format} needs {', '.join(missing)}: "
            f'pip install -c constraints.txt -e ".[export,{backend}]"'
        )
    started = "keras" in sys.modules and sys.modules["keras"].config.backend()
    if started and started != backend:
        raise SystemExit(f"Keras runs on {started}, and {config.format} is written by {able}.")
    os.environ["KERAS_BACKEND"] = backend


if __name__ == "__main__":
    command_line.run(main)
