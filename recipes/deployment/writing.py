"""A file that computes the same as the model, or no file."""

import os
import pathlib
import tempfile

import keras
from keras import ops

from recipes.common import files
from recipes.deployment import cards, signature

# The sizes of the inputs that are compared: not those that the model was traced with.
TRIALS = (
    {"batch": 1, "tokens": 5, "masks": 1, "height": 64, "width": 96},
    {"batch": 3, "tokens": 12, "masks": 3, "height": 96, "width": 64},
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
    of = signature.signature_of(model)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            unfinished = pathlib.Path(folder) / path.name
            form.write(keras.backend.backend(), model, of, unfinished)
            error = largest_error(model, form.read(unfinished, of), of)
            if not error <= form.tolerance:
                raise SystemExit(
                    f"{form.runtime} computes something else from the file, by {error:.1e} of the "
                    f"largest output (at most {form.tolerance:.0e}): it was thrown away."
                )
            card = cards.card_of(model, of, form, unfinished, source) | {"error": error}
            for part in pathlib.Path(folder).iterdir():
                os.replace(part, path.parent / part.name)
        files.write_json(path.with_name(f"{path.name}.json"), card)
    except OSError as error:
        raise SystemExit(f"--output cannot be written: {error}") from error
    return card


def largest_error(model, compute, of):
    """Returns the largest error over all trials, as a share of the largest output."""
    worst = 0.0
    for seed, sizes in enumerate(TRIALS, start=1):
        inputs = of.examples(seed, **{n: min(size, of.most[n]) for n, size in sizes.items()})
        expected = [ops.convert_to_numpy(x) for x in signature.call(model, inputs)]
        worst = max(worst, signature.error(compute(inputs), expected))
    return worst
