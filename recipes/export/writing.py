"""A file that computes the same as the model, or no file."""

import os
import pathlib
import tempfile

import keras
from keras import ops

from recipes.export import calibration, description, int8, signature
from recipes.program import files

# The sizes of the inputs that are compared: not those that the model was traced with.
TRIALS = (
    {"batch": 1, "tokens": 5, "masks": 1, "height": 96, "width": 160},
    {"batch": 3, "tokens": 12, "masks": 3, "height": 160, "width": 64},
)


def write(model, format, path, config):
    """Writes a model at `path` and its description beside it, and returns the description.

    Ends the program, and leaves nothing, if the file computes something else. `path` does not exist
    yet; `config` are the options of `recipes.export`, which say where the model came from.
    """
    other = {layer.compute_dtype for layer in model.layers} - {"float32"}
    if other:
        raise SystemExit(f"Only models in float32 are exported. This one has {', '.join(other)}.")
    given = signature.signature_of(model)
    data = calibration.load(model, config, given) if config.quantize else None
    description_path = path.with_name(f"{path.name}.json")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            unfinished = pathlib.Path(folder) / "float32" / path.name
            unfinished.parent.mkdir()
            error = attempt(model, given, format, unfinished)
            if not error <= format.tolerance:
                raise SystemExit(
                    f"{format.runtime} computes something else from the file, by {error:.1e} of "
                    f"the largest output (at most {format.tolerance:.0e}): it was thrown away."
                )
            quantized = None
            if config.quantize:
                unfinished, quantized = int8.quantize(data, format, unfinished, config)
            description.write_vocabulary(model, unfinished)
            described = description.describe(model, given, format, unfinished, config)
            described |= {"error": error, "quantized": quantized}
            move(unfinished.parent.iterdir(), description_path)
        files.write_json(description_path, described)
    except OSError as error:
        raise SystemExit(f"--output cannot be written: {error}") from error
    return described


def attempt(model, given, format, path):
    """Writes a model, and returns how far its runtime is from it; ends the program if it fails."""
    backend = keras.backend.backend()
    try:
        format.writers[backend](model, given, path)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of any library
        raise SystemExit(f"{backend} cannot write {model.name}: {first_line(error)}") from error
    try:
        return largest_error(model, format.read(path), given)
    except Exception as error:
        raise SystemExit(
            f"{format.runtime} cannot compute what {backend} wrote, and it was thrown away: "
            f"{first_line(error)}"
        ) from error


def first_line(error):
    """Returns the first line of a message; Keras begins with the place of the error."""
    lines = (line for line in str(error).splitlines() if line.strip())
    return next((x for x in lines if not x.startswith("Exception enc")), type(error).__name__)


def move(parts, description_path):
    """Moves finished files and folders beside the description, if nothing is in the way."""
    moves = {part: description_path.parent / part.name for part in parts}
    for there in (*moves.values(), description_path):
        if there.exists():
            raise SystemExit(f"{there} is there already, and was left as it is.")
    for part, there in moves.items():
        os.replace(part, there)


def largest_error(model, compute, given):
    """Returns the largest error over all trials, as a share of the largest output."""
    worst = 0.0
    for seed, sizes in enumerate(TRIALS, start=1):
        inputs = given.examples(seed, **sizes)
        expected = [ops.convert_to_numpy(x) for x in signature.call(model, inputs)]
        worst = max(worst, signature.error(compute(inputs), expected))
    return worst
