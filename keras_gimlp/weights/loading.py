"""Strict loading: every parameter of the model is filled, every tensor of the file is used."""

import pathlib
import sys
import warnings

import keras
import ml_dtypes
import numpy as np

from keras_gimlp.weights.fetching import fetch
from keras_gimlp.weights.files import FLOATS, PUBLISHED, printable, read_keras_file
from keras_gimlp.weights.names import translated

HEAD = "predictions"
PACKAGE = str(pathlib.Path(__file__).parents[1])


def load_weights(model, weights, fresh=(), unused=(), spatial=None):
    """Fills `model` with published or saved parameters, or raises and leaves `model` as it was.

    The classifier in the file is left out if the model has none. If only the number of classes
    differs, the model's classifier keeps its initial weights, which a warning reports.

    Files are not trusted: what a file states is compared with the model before its values are read,
    and all values are checked before any is assigned.

    Args:
        model: A built `keras.Model` from `keras_gimlp.applications`.
        weights: An `Entry` of the catalogue or its name; `"hf://OWNER/NAME"`, where `@REVISION`
            after `NAME` pins a commit; or the path of a published `.safetensors` or `.pth` file, of
            a `.weights.h5` file (`model.save_weights`) or of a `.keras` file (`model.save`), of
            which only the parameters are read.
        fresh: Names of layers that keep their initial weights where the file has none for them,
            which a warning reports.
        unused: Names of layers that are not used: the file or the model may lack them.
        spatial: A `Spatial` that fits the weights over tokens, where the file's images may have
            another size, which a warning reports.

    Raises:
        FileNotFoundError: If there is no file at the path.
        ConnectionError: If the file must be downloaded and cannot be.
        TypeError: If `weights` is neither a string, nor a path, nor an `Entry`.
        ValueError: If the file is of another kind, cannot be read, has another hash than the
            published one, or does not fit the model. The message lists the tensors that are
            missing, left over, of another shape or type, or not finite.
        ImportError: If the library that reads the file is missing: PyTorch 2.6 for `.pth`.
    """
    path, source = fetch(weights, model)
    variables = by_layer_and_position(model)
    if path.suffix in PUBLISHED:
        tensors = translated(PUBLISHED[path.suffix](path), variables, model, source)
    else:
        tensors = read_keras_file(path)

    if has_other_classes(tensors, variables):
        tensors = {name: tensor for name, tensor in tensors.items() if layer_of(name) != HEAD}
        fresh = (*fresh, HEAD)
    in_model, in_file = ({layer_of(name) for name in names} for names in (variables, tensors))
    kept = [layer for layer in fresh if layer in in_model - in_file]
    needless = in_model & set(unused) - in_file
    passed_over = {HEAD, *unused} - in_model
    tensors = {name: t for name, t in tensors.items() if layer_of(name) not in passed_over}
    variables = {n: v for n, v in variables.items() if layer_of(n) not in needless.union(kept)}

    resized = 0
    if spatial is not None:
        for name in tensors.keys() & variables.keys():
            variable, tensor = variables[name], tensors[name]
            tensors[name] = spatial.fit_stored(variable.path, tensor, tuple(variable.shape))
            resized += tensors[name] is not tensor
    fill(model.name, variables, tensors, source, hint=spatial.hint() if spatial else "")
    if kept:
        report(
            f"{source} has nothing that fits these layers of {model.name!r}, which keep their "
            f"initial weights: {listed(kept)}."
        )
    if resized:
        report(
            f"{resized} tensors of {source} were interpolated to the {spatial.grid[0]} x "
            f"{spatial.grid[1]} tokens of {model.name!r}."
        )


def has_other_classes(tensors, variables):
    """Returns whether the file's classifier differs from the model's in its classes alone."""
    ours = {name: tuple(v.shape) for name, v in variables.items() if layer_of(name) == HEAD}
    theirs = {name: tensor for name, tensor in tensors.items() if layer_of(name) == HEAD}
    if not ours or ours.keys() != theirs.keys():
        return False
    (classes, *others) = {tensor.shape[-1:] for tensor in theirs.values()}
    return (
        not others
        and any(classes != shape[-1:] for shape in ours.values())
        and all(theirs[name].shape == shape[:-1] + classes for name, shape in ours.items())
        and all(tensor.dtype in FLOATS for tensor in theirs.values())
    )


def by_layer_and_position(model):
    """Returns the variables of `model` by `layer/position`."""
    variables, counts = {}, {}
    for variable in model.weights:
        layer = variable.path.rpartition("/")[0]
        variables[f"{layer}/{counts.get(layer, 0)}"] = variable
        counts[layer] = counts.get(layer, 0) + 1
    return variables


def layer_of(name):
    return name.split("/")[0]


def fill(model_name, variables, tensors, source, hint=""):
    """Assigns `tensors` to `variables`, all or none.

    No value is read before every name, shape and type fits, and none is assigned before all are
    finite. So a file cannot take more memory than the model, or leave a model half filled.

    Args:
        model_name: For the error message.
        variables: Dictionary of Keras variables by `layer/position`, the position counting the
            variables of one layer.
        tensors: Dictionary of `Stored` tensors by the same names.
        source: Origin of the tensors, for the error message.
        hint: Addition to the error message about shapes.

    Raises:
        ValueError: If names, shapes or types differ, or a tensor has values that are not finite in
            the type of the variable.
    """

    def refuse(verdict, faults, hint=""):
        reasons = ". ".join(
            f"{len(names)} {'tensor is' if len(names) == 1 else 'tensors are'} {fault}: "
            f"{listed(names)}"
            for fault, names in faults.items()
            if names
        )
        if reasons:
            raise ValueError(
                f"The weights file {verdict} {model_name!r}, which was left as it was. {reasons}. "
                f"Received: {source}{hint}"
            )

    both = [(tensors[name], variables[name]) for name in variables if name in tensors]
    other_shapes = [
        f"{variable.path} is {tensor.shape} in the file and {tuple(variable.shape)} here"
        for tensor, variable in both
        if tensor.shape != tuple(variable.shape)
    ]
    faults = {
        "missing from the file": [v.path for name, v in variables.items() if name not in tensors],
        "unknown to the model": [name for name in tensors if name not in variables],
        "of another shape": other_shapes,
        "of another type": [
            f"{variable.path} is {tensor.dtype} in the file and {dtype_of(variable)} here"
            for tensor, variable in both
            if not takes(dtype_of(variable), tensor.dtype)
        ],
    }
    refuse("is of another model than", faults, hint if other_shapes else "")

    values = [cast(tensor.read(), dtype_of(variable)) for tensor, variable in both]
    not_finite = [
        f"{variable.path} as {dtype_of(variable)}"
        for value, (_, variable) in zip(values, both, strict=True)
        if not np.isfinite(value).all()
    ]
    refuse("cannot fill", {"not finite": not_finite})
    for value, (_, variable) in zip(values, both, strict=True):
        variable.assign(value)


def dtype_of(variable):
    return keras.backend.standardize_dtype(variable.dtype)


def takes(ours, theirs):
    """Returns whether a variable of type `ours` takes stored tensors of type `theirs`."""
    return theirs in FLOATS if ours in FLOATS else theirs == ours


def cast(values, dtype):
    with np.errstate(over="ignore"):  # an overflow leaves an infinity, which `fill` refuses
        return values.astype(getattr(ml_dtypes, dtype, dtype), copy=False)


def listed(names, at_most=5):
    """Returns the first names, and how many more there are."""
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return f"{', '.join(printable(name) for name in names[:at_most])}{more}"


def report(message):
    """Warns at the line outside of this package that asked for the weights.

    Python 3.11 cannot skip a package: the warning names the line that called `load_weights`.
    """
    if sys.version_info >= (3, 12):
        warnings.warn(message, stacklevel=2, skip_file_prefixes=(PACKAGE,))
    else:
        warnings.warn(message, stacklevel=3)
