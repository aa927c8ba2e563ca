"""The complete state of a training, kept after each epoch as one file: `checkpoint-N.npz`.

An entry is a variable of the model, such as a seed, or of the optimizer, by its path.
"""

import collections
import io
import math
import zipfile

import keras
import numpy as np

from recipes.program import files
from recipes.training import distribution


class Checkpoint(keras.callbacks.Callback):
    """Keeps the complete state of the training after each epoch, as one file.

    Keras' `BackupAndRestore` keeps neither the seeds of the dropouts nor, in one step with the
    weights, the number of the epoch: a run killed in between would repeat an epoch. Here the name
    of the file is the number, and the file appears complete or not at all.

    An epoch whose loss is not finite is not kept, so that the last good state stays.
    """

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]) or distribution.process():
            return
        state = state_of(self.model)
        earlier = checkpoints(self.folder)
        with files.replacing(self.folder / f"checkpoint-{epoch + 1}.npz") as file:
            np.savez(file, **{k: keras.ops.convert_to_numpy(v) for k, v in state.items()})
        for path in earlier.values():
            path.unlink()


def restore(model, folder):
    """Sets the compiled `model` to the last state kept in `folder`.

    Ends the program, with everything left as it is, if that state is damaged or another model's.

    Returns:
        The number of epochs that were completed, 0 in a new run.
    """
    # Before a new run too: TensorFlow names what is built in the first step otherwise.
    model.optimizer.build(model.trainable_variables)
    epochs = distribution.from_first(lambda: completed_epochs(folder))
    if not epochs:
        return 0
    path = folder / f"checkpoint-{epochs}.npz"
    kept = read(path)
    state = state_of(model)
    kept_shapes = {name: value.shape for name, value in kept.items()}
    shapes = {name: tuple(variable.shape) for name, variable in state.items()}
    if kept_shapes != shapes:
        differing = sorted(dict(kept_shapes.items() ^ shapes.items()))
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise SystemExit(
            f"{path} is the state of another model, and was left as it is. These variables differ: "
            f"{', '.join(differing[:3])}{more}. Choose another --run_dir."
        )
    for name, variable in state.items():
        variable.assign(kept[name])
    return epochs


def read(path):
    """Returns the arrays of a state, or ends the program if the file is damaged."""
    try:
        file = io.BytesIO(distribution.from_first(path.read_bytes))
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise SystemExit(
            f"{path} is damaged, and was left as it is: {error}. Put a good copy in its place, or "
            "remove it to start from the state before it."
        ) from error


def completed_epochs(folder):
    """Returns the number of epochs after which the state in `folder` was kept, 0 for none."""
    return max(checkpoints(folder), default=0)


def checkpoints(folder):
    """Returns the files of kept states by their numbers of epochs."""
    numbers = {path: path.stem.removeprefix("checkpoint-") for path in folder.glob("*.npz")}
    return {int(number): path for path, number in numbers.items() if number.isdecimal()}


def state_of(model):
    """Returns all variables that the course of a training depends on, by their paths."""
    metrics = {id(variable) for variable in model.metrics_variables}
    variables = [*model.variables, *model.optimizer.variables]
    variables = [variable for variable in variables if id(variable) not in metrics]
    counts = collections.Counter(variable.path for variable in variables)
    repeated = [path for path, count in counts.items() if count > 1]
    if repeated:
        raise ValueError(
            "Variables need different paths to be kept. These are used more than once: "
            f"{', '.join(repeated)}"
        )
    return {variable.path: variable for variable in variables}
