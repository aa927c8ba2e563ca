"""Scaling of pixels to what a model's weights were trained on."""

import keras
import numpy as np
from keras import ops

from keras_gimlp import weights as published


def preprocess_input(images, weights=None, model=None):
    """Scales pixels from [0, 255] to what a model expects.

    Args:
        images: Array or tensor of shape `(..., 3)`, or of any shape if scaled to [-1, 1]. Integers
            become floats; the argument itself is not changed. In a `tf.data` pipeline on a backend
            other than TensorFlow, cast to float first.
        weights: What the model was given as `weights`, since published weights were trained on
            different scales: a name in `keras_gimlp.weights.list_weights()`, the name of a model
            for its `"imagenet"` weights, `"imagenet"` with `model`, `"hf://timm/NAME"`, or a
            published file under its original name. For a renamed file, give its name in the
            catalogue. `None` scales to [-1, 1], as timm's gMLP and Mixer do, and suits any model
            trained from scratch. A `.weights.h5` or `.keras` file does the same; if its model was
            fine-tuned from published weights, name those instead. Defaults to `None`.
        model: Name of the model for `weights="imagenet"`. Defaults to `None`.

    Returns:
        The scaled images, of the same shape.

    Raises:
        ValueError: If there are no such weights, `weights` does not identify them, or the last axis
            of `images` is not that of the channels.
        TypeError: If `weights` is neither a string nor a path.

    Example:

    ```python
    import numpy as np
    from keras_gimlp import applications

    images = np.full((1, 224, 224, 3), 255, "uint8")
    applications.preprocess_input(images)  # 1 everywhere
    applications.preprocess_input(images, weights="CycleMLP_B1")  # 2.25, 2.43, 2.64 by channel
    ```
    """
    entry = published.find(weights, model)
    check_channels(images, of_published_weights=entry is not None)
    if isinstance(images, np.ndarray):
        images = images.astype(keras.config.floatx(), copy=False)
    elif not keras.backend.is_float_dtype(keras.backend.standardize_dtype(images.dtype)):
        images = ops.cast(images, keras.config.floatx())
    if entry is None:
        return images / 127.5 - 1.0
    dtype = keras.backend.standardize_dtype(images.dtype)
    scale = 1 / (255 * np.asarray(entry.deviation))
    shift = -np.asarray(entry.mean) / np.asarray(entry.deviation)
    if ops.is_tensor(images):
        scale, shift = (ops.convert_to_tensor(x, dtype) for x in (scale, shift))
    else:  # an array, or in tf.data a tensor of another backend, which arrays can scale
        scale, shift = (x.astype(dtype) for x in (scale, shift))
    return images * scale + shift


def check_channels(images, of_published_weights):
    """Raises `ValueError` if the last axis of `images` cannot be that of the channels."""
    if getattr(images.shape, "rank", 0) is None:  # unknown, in tf.data
        return
    shape = tuple(images.shape)
    channels = shape[-1] if shape else None
    channels_first = len(shape) >= 3 and shape[-3] in (1, 3) and channels not in (1, 3, None)
    if channels_first:
        raise ValueError(
            "`images` must have their channels last, (..., height, width, 3), but these seem to "
            "have them first. Move the axis: `ops.moveaxis(images, -3, -1)`. Received: "
            f"images.shape={shape}"
        )
    if of_published_weights and channels not in (3, None):
        raise ValueError(
            "`images` must be RGB, of shape (..., 3), for published weights. Received: "
            f"images.shape={shape}"
        )
