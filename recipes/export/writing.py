"""A file that computes the same as the model, or no file."""

import os
import pathlib
import tempfile

import keras
from keras import ops

from recipes.export import calibration, cards, int8, signature, vocabulary
from recipes.program import files

# The sizes of the inputs that are compared: not those that the model was traced with.
TRIALS = (
    {"batch": 1, "tokens": 5, "masks": 1, "height": 96, "width": 160},
    {"batch": 3, "tokens": 12, "masks": 3, "height": 160, "width": 64},
)


def write(model, form, path, source):
    """Writes a model at `path` and its card beside it, and returns the card.

    Ends the program, and leaves nothing, if what was written computes something else.

    Args:
        model: Functional Keras model.
        form: The `Format`.
        path: Path that does not exist yet.
        source: The recipe's configuration, which says where the model came from.
    """
    check_precision(model)
    of = signature.signature_of(model)
    data = calibration.load(model, source, of) if source.quantize else None
    card_path = path.with_name(f"{path.name}.json")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            unfinished = pathlib.Path(folder) / "float32" / path.name
            unfinished.parent.mkdir()
            error = attempt(model, of, form, unfinished)
            if not error <= form.tolerance:
                raise SystemExit(
                    f"{form.runtime} computes something else from the file, by {error:.1e} of the "
                    f"largest output (at most {form.tolerance:.0e}): it was thrown away."
                )
            quantized = None
            if source.quantize:
                unfinished, quantized = int8.quantize(data, of, form, unfinished, source)
            vocabulary.write(model, unfinished)
            card = cards.card_of(model, of, form, unfinished, source)
            card |= {"error": error, "quantized": quantized}
            move(unfinished.parent.iterdir(), card_path)
        files.write_json(card_path, card)
    except OSError as error:
        raise SystemExit(f"--output cannot be written: {error}") from error
    return card


def check_precision(model):
    """Ends the program if a layer of a model does not compute in float32."""
    other = {layer.compute_dtype for layer in model.layers} - {"float32"}
    if other:
        raise SystemExit(f"Only models in float32 are exported. This one has {', '.join(other)}.")


def attempt(model, of, form, path):
    """Writes a model, and returns how far its runtime is from it; ends the program if it fails."""
    backend = keras.backend.backend()
    try:
        form.write(backend, model, of, path)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever a library raises
        raise SystemExit(f"{backend} cannot write {model.name}: {first_line(error)}") from error
    try:
        return largest_error(model, form.read(path, of), of)
    except Exception as error:
        raise SystemExit(
            f"{form.runtime} cannot compute what {backend} wrote, and it was thrown away: "
            f"{first_line(error)}"
        ) from error


def first_line(error):
    """Returns the first line of a message that says something; Keras begins with where it was."""
    lines = (line for line in str(error).splitlines() if line.strip())
    return next((x for x in lines if not x.startswith("Exception enc")), type(error).__name__)


def move(parts, card):
    """Moves finished files and folders to where the card will be, if nothing is in the way."""
    moves = {part: card.parent / part.name for part in parts}
    for there in (*moves.values(), card):
        if there.exists():
            raise SystemExit(f"{there} is there already, and was left as it is.")
    for part, there in moves.items():
        os.replace(part, there)


def largest_error(model, compute, of):
    """Returns the largest error over all trials, as a share of the largest output."""
    worst = 0.0
    for seed, sizes in enumerate(TRIALS, start=1):
        inputs = of.examples(seed, **sizes)
        expected = [ops.convert_to_numpy(x) for x in signature.call(model, inputs)]
        worst = max(worst, signature.error(compute(inputs), expected))
    return worst
