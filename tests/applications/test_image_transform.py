"""What a photo becomes before a model sees it, beside what timm makes of it."""

import functools
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn import datasets

from keras_gimlp import applications
from tests.conftest import GOLDEN, once

pytestmark = once

NAMES = ("gMLP_S", "CycleMLP_B1", "mixer_b16_224.miil_in21k")
EVERY_CASE = pytest.mark.parametrize("size", [224, 75])
EVERY_WEIGHTS = pytest.mark.parametrize("weights", NAMES)
EVERY_PHOTO = pytest.mark.parametrize("name", ["china/0", "china/1", "flower/0", "flower/1"])


@functools.cache
def photo(name):
    """Returns a photo, lying or upright."""
    name, upright = name.split("/")
    image = datasets.load_sample_image(f"{name}.jpg")
    return np.ascontiguousarray(np.rot90(image)) if upright == "1" else image


def recorded(name, weights, size):
    """Returns every sixteenth row and column of what timm gives."""
    return np.load(GOLDEN / "timm_transform.npz")[f"{name}/{weights}/{size}"]


@EVERY_PHOTO
@EVERY_WEIGHTS
@EVERY_CASE
def test_photos_become_what_timm_makes_of_them(name, weights, size):
    transform = applications.image_transform(weights, size=size)
    expected = recorded(name, weights, size)
    for given in (photo(name), Image.fromarray(photo(name))):
        pixels = transform(given)
        assert pixels.shape == (size, size, 3)
        assert pixels.dtype == "float32"
        np.testing.assert_allclose(pixels[5::16, 3::16], expected, atol=1e-5)


@EVERY_PHOTO
@EVERY_WEIGHTS
@EVERY_CASE
def test_tensors_differ_by_a_fraction_of_a_grey_level(name, weights, size):
    transform = applications.image_transform(weights, size=size)
    dataset = tf.data.Dataset.from_tensors(photo(name)).map(transform)
    pixels = next(iter(dataset)).numpy()
    assert pixels.shape == (size, size, 3)
    levels = 255 * np.array(transform.deviation)
    difference = np.abs(pixels - transform(photo(name))) * levels
    assert difference.mean() < 0.2
    assert difference.max() < 10


def test_a_photo_of_any_shape_becomes_an_image_of_the_wanted_one():
    image = np.arange(10 * 500 * 3, dtype="uint8").reshape(10, 500, 3)
    for shape in ((32, 64), (64, 32), (10, 10)):
        transform = applications.image_transform(size=shape)
        assert transform(image).shape == transform(tf.constant(image)).shape == (*shape, 3)


def test_the_middle_is_cropped():
    image = np.zeros((100, 200, 3), "uint8")
    image[:, 50:150] = 255
    transform = applications.image_transform(size=100)
    transform = type(transform)(100, 100, crop=1.0)
    np.testing.assert_array_equal(transform(image), np.ones((100, 100, 3)))
    np.testing.assert_array_equal(transform(tf.constant(image)), np.ones((100, 100, 3)))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8), "uint8"), r"shape \(height, width, 3\).*shape=\(8, 8\)"),
        (np.zeros((8, 8, 4), "uint8"), r"photo.shape=\(8, 8, 4\)"),
        (np.zeros((8, 8, 3), "float32"), "must hold bytes.*dtype=float32"),
    ],
)
def test_other_arrays_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        applications.image_transform()(image)


def test_grey_photos_get_three_channels():
    grey = Image.fromarray(np.full((300, 300), 255, "uint8"))
    np.testing.assert_array_equal(applications.image_transform()(grey), np.ones((224, 224, 3)))


@pytest.mark.parametrize("size", [0, (224, -1)])
def test_sizes_are_positive(size):
    with pytest.raises(ValueError, match="positive"):
        applications.image_transform(size=size)


def test_without_pillow_its_name_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ModuleNotFoundError, match="resized by Pillow: pip install pillow"):
        applications.image_transform()(np.zeros((8, 8, 3), "uint8"))
