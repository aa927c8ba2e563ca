"""Strict loading: every parameter of the model is filled, every tensor of the file is used."""

from keras_gimlp.weights.files import read_keras_file
from keras_gimlp.weights.filling import FLOATS, fill
from keras_gimlp.weights.locating import located
from keras_gimlp.weights.messages import listed, report
from keras_gimlp.weights.published_file import read_pth, read_safetensors
from keras_gimlp.weights.published_names import translated

HEAD = "predictions"
READERS = {".safetensors": read_safetensors, ".pth": read_pth}


def load_weights(model, weights, fresh=(), unused=(), spatial=None):
    """Fills `model` with published or saved parameters, or raises and leaves `model` as it was.

    The classifier in the file is left out if the model has none. If only the number of classes
    differs, the model's classifier keeps its initial weights, which a warning reports.

    Files are not trusted: what a file states is compared with the model before its values are read,
    and all values are checked before any is assigned.

    Args:
        model: A built `keras.Model` from `keras_gimlp.applications`.
        weights: An `Entry` of the catalogue or its name; `"hf://OWNER/NAME"`, where `@REVISION`
            after `NAME` pins a commit; or the path of a `.safetensors` or `.pth` file as it is
            published, or of a `.weights.h5` file (`model.save_weights`) or a `.keras` file
            (`model.save`). Of a `.keras` file only the parameters are read.
        fresh: Names of layers that keep their initial weights where the file has none for them,
            which a warning reports.
        unused: Names of layers that are not used: either the file or the model may lack them.
        spatial: A `Spatial` that fits the weights over tokens, where the file's images may have
            another size, which a warning reports.

    Raises:
        FileNotFoundError: If there is no file at the path.
        ConnectionError: If the file must be downloaded and cannot be.
        TypeError: If `weights` is neither a string, nor a path, nor an `Entry`.
        ValueError: If the file is of another kind, cannot be read, has another hash than the
            published one, or does not fit the model. The message lists what is missing, what is
            left over, what has another shape or type, and what is not finite.
        ImportError: If a library is missing that reads such files: PyTorch 2.6 for `.pth`.
    """
    path, source = located(weights, model)
    variables = by_layer_and_position(model)
    if path.suffix in READERS:
        tensors = translated(READERS[path.suffix](path), variables, model, source)
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
    """Returns whether the file's classifier differs from the model's in their number alone."""
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
