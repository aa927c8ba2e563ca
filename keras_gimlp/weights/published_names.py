"""Finds the parameters of a model in its published files, which name and lay them out otherwise."""

import numpy as np

from keras_gimlp.weights import cycle_mlp, timm
from keras_gimlp.weights.filling import FLOATS
from keras_gimlp.weights.messages import printable

# By a layer that only this family has, how its published files name its parameters.
CORRESPONDENCES = {
    "block0_gate": timm.gmlp,
    "block0_tokens_expand": timm.mlp_mixer,
    "block0_tokens_mix": timm.resmlp,
    "stage0_block0_mix_width": cycle_mlp.cycle_mlp,
}


def correspondence(model):
    """Returns the `Correspondence` between a model and its published files.

    Raises:
        ValueError: If no files are published for models of this kind.
    """
    names = {layer.name for layer in model.layers}
    for layer, make in CORRESPONDENCES.items():
        if layer in names:
            return make(model)
    raise ValueError(
        f"{model.name!r} is not a model of a family with published files. Give it a `.weights.h5` "
        "or `.keras` file."
    )


def translated(tensors, variables, model, source):
    """Returns a published file's tensors in our layout and by our names, as far as these are known.

    Raises:
        ValueError: If a constant in the file is not the one with which the model computes, or the
            file has a tensor twice.
    """
    known = correspondence(model)
    renamed = {known.renamed(name): tensor for name, tensor in tensors.items()}
    if len(renamed) < len(tensors):
        raise ValueError(f"The file has a tensor under two names. Received: {source}")
    # A model without a classifier or the last normalization still knows what these tensors are.
    names = {variable.path: name for name, variable in variables.items()}
    ours = {
        names.get(path, path): renamed.pop(theirs).through(layout.ours)
        for path, (theirs, layout) in known.rows.items()
        if theirs in renamed
    }
    for name, constant in known.constants.items():
        if name in renamed and not equal(renamed.pop(name), constant):
            raise ValueError(
                f"The file computes something else than {model.name!r}: its {printable(name)} is "
                f"another. Received: {source}"
            )
    return renamed | ours


def equal(tensor, constant):
    """Returns whether a tensor in a file has the values of `constant`; others are not read."""
    alike = tensor.shape == constant.shape and tensor.dtype in FLOATS
    return alike and np.array_equal(tensor.read(), constant)
