"""Reads the parameters in files of PyTorch models: `.safetensors` and `.pth`."""

import pickle

from keras_gimlp.weights.fetching import needed


def read_safetensors(path):
    """Returns the tensors in a `.safetensors` file as NumPy arrays, by name.

    Raises:
        ValueError: If the file is damaged or of another kind.
    """
    safetensors = needed("safetensors.numpy", "read .safetensors files")
    from safetensors import SafetensorError

    try:
        return safetensors.load_file(path)
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        raise damaged(path, error) from error


def read_pth(path):
    """Returns the tensors in a file of `torch.save` as NumPy arrays, by name.

    The file is read by PyTorch's weights-only reader, which executes nothing. The tensors may lie
    in the file's dictionary, or in one in it under `"model"` or `"state_dict"`.

    Raises:
        ValueError: If the file is damaged, or holds other objects than tensors.
        ImportError: If PyTorch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "PyTorch is needed to read .pth files, whatever the backend: pip install torch"
        ) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        for key in ("model", "state_dict"):
            if isinstance(content.get(key), dict):
                content = content[key]
        # NumPy has no bfloat16.
        return {name: tensor.detach().float().numpy() for name, tensor in content.items()}
    except pickle.UnpicklingError as error:
        raise ValueError(
            "The weights file is damaged, or holds other objects than tensors, which are never "
            f"unpickled: {str(error).splitlines()[0]} Received: weights={str(path)!r}"
        ) from error
    except (OSError, RuntimeError, EOFError, AttributeError, KeyError, TypeError) as error:
        raise damaged(path, error) from error


def damaged(path, error):
    return ValueError(
        "The weights file is damaged, or holds no weights: "
        f"{str(error).splitlines()[0] if str(error) else type(error).__name__}. "
        f"Received: weights={str(path)!r}"
    )
