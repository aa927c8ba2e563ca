"""From a photo to what an image model was evaluated on, in tf.data and without TensorFlow."""

import dataclasses
import math

import numpy as np

from keras_gimlp import weights as published
from keras_gimlp.layers.arguments import check_positive_integers

OF_WEIGHTS = ("crop", "interpolation", "mean", "deviation")  # of their entry in the catalogue


def image_transform(weights=None, model=None, size=224):
    """Returns a function from photos of any size to images as a model was evaluated on them.

    It resizes the shorter side, crops the middle and scales the pixels, as timm does it for the
    same weights.

    Args:
        weights: What the model was given as `weights`, as for `preprocess_input`. `None` resizes
            and crops as timm does for gMLP and Mixer, and scales to [-1, 1]. Defaults to `None`.
        model: Name of the model for `weights="imagenet"`. Defaults to `None`.
        size: Integer, side of the images in pixels, or a pair of height and width. Defaults to 224.

    Returns:
        An `ImageTransform`.

    Raises:
        ValueError: As of `preprocess_input`, or if `size` is not positive.

    Example:

    ```python
    import numpy as np
    from keras_gimlp import applications

    transform = applications.image_transform("CycleMLP_B1")
    photo = np.zeros((480, 640, 3), "uint8")
    transform(photo).shape  # (224, 224, 3)
    ```
    """
    height, width = (size, size) if isinstance(size, int) else size
    check_positive_integers(height=height, width=width)
    entry = published.find(weights, model)
    known = {} if entry is None else {name: getattr(entry, name) for name in OF_WEIGHTS}
    return ImageTransform(height, width, **known)


@dataclasses.dataclass(frozen=True)
class ImageTransform:
    """Resizes, crops and scales a photo.

    Called with an image of Pillow or an array of bytes, it computes with Pillow and NumPy, and
    gives an array of float32. In `tf.data.Dataset.map` it takes and gives tensors of TensorFlow,
    on any backend; they differ by a fifth of a grey level on average, and by up to ten at edges.

    Attributes:
        height: Height of the result in pixels.
        width: Width of the result in pixels.
        crop: Share of the resized photo's shorter side that is kept.
        interpolation: `"bicubic"` or `"bilinear"`, with antialiasing.
        mean: Mean of each channel, for pixels in [0, 1].
        deviation: Standard deviation of each channel.

    Call arguments:
        photo: An image of Pillow, or an array or tensor of bytes of shape `(height, width, 3)`.

    Output shape:
        `(height, width, 3)`.

    Raises:
        ValueError: If an array does not hold bytes or has another shape.
        ModuleNotFoundError: If Pillow is not installed, outside of tf.data.
    """

    height: int
    width: int
    crop: float = 0.875
    interpolation: str = "bicubic"
    mean: tuple = (0.5, 0.5, 0.5)
    deviation: tuple = (0.5, 0.5, 0.5)

    def __call__(self, photo):
        if type(photo).__module__.startswith("tensorflow."):
            return self.scale(self.resize_tensor(photo))
        return self.scale(self.resize_photo(photo))

    def scale(self, pixels):
        """Scales pixels from [0, 255] to what the model expects."""
        mean, deviation = (np.array(x, "float32") for x in (self.mean, self.deviation))
        return (pixels / np.float32(255) - mean) / deviation

    def resize_photo(self, photo):
        """Returns pixels from 0 to 255 as an array of float32."""
        try:
            from PIL import Image
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "Outside of tf.data, photos are resized by Pillow: pip install pillow"
            ) from error
        if not isinstance(photo, Image.Image):
            photo = Image.fromarray(check_bytes(np.asarray(photo)))
        photo = photo.convert("RGB")
        height, width = self.resized(photo.height, photo.width)
        photo = photo.resize((width, height), Image.Resampling[self.interpolation.upper()])
        top, left = round((height - self.height) / 2), round((width - self.width) / 2)
        photo = photo.crop((left, top, left + self.width, top + self.height))
        return np.asarray(photo, "float32")

    def resize_tensor(self, photo):
        """Returns pixels from 0 to 255 as a tensor of float32."""
        import tensorflow as tf

        height, width = self.resized(*tf.unstack(tf.shape(photo)[:2]), where=tf.where)
        photo = tf.image.resize(photo, (height, width), self.interpolation, antialias=True)
        photo = tf.clip_by_value(tf.round(photo), 0.0, 255.0)  # bicubic overshoots
        top, left = (
            tf.cast(tf.round((a - b) / 2), "int32")
            for a, b in ((height, self.height), (width, self.width))
        )
        return tf.image.crop_to_bounding_box(photo, top, left, self.height, self.width)

    def resized(self, height, width, where=lambda condition, a, b: a if condition else b):
        """Returns the size to which a photo is resized, of which the middle is kept."""
        least_height, least_width = (math.floor(n / self.crop) for n in (self.height, self.width))
        upright = height * least_width <= width * least_height
        return (
            where(upright, least_height, height * least_width // width),
            where(upright, width * least_height // height, least_width),
        )


def check_bytes(photo):
    """Returns an array of bytes, or raises `ValueError` if it is none with three channels."""
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[-1] != 3:
        raise ValueError(
            "`photo` must hold bytes and be of shape (height, width, 3). Received: "
            f"photo.shape={photo.shape}, photo.dtype={photo.dtype}"
        )
    return photo
