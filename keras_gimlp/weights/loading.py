"""Strict loading: every parameter of the model is filled, every tensor of the file is used."""

import pathlib

from keras_gimlp.weights.keras_file import read_keras_file

SUFFIXES = (".weights.h5", ".keras")


def load_weights(model, path, leave_out=()):
    """Fills `model` with the parameters in a file, or raises and leaves `model` as it was.

    Args:
        model: A built `keras.Model` from `keras_gimlp.applications`.
        path: Path of a `.weights.h5` file (`model.save_weights`) or a `.keras` file (`model.save`).
            Of a `.keras` file only the parameters are read.
        leave_out: Names of layers that the file may have and the model has not.

    Raises:
        FileNotFoundError: If there is no file at `path`.
        ValueError: If the file is of another kind, cannot be read, or does not fit the model. The
            message lists what is missing, what is left over, and what has another shape.
    """
    path = pathlib.Path(path)
    if not path.name.endswith(SUFFIXES):
        raise ValueError(
            "`weights` must be None or the path of a `.weights.h5` or `.keras` file. "
            f"Received: weights={str(path)!r}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file at this path: weights={str(path)!r}")
    tensors = {
        name: tensor
        for name, tensor in read_keras_file(path).items()
        if name.split("/")[0] not in leave_out
    }
    fill(model, tensors, source=str(path))


def fill(model, tensors, source):
    """Assigns `tensors` to the variables of `model`, all or none.

    Args:
        model: A built `keras.Model` whose variables' paths are unique.
        tensors: Dictionary of NumPy arrays by `layer/position`, the position counting the variables
            of one layer.
        source: Where the tensors come from, for the error message.

    Raises:
        ValueError: If names or shapes differ between `tensors` and the model.
    """
    variables = by_layer_and_position(model)
    missing = [variable.path for name, variable in variables.items() if name not in tensors]
    unknown = [name for name in tensors if name not in variables]
    wrong_shapes = [
        f"{variable.path} is {tensors[name].shape} in the file and {tuple(variable.shape)} here"
        for name, variable in variables.items()
        if name in tensors and tensors[name].shape != tuple(variable.shape)
    ]
    faults = [
        fault
        for fault in (
            _listed("missing from the file", missing),
            _listed("unknown to the model", unknown),
            _listed("of another shape", wrong_shapes),
        )
        if fault
    ]
    if faults:
        raise ValueError(
            f"The weights file is of another model than {model.name!r}, which was left as it was. "
            f"{'. '.join(faults)}. Received: weights={source!r}"
        )
    for name, variable in variables.items():
        variable.assign(tensors[name])


def by_layer_and_position(model):
    """Returns the variables of `model` by `layer/position`."""
    variables, counts = {}, {}
    for variable in model.weights:
        layer = variable.path.rpartition("/")[0]
        variables[f"{layer}/{counts.get(layer, 0)}"] = variable
        counts[layer] = counts.get(layer, 0) + 1
    return variables


def _listed(what, names, at_most=5):
    """Returns `"2 tensors are missing: a, b"`, or nothing where there are no names."""
    if not names:
        return ""
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    verb = "tensor is" if len(names) == 1 else "tensors are"
    return f"{len(names)} {verb} {what}: {', '.join(names[:at_most])}{more}"
