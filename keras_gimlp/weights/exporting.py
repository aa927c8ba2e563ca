"""Writes a model's parameters as its original implementation publishes them."""

import pathlib

from keras import ops

from keras_gimlp.weights.files import PUBLISHED, needed, needed_torch
from keras_gimlp.weights.names import correspondence


def export_weights(model, path):
    """Writes the parameters of `model` to a file that its original implementation loads.

    gMLP, MLP-Mixer and ResMLP are written for timm, CycleMLP for its authors' code. A `.pth` file
    holds a dictionary under `"model"`, as the releases do. `weights=` loads the file too.

    Args:
        model: A model from `keras_gimlp.applications`, new or loaded from a file.
        path: Path ending in `.safetensors` or `.pth`. An existing file is replaced.

    Raises:
        ValueError: If `path` has another ending, or the original implementation has no place for
            some of the parameters: the tiny attention of aMLP, the gates of giCycleMLP, the
            normalizations of CycleMLP's `feature_maps`.
        ImportError: If safetensors, or PyTorch for `.pth`, is not installed.
    """
    path = pathlib.Path(path)
    if path.suffix not in PUBLISHED:
        raise ValueError(f"`path` must end in .safetensors or .pth. Received: path={str(path)!r}")
    known = correspondence(model)
    without_place = [v.path for v in model.weights if v.path not in known.rows]
    if without_place:
        raise ValueError(
            f"The original implementation of {model.name!r} has no place for "
            f"{len(without_place)} of its parameters, of which the first is {without_place[0]}."
        )
    tensors = dict(known.constants)
    for variable in model.weights:
        name, layout = known.rows[variable.path]
        value = ops.convert_to_numpy(ops.cast(variable.value, "float32"))
        tensors[name] = layout.theirs(value).copy(order="C")
    if path.suffix == ".safetensors":
        needed("safetensors.numpy", "write .safetensors files").save_file(tensors, path)
        return
    torch = needed_torch("write .pth files")
    torch.save({"model": {name: torch.from_numpy(t) for name, t in tensors.items()}}, path)
