"""Assigns stored tensors to variables, all or none."""

import keras
import ml_dtypes
import numpy as np

from keras_gimlp.weights.messages import listed

# Types of stored tensors that a variable of floats takes.
FLOATS = ("float16", "bfloat16", "float32", "float64")


def fill(model_name, variables, tensors, source, hint=""):
    """Assigns `tensors` to `variables`, all or none.

    Nothing is read before all that the file states fits the variables, and nothing is assigned
    before all that is read is in order. So a file cannot take more memory than the model, nor leave
    a model half filled.

    Args:
        model_name: For the error message.
        variables: Dictionary of Keras variables by `layer/position`, the position counting the
            variables of one layer.
        tensors: Dictionary of `Stored` tensors by the same names.
        source: Where the tensors come from, for the error message.
        hint: What to add to the error message about shapes.

    Raises:
        ValueError: If names, shapes or types differ, or a tensor has values that are not finite in
            the type of the variable.
    """

    def refuse(verdict, faults, hint=""):
        what = ". ".join(
            f"{len(names)} {'tensor is' if len(names) == 1 else 'tensors are'} {fault}: "
            f"{listed(names)}"
            for fault, names in faults.items()
            if names
        )
        if what:
            raise ValueError(
                f"The weights file {verdict} {model_name!r}, which was left as it was. {what}. "
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
    with np.errstate(over="ignore"):  # which leaves infinities behind, and these are looked for
        return values.astype(getattr(ml_dtypes, dtype, dtype), copy=False)
