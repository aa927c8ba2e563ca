"""Scaling of pixels."""

import pathlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp import applications
from tests.conftest import once

PIXELS = np.array([[[0, 51, 255], [255, 255, 255]]], "uint8")
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (None, [[[-1, -0.6, 1], [1, 1, 1]]]),
        ("gmlp_s16_224.ra3_in1k", [[[-1, -0.6, 1], [1, 1, 1]]]),
        ("gMLP_S", [[[-1, -0.6, 1], [1, 1, 1]]]),
        ("CycleMLP_B3", (PIXELS / 255 - MEAN) / DEVIATION),
        ("resmlp_12_224.fb_in1k", (PIXELS / 255 - MEAN) / DEVIATION),
        ("mixer_b16_224.miil_in21k", PIXELS / 255),
        ("somewhere/CycleMLP_B1.pth", (PIXELS / 255 - MEAN) / DEVIATION),
        (pathlib.Path("mixer_b16_224_miil-9229a591.pth"), PIXELS / 255),
        ("hf://timm/resmlp_24_224.fb_dino", (PIXELS / 255 - MEAN) / DEVIATION),
        ("mine.keras", [[[-1, -0.6, 1], [1, 1, 1]]]),
    ],
)
def test_pixels_are_scaled_as_the_weights_want_them_and_stay_what_they_are(weights, expected):
    for given in (PIXELS, PIXELS.astype("float32"), ops.convert_to_tensor(PIXELS)):
        scaled = ops.convert_to_numpy(applications.preprocess_input(given, weights=weights))
        assert scaled.dtype == "float32"
        np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(ops.convert_to_numpy(given), PIXELS)


@pytest.mark.parametrize("weights", [None, "CycleMLP_B1"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_float_tensor_keeps_its_precision(weights, dtype):
    images = ops.cast(PIXELS, dtype)
    scaled = applications.preprocess_input(images, weights=weights)
    assert keras.backend.standardize_dtype(scaled.dtype) == dtype


@once
def test_unknown_weights_are_refused():
    with pytest.raises(ValueError, match="no published weights 'resnet50'"):
        applications.preprocess_input(PIXELS, weights="resnet50")


@once
@pytest.mark.parametrize("weights", ["my.pth", "hf://me/mine"])
def test_a_file_that_does_not_say_its_scale_is_refused(weights):
    with pytest.raises(ValueError, match="does not tell which published weights these are"):
        applications.preprocess_input(PIXELS, weights=weights)


@once
def test_imagenet_is_looked_up_for_a_model():
    scaled = applications.preprocess_input(PIXELS, weights="imagenet", model="CycleMLP_B1")
    np.testing.assert_allclose(scaled, (PIXELS / 255 - MEAN) / DEVIATION, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="no published weights 'imagenet'"):
        applications.preprocess_input(PIXELS, weights="imagenet")


@pytest.mark.parametrize("weights", [None, "CycleMLP_B1"])
@pytest.mark.parametrize("shape", [(3, 5, 6), (2, 3, 5, 6), (2, 1, 5, 6)])
def test_channels_before_height_and_width_are_refused(shape, weights):
    for images in (np.zeros(shape, "uint8"), ops.zeros(shape)):
        with pytest.raises(ValueError, match=r"channels last.*moveaxis.*images.shape=\(.*5, 6\)"):
            applications.preprocess_input(images, weights=weights)


@once
@pytest.mark.parametrize("shape", [(5, 6, 1), (2, 5, 6, 1), (3, 5, 1), (5, 6), (7, 5, 6, 4), (4,)])
def test_images_for_a_new_model_have_any_channels(shape):
    images = np.full(shape, 255, "uint8")
    np.testing.assert_array_equal(applications.preprocess_input(images), np.ones(shape))
    with pytest.raises(ValueError, match=r"must be RGB, of shape \(..., 3\)"):
        applications.preprocess_input(images, weights="CycleMLP_B1")
