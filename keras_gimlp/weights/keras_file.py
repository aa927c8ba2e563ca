"""Reads the parameters in Keras' own files: `.weights.h5`, and the one inside `.keras`."""

import io
import zipfile

import h5py
import numpy as np

WEIGHTS_IN_ARCHIVE = "model.weights.h5"


def read_keras_file(path):
    """Returns the parameters of the file at `path`, by `layer/position`.

    Keras files name a group after the class of its layer, with a counter. The layer's own name,
    stable in this library's models, is an attribute of the `vars` group inside; the state of the
    optimizer is passed over.

    Raises:
        ValueError: If the file is damaged, or is not one that Keras wrote.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content = io.BytesIO(archive.read(WEIGHTS_IN_ARCHIVE))
        else:
            content = path
        with h5py.File(content) as file:
            return _parameters(file.get("layers", {}), parents=())
    except (OSError, KeyError, zipfile.BadZipFile, RuntimeError) as error:
        raise ValueError(
            f"The weights file is damaged, or is no Keras file: {error}. "
            f"Received: weights={str(path)!r}"
        ) from error


def _parameters(group, parents):
    """Returns the parameters of the layers in `group`, which are named after `parents`."""
    parameters = {}
    for child in group.values():
        if not isinstance(child, h5py.Group):
            continue
        if "vars" not in child:  # a list of layers
            parameters |= _parameters(child, parents)
            continue
        layer = (*parents, child["vars"].attrs.get("name", child.name.rpartition("/")[2]))
        for position, tensor in child["vars"].items():
            parameters["/".join((*layer, position))] = np.asarray(tensor)
        parameters |= _parameters({k: v for k, v in child.items() if k != "vars"}, layer)
    return parameters
