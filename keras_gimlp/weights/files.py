"""Reads files of weights without trusting them: `.weights.h5`, `.keras`, `.safetensors`, `.pth`.

A reader returns the tensors that a file states. Their values are read later, on request. Nothing in
a file is executed, no link in it is followed, and its text is printed without control characters.
"""

import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
import io
import math
import pathlib
import pickle
import re
import zipfile
from collections.abc import Callable

import h5py
import ml_dtypes
import numpy as np

OURS = (".weights.h5", ".keras")  # how the names of Keras' files end
# Types of stored tensors that a variable of floats takes.
FLOATS = ("float16", "bfloat16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class Stored:
    """A tensor in a file: the shape and type that the file states, and how to read its values.

    A file can state gigabytes and hold kilobytes. What it states is compared with the model
    before `read` is called.

    Attributes:
        shape: Tuple of integers.
        dtype: Name of the type, such as `"float32"`.
        read: Function that returns the values as a NumPy array, `bfloat16` as float32.
    """

    shape: tuple
    dtype: str
    read: Callable

    def through(self, function, shape=None):
        """Returns the tensor as `function` lays it out; as it is, if its rank is wrong for that.

        Args:
            function: Takes and returns an array. Called when the tensor is read.
            shape: Of the result. By default `function` is tried on an array that takes no memory,
                and must not copy it.
        """
        if shape is None:
            try:
                shape = function(np.broadcast_to(np.int8(0), self.shape)).shape
            except (ValueError, IndexError):
                return self
        return Stored(shape, self.dtype, lambda: function(self.read()))


# Keras' own files. `keras.saving.KerasFileEditor` is no help: it reads all tensors, up to 4 GiB
# each, before any can be compared with a model, follows circles of hard links, and prints.

NO_KERAS = "is not a Keras file"
WEIGHTS_IN_ARCHIVE = "model.weights.h5"


def read_keras_file(path):
    """Returns the parameters in a `.weights.h5` or `.keras` file, by `layer/position`.

    Keras names a group in the file after the class of its layer, with a counter. The layer's own
    name, stable in this library's models, is an attribute of the `vars` group inside. The state of
    the optimizer is passed over.

    Raises:
        ValueError: If the file is damaged, was not written by Keras, or leads to data outside of
            it.
    """
    with reading(path, NO_KERAS):
        file = h5py.File(_content(path))
        layers = _child(file, "layers") if "layers" in file else None
        return _parameters(layers, (), {file}, path) if isinstance(layers, h5py.Group) else {}


def _content(path):
    """Returns what h5py opens: the path, or the file in the archive there."""
    if not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(WEIGHTS_IN_ARCHIVE)
        # Keras compresses nothing, and an uncompressed file cannot outgrow the archive.
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
        raise ValueError("its data lie in another file, where Keras never stores them")
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
            raise ValueError("one of its groups is linked twice")
        seen.add(child)
        layer = parents
        if "vars" in child:  # a layer, not a list of layers
            variables = _child(child, "vars")
            layer = (*parents, _text(variables.attrs.get("name", name)))
            add(
                {
                    "/".join((*layer, position)): _dataset(_child(variables, position), path)
                    for position in variables
                }
            )
        add(_parameters(child, layer, seen, path))
    return parameters


def _text(value):
    if not isinstance(value, str):
        raise ValueError("the name of a layer is not text")
    return value


def _dataset(dataset, path):
    """Returns the tensor in a dataset."""
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise ValueError("one of its parameters is not a tensor")
    # A chunk is unpacked as a whole, and in a dataset that may grow it can have any size.
    if dataset.chunks and math.prod(dataset.chunks) > dataset.size:
        raise ValueError("it holds chunks larger than their tensor")
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
        with reading(path, NO_KERAS):
            values = dataset[()]
            return values.view(ml_dtypes.bfloat16).astype("float32") if is_bfloat16 else values

    return Stored(dataset.shape, dtype, read)


# Files of PyTorch models.

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
    """Returns the tensors in a `.safetensors` file, by name.

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
    """Returns the tensors in a file of `torch.save`, by name.

    PyTorch's weights-only reader reads the file and executes nothing. The tensors may lie in the
    file's dictionary, or in a dictionary under its key `"model"` or `"state_dict"`.

    Raises:
        ValueError: If the file is damaged, or holds other objects than tensors.
        ImportError: If PyTorch 2.6 or later is not installed.
    """
    torch = needed_torch("read .pth files", at_least=TORCH)

    def tensors(location):
        try:
            content = torch.load(path, map_location=location, weights_only=True, mmap=is_archive)
        except pickle.UnpicklingError as error:
            # The rest of the message says how to load the file all the same.
            reason = re.search(r"WeightsUnpickler error: [^\n]*", str(error))
            raise ValueError(reason[0] if reason else "it is not a pickle") from None
        for key in ("model", "state_dict"):
            if isinstance(content, dict) and isinstance(content.get(key), dict):
                content = content[key]
        if not isinstance(content, dict):
            raise ValueError("it holds no dictionary")
        for name, tensor in content.items():
            dense = isinstance(tensor, torch.Tensor) and tensor.layout is torch.strided
            if not isinstance(name, str) or not dense:
                raise ValueError(f"{name!r} is not a dense tensor")
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
    """Raises `ValueError` if the parts of the archive could be larger than the archive."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("its parts are compressed, which PyTorch never does")
    if sum(member.file_size for member in members) > pathlib.Path(path).stat().st_size:
        raise ValueError("its parts are said to be larger than the whole")


# How the names of published files end, and their readers.
PUBLISHED = {".safetensors": read_safetensors, ".pth": read_pth}


# Errors of the readers, and text of a file in characters that are safe to print.


@contextlib.contextmanager
def reading(path, otherwise):
    """Turns any error of a library that reads a file into one sentence about that file.

    Args:
        path: Path of the file.
        otherwise: What is wrong with the file if it is not damaged.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # a file made to break its reader can raise any
        lines = str(error).splitlines() or [type(error).__name__]
        # Without its cause, whose text would be printed as it is.
        raise ValueError(
            f"The weights file is damaged, or {otherwise}: {printable(lines[0]).rstrip('.')}. "
            f"Received: weights={printable(repr(str(path)))}"
        ) from None


def printable(text, at_most=300):
    """Returns `text` without control characters: a file could move the cursor, or forge lines."""
    text = str(text)
    if len(text) > at_most:
        text = f"{text[:at_most]}..."
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


# Libraries that only some files need.

# The weights-only readers of earlier versions can be made to execute code (CVE-2025-32434).
TORCH = (2, 6)


def needed(package, purpose):
    """Returns the imported package, or raises an `ImportError` that says how to get it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f'{package} is needed to {purpose}: pip install "keras_gimlp[weights]"'
        ) from error


def needed_torch(purpose, at_least=()):
    """Returns the imported PyTorch, or raises an `ImportError` that says how to get it."""
    installed = version_of_torch()
    if installed and installed >= at_least:
        return importlib.import_module("torch")
    number = ".".join(map(str, at_least))
    raise ImportError(
        f"PyTorch{f' {number} or later' if number else ''} is needed to {purpose}, whatever the "
        f"backend: pip install {repr(f'torch>={number}') if number else 'torch'}. Installed is "
        f"{'.'.join(map(str, installed)) or 'none'}."
    )


def version_of_torch():
    """Returns the first two numbers of PyTorch's version, `()` where it is not installed."""
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
