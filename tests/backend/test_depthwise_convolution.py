"""The depthwise convolution of AFT equals the formula on every backend and device."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp.backend import depthwise_convolution as module
from keras_gimlp.backend.depthwise_convolution import depthwise_convolution


@pytest.fixture(params=["processor", "accelerator"])
def device(request, monkeypatch):
    """Lets the backend say that it has such a device."""
    accelerator = request.param == "accelerator"
    if keras.backend.backend() == "jax":
        import jax

        monkeypatch.setattr(jax, "default_backend", lambda: "tpu" if accelerator else "cpu")
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        monkeypatch.setattr(
            tf.config, "list_logical_devices", lambda kind: [kind] * (kind == "GPU" and accelerator)
        )
    products = module.products
    taken = []
    monkeypatch.setattr(module, "products", lambda *args: taken.append(1) or products(*args))
    yield
    assert bool(taken) == (keras.backend.backend() != "torch" and not accelerator)


@pytest.mark.parametrize("kernel", [(3, 3), (5, 1), (1, 1), (7, 3)])
@pytest.mark.parametrize("image", [(4, 5), (5, 4), (6, 1), (1, 2)])
def test_it_equals_the_formula(kernel, image, device, rng):
    x = rng.normal(size=(2, *image, 3)).astype("float32")
    w = rng.normal(size=(*kernel, 3)).astype("float32")
    down, right = kernel[0] // 2, kernel[1] // 2
    padded = np.pad(x, ((0, 0), (down, down), (right, right), (0, 0)))
    expected = np.zeros_like(x)
    for i, j in np.ndindex(*kernel):
        expected += w[i, j] * padded[:, i : i + image[0], j : j + image[1]]
    outputs = ops.convert_to_numpy(depthwise_convolution(x, ops.convert_to_tensor(w)))
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
