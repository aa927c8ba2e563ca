"""Reads the parameters in Keras' own files: `.weights.h5`, and the one inside `.keras`.

`keras.saving.KerasFileEditor` does not do: it reads all tensors, up to 4 GiB each, before any can
be compared with a model, follows circles of hard links, and prints.
"""

import io
import math
import zipfile

import h5py
import ml_dtypes

from keras_gimlp.weights.messages import reading
from keras_gimlp.weights.stored import Stored

WEIGHTS_IN_ARCHIVE = "model.weights.h5"


def read_keras_file(path):
    """Returns the parameters of the file at `path`, by `layer/position`, as `Stored` tensors.

    Keras files name a group after the class of its layer, with a counter. The layer's own name,
    stable in this library's models, is an attribute of the `vars` group inside; the state of the
    optimizer is passed over.

    Raises:
        ValueError: If the file is damaged, is not one that Keras wrote, or leads to data outside of
            it.
    """
    with reading(path, "is no Keras file"):
        file = h5py.File(_content(path))
        layers = _child(file, "layers") if "layers" in file else None
        return _parameters(layers, (), {file}, path) if isinstance(layers, h5py.Group) else {}


def _content(path):
    """Returns what h5py opens: the path, or the file in the archive there."""
    if not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(WEIGHTS_IN_ARCHIVE)
        # Keras compresses nothing, and what is not compressed cannot outgrow the archive.
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise ValueError(
                f"{WEIGHTS_IN_ARCHIVE} is compressed, which Keras' own is not. Unpack the archive "
                f"and give the path of {WEIGHTS_IN_ARCHIVE}"
            )
        return io.BytesIO(archive.read(member))


def _child(group, name):
    """Returns the child of `group`, unless it lies elsewhere."""
    link = group.get(name, getclass=True, getlink=True)
    if link is not h5py.HardLink:
        raise ValueError(f"it holds a link ({link.__name__}), which Keras never writes")
    child = group[name]
    if isinstance(child, h5py.Dataset) and (child.external or child.is_virtual):
        raise ValueError("its data lie in another file, as Keras does not store them")
    return child


def _parameters(group, parents, seen, path):
    """Returns the parameters of the layers in `group`, which are named after `parents`."""
    parameters = {}

    def add(more):
        if parameters.keys() & more.keys():
            raise ValueError("two of its layers have the same name")
        parameters.update(more)

    for name in group:
        child = _child(group, name)
        if not isinstance(child, h5py.Group) or name == "vars":
            continue
        if child in seen:
            raise ValueError("a group of it is linked twice")
        seen.add(child)
        layer = parents
        if "vars" in child:  # and not a list of layers
            variables = _child(child, "vars")
            layer = (*parents, _text(variables.attrs.get("name", name)))
            add(
                {
                    "/".join((*layer, position)): _stored(_child(variables, position), path)
                    for position in variables
                }
            )
        add(_parameters(child, layer, seen, path))
    return parameters


def _text(value):
    if not isinstance(value, str):
        raise ValueError("the name of a layer is no text")
    return value


def _stored(dataset, path):
    """Returns the tensor in a dataset."""
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise ValueError("one of its parameters is no tensor")
    # A chunk is unpacked as a whole, and one of a dataset that may grow can be of any size.
    if dataset.chunks and math.prod(dataset.chunks) > dataset.size:
        raise ValueError("it holds chunks larger than the tensor that they are of")
    kind = dataset.dtype.kind
    mark = dataset.attrs.get("dtype")
    is_bfloat16 = isinstance(mark, str) and mark == "bfloat16" and dataset.dtype == "V2"
    if is_bfloat16:
        dtype = "bfloat16"
    elif kind in "OSU":
        dtype = "text"
    else:
        dtype = "compound" if kind == "V" else dataset.dtype.name

    def read():
        with reading(path, "is no Keras file"):
            values = dataset[()]
            return values.view(ml_dtypes.bfloat16).astype("float32") if is_bfloat16 else values

    return Stored(dataset.shape, dtype, read)
