"""Reads the parameters in files of PyTorch models: `.safetensors` and `.pth`."""

import functools
import pathlib
import pickle
import re
import zipfile

import numpy as np

from keras_gimlp.weights.fetching import needed, needed_torch
from keras_gimlp.weights.messages import reading
from keras_gimlp.weights.stored import Stored

NO_WEIGHTS = "holds no weights"
NOT_TENSORS = "holds other objects than tensors, which are never unpickled"
SAFETENSORS_TYPES = {
    "BF16": "bfloat16",
    "BOOL": "bool",
    **{f"C{bits}": f"complex{bits}" for bits in (64, 128)},
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


def read_safetensors(path):
    """Returns the tensors in a `.safetensors` file as `Stored` tensors, by name.

    Raises:
        ValueError: If the file is damaged or of another kind.
        ImportError: If safetensors is not installed.
    """
    safetensors = needed("safetensors", "read .safetensors files")

    def stored(name):
        stated = file.get_slice(name)
        dtype = SAFETENSORS_TYPES.get(stated.get_dtype(), stated.get_dtype())

        def read():
            with reading(path, NO_WEIGHTS):
                values = file.get_tensor(name)
                return values.astype("float32") if dtype == "bfloat16" else values

        return Stored(tuple(stated.get_shape()), dtype, read)

    with reading(path, NO_WEIGHTS):
        file = safetensors.safe_open(path, "np")
        return {name: stored(name) for name in file.keys()}  # noqa: SIM118


def read_pth(path):
    """Returns the tensors in a file of `torch.save` as `Stored` tensors, by name.

    The file is read by PyTorch's weights-only reader, which executes nothing. The tensors may lie
    in the file's dictionary, or in one in it under `"model"` or `"state_dict"`.

    Raises:
        ValueError: If the file is damaged, or holds other objects than tensors.
        ImportError: If PyTorch 2.6 or later is not installed.
    """
    # The weights-only readers of earlier versions can be made to execute code.
    torch = needed_torch("read .pth files", at_least=(2, 6))

    def tensors(location):
        try:
            content = torch.load(path, map_location=location, weights_only=True, mmap=is_archive)
        except pickle.UnpicklingError as error:
            # What else the message says is how to load the file all the same.
            reason = re.search(r"WeightsUnpickler error: [^\n]*", str(error))
            raise ValueError(reason[0] if reason else "it is no pickle") from None
        for key in ("model", "state_dict"):
            if isinstance(content, dict) and isinstance(content.get(key), dict):
                content = content[key]
        if not isinstance(content, dict):
            raise ValueError("it holds no dictionary")
        for name, tensor in content.items():
            dense = isinstance(tensor, torch.Tensor) and tensor.layout is torch.strided
            if not isinstance(name, str) or not dense:
                raise ValueError(f"{name!r} is no dense tensor")
        return content

    def read(name):
        with reading(path, NOT_TENSORS):
            tensor = loaded()[name].detach()
            # NumPy has no bfloat16. A copy, because the tensor would change with the file.
            return np.array((tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy())

    with reading(path, NOT_TENSORS):
        is_archive = zipfile.is_zipfile(path)
        if is_archive:
            check_archive(path)
        loaded = functools.cache(lambda: tensors("cpu"))
        return {  # on the device "meta" there are no values
            name: Stored(
                tuple(tensor.shape),
                str(tensor.dtype).removeprefix("torch."),
                functools.partial(read, name),
            )
            for name, tensor in tensors("meta").items()
        }


def check_archive(path):
    """Raises `ValueError` if what is in the archive could be larger than the archive."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("its parts are compressed, which PyTorch never does")
    if sum(member.file_size for member in members) > pathlib.Path(path).stat().st_size:
        raise ValueError("its parts are said to be larger than the whole")
