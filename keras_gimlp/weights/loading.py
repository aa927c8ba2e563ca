"""Strict loading: every parameter of the model is filled, every tensor of the file is used."""

import pathlib
import sys
import warnings

import numpy as np

from keras_gimlp.weights import cycle_mlp, timm
from keras_gimlp.weights.catalogue import CATALOGUE, Entry, expected_hash, find
from keras_gimlp.weights.fetching import HUB, check_hash, fetch, fetch_from_hub
from keras_gimlp.weights.keras_file import read_keras_file
from keras_gimlp.weights.published_file import read_pth, read_safetensors

HEAD = "predictions"
OURS = (".weights.h5", ".keras")
PUBLISHED = {".safetensors": read_safetensors, ".pth": read_pth}
# By a layer that only this family has, how its published files name its parameters.
CORRESPONDENCES = {
    "block0_gate": timm.gmlp,
    "block0_tokens_expand": timm.mlp_mixer,
    "block0_tokens_mix": timm.resmlp,
    "stage0_block0_mix_width": cycle_mlp.cycle_mlp,
}


def load_weights(model, weights, fresh=(), unused=(), spatial=None):
    """Fills `model` with published or saved parameters, or raises and leaves `model` as it was.

    A classifier is left out of a model that has none, and keeps its initial weights in a model of
    another number of classes, which a warning reports.

    Args:
        model: A built `keras.Model` from `keras_gimlp.applications`.
        weights: An `Entry` of the catalogue or its name; `"hf://OWNER/NAME"`; or the path of a
            `.safetensors` or `.pth` file as it is published, or of a `.weights.h5` file
            (`model.save_weights`) or a `.keras` file (`model.save`). Of a `.keras` file only the
            parameters are read.
        fresh: Names of layers that keep their initial weights where the file has none for them,
            which a warning reports.
        unused: Names of layers that the file may have and the model has not.
        spatial: A `Spatial` that fits the weights over tokens, where the file's images may have
            another size, which a warning reports.

    Raises:
        FileNotFoundError: If there is no file at the path.
        ConnectionError: If the file must be downloaded and cannot be.
        ValueError: If the file is of another kind, cannot be read, has another hash than the
            published one, or does not fit the model. The message lists what is missing, what is
            left over, and what has another shape.
    """
    path, source = located(weights)
    variables = by_layer_and_position(model)
    if path.suffix in PUBLISHED:
        tensors = translated(PUBLISHED[path.suffix](path), variables, model, source)
    else:
        tensors = read_keras_file(path)

    if any(
        tensors[name].shape != tuple(variables[name].shape)
        for name in tensors.keys() & variables.keys()
        if layer_of(name) == HEAD
    ):
        tensors = {name: tensor for name, tensor in tensors.items() if layer_of(name) != HEAD}
        fresh = (*fresh, HEAD)
    in_model, in_file = ({layer_of(name) for name in names} for names in (variables, tensors))
    kept = [layer for layer in fresh if layer in in_model - in_file]
    passed_over = {HEAD, *unused} - in_model
    tensors = {name: t for name, t in tensors.items() if layer_of(name) not in passed_over}
    variables = {name: v for name, v in variables.items() if layer_of(name) not in kept}

    resized = []
    if spatial is not None:
        for name in tensors.keys() & variables.keys():
            fitted = spatial.fit(variables[name].path, tensors[name], tuple(variables[name].shape))
            if fitted is not tensors[name]:
                tensors[name] = fitted
                resized.append(name)
    try:
        fill(model.name, variables, tensors, source)
    except ValueError as error:
        raise ValueError(f"{error}{spatial.hint() if spatial else ''}") from None
    if kept:
        report(
            f"{source} has nothing that fits these layers of {model.name!r}, which keep their "
            f"initial weights: {listed(kept)}."
        )
    if resized:
        report(
            f"{len(resized)} tensors of {source} were interpolated to the {spatial.grid[0]} x "
            f"{spatial.grid[1]} tokens of {model.name!r}."
        )


def located(weights):
    """Returns the path of the file, fetched if need be, and how to call it in a message."""
    if not isinstance(weights, Entry) and any(weights == entry.name for entry in CATALOGUE):
        weights = find(weights)
    if isinstance(weights, Entry):
        return fetch(weights), f"weights={weights.name!r}, which are of {weights.built_as}"
    source = f"weights={str(weights)!r}"
    if str(weights).startswith(HUB):
        return fetch_from_hub(weights), source
    path = pathlib.Path(weights)
    if not path.name.endswith(OURS) and path.suffix not in PUBLISHED:
        if weights == "imagenet":
            find(weights)
        raise ValueError(
            "`weights` must be None, a name in keras_gimlp.weights.list_weights(), "
            '"hf://OWNER/NAME", or the path of a `.safetensors`, `.pth`, `.weights.h5` or `.keras` '
            f"file. Received: {source}"
        )
    if path.is_dir():
        raise ValueError(f"`weights` must be the path of a file, this is a folder: {source}")
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file at this path: {source}")
    try:
        path.open("rb").close()
    except PermissionError as error:
        raise PermissionError(f"The weights file may not be read: {source}") from error
    check_hash(path, expected_hash(path.name))
    return path, source


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
        f"{model.name!r} is no model of a family with published files. Give it a `.weights.h5` or "
        "`.keras` file."
    )


def translated(tensors, variables, model, source):
    """Returns a published file's tensors in our layout and by our names, as far as these are known.

    Raises:
        ValueError: If a constant in the file is not the one with which the model computes.
    """
    known = correspondence(model)
    tensors = {known.renamed(name): tensor for name, tensor in tensors.items()}
    for name, constant in known.constants.items():
        if not np.array_equal(tensors.pop(name, constant), constant):
            raise ValueError(
                f"The file computes something else than {model.name!r}: its {name} is another. "
                f"Received: {source}"
            )
    # A model without a classifier or the last normalization still knows what these tensors are.
    names = {variable.path: name for name, variable in variables.items()}
    ours = {
        names.get(path, path): as_ours(tensors.pop(theirs), layout)
        for path, (theirs, layout) in known.rows.items()
        if theirs in tensors
    }
    return ours | tensors


def as_ours(tensor, layout):
    """Returns `tensor` in our layout; as it is, where it has not even the rank for that."""
    try:
        return layout.ours(tensor)
    except (ValueError, IndexError):
        return tensor


def fill(model_name, variables, tensors, source):
    """Assigns `tensors` to `variables`, all or none.

    Args:
        model_name: For the error message.
        variables: Dictionary of Keras variables by `layer/position`, the position counting the
            variables of one layer.
        tensors: Dictionary of NumPy arrays by the same names.
        source: Where the tensors come from, for the error message.

    Raises:
        ValueError: If names or shapes differ, or a tensor has values that are not finite.
    """
    paths = {name: variable.path for name, variable in variables.items()}
    both = [name for name in variables if name in tensors]
    faults = {
        "missing from the file": [path for name, path in paths.items() if name not in tensors],
        "unknown to the model": [name for name in tensors if name not in variables],
        "of another shape": [
            f"{paths[name]} is {tensors[name].shape} in the file and "
            f"{tuple(variables[name].shape)} here"
            for name in both
            if tensors[name].shape != tuple(variables[name].shape)
        ],
        "not finite": [paths[name] for name in both if not np.isfinite(tensors[name]).all()],
    }
    if any(faults.values()):
        what = ". ".join(
            f"{len(names)} {'tensor is' if len(names) == 1 else 'tensors are'} {fault}: "
            f"{listed(names)}"
            for fault, names in faults.items()
            if names
        )
        raise ValueError(
            f"The weights file is of another model than {model_name!r}, which was left as it was. "
            f"{what}. Received: {source}"
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


def layer_of(name):
    return name.split("/")[0]


def report(message):
    """Warns, at the line outside of this library that asked for the weights."""
    package = str(pathlib.Path(__file__).parent.parent)
    level = 1
    while sys._getframe(level).f_code.co_filename.startswith(package):
        level += 1
    warnings.warn(message, stacklevel=level + 1)


def listed(names, at_most=5):
    """Returns the first names, and how many more there are."""
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return f"{', '.join(names[:at_most])}{more}"
