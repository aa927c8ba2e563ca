"""Scaling of pixels."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp import applications

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


def test_unknown_weights_are_refused():
    with pytest.raises(ValueError, match="no published weights 'resnet50'"):
        applications.preprocess_input(PIXELS, weights="resnet50")
