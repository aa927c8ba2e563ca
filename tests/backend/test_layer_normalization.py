import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp.backend.layer_normalization import LayerNormalization


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "bfloat16"])
@pytest.mark.parametrize("shape", [(2, 5, 8), (2, 3, 5, 8)], ids=str)
def test_it_computes_and_learns_what_the_layer_of_keras_does(rng, shape, policy):
    x, y = (rng.normal(size=shape).astype("float32") for _ in range(2))
    trained = []
    for Layer in (LayerNormalization, keras.layers.LayerNormalization):
        keras.utils.set_random_seed(0)
        inputs = keras.Input(shape[1:])
        dense = keras.layers.Dense(8)  # learns from the gradient of the inputs
        model = keras.Model(inputs, Layer(epsilon=1e-3, dtype=policy)(dense(inputs)))
        model.compile(keras.optimizers.SGD(0.5), "mse")
        model.fit(x, y, epochs=2, shuffle=False, verbose=0)
        trained.append([*model.get_weights(), ops.convert_to_numpy(ops.cast(model(x), "float32"))])
    tolerance = 1e-5 if policy == "float32" else 2e-2
    for ours, theirs in zip(*trained, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.backends("tensorflow", "jax")
def test_its_derivatives_have_derivatives(rng):
    """As a penalty on gradients asks for. Keras' own layer has wrong ones on TensorFlow."""
    x, weights = (rng.normal(size=(2, 3, 4)).astype("float32") for _ in range(2))
    layer = LayerNormalization(epsilon=1e-3)
    layer.build(x.shape)
    first, second = derivatives(layer, x, weights)
    expected_first, expected_second = derivatives(standardize, x, weights)
    np.testing.assert_allclose(first, expected_first, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(second, expected_second, rtol=1e-4, atol=1e-4)


def standardize(x):
    centered = x - ops.mean(x, axis=-1, keepdims=True)
    return centered / ops.sqrt(ops.mean(centered * centered, axis=-1, keepdims=True) + 1e-3)


def derivatives(layer, x, weights):
    """Returns the first derivative of a function of a layer, and the second along some weights."""
    x, weights = ops.convert_to_tensor(x), ops.convert_to_tensor(weights)

    def function(x):
        return ops.sum(ops.square(layer(x)) * weights)

    if keras.backend.backend() == "jax":
        import jax

        return jax.jvp(jax.grad(function), (x,), (weights,))
    import tensorflow as tf

    @tf.function
    def compute(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = function(x)
            first = inner.gradient(y, x)
            product = tf.reduce_sum(first * weights)
        return first, outer.gradient(product, x)

    return compute(x)
