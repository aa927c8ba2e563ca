"""Scaling of pixels, as the weights that a model is loaded with were trained on."""

import keras
import numpy as np
from keras import ops

from keras_gimlp import weights as published


def preprocess_input(images, weights=None):
    """Scales pixels from [0, 255] to what a model takes.

    Args:
        images: Array or tensor of shape `(..., 3)`; without `weights` of any shape. Integers become
            floats; the argument itself is left as it is. In a `tf.data` pipeline of another backend
            than TensorFlow, cast to float first.
        weights: Which published weights the model is loaded with, since they were trained on
            different scales: a name in `keras_gimlp.weights.list_weights()`, or the name of a model
            for its `"imagenet"` weights. `None` scales to [-1, 1], as timm's gMLP and Mixer do, and
            serves every model that is trained anew. Defaults to `None`.

    Returns:
        The scaled images, of the same shape.

    Raises:
        ValueError: If there are no such weights.

    Example:

    ```python
    import numpy as np
    from keras_gimlp import applications

    images = np.full((1, 224, 224, 3), 255, "uint8")
    applications.preprocess_input(images)  # 1 everywhere
    applications.preprocess_input(images, weights="CycleMLP_B1")  # 2.25, 2.43, 2.64 by channel
    ```
    """
    if isinstance(images, np.ndarray):
        images = images.astype(keras.config.floatx(), copy=False)
    elif not keras.backend.is_float_dtype(keras.backend.standardize_dtype(images.dtype)):
        images = ops.cast(images, keras.config.floatx())
    if weights is None:
        return images / 127.5 - 1.0
    entry = published.find(weights)
    dtype = keras.backend.standardize_dtype(images.dtype)
    scale = 1 / (255 * np.asarray(entry.deviation))
    shift = -np.asarray(entry.mean) / np.asarray(entry.deviation)
    if ops.is_tensor(images):
        scale, shift = (ops.convert_to_tensor(x, dtype) for x in (scale, shift))
    else:  # an array, or in tf.data a tensor of another backend, which multiplies arrays
        scale, shift = (x.astype(dtype) for x in (scale, shift))
    return images * scale + shift
