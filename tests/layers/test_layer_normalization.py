import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp.layers.layer_normalization import LayerNormalization


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("shape", [(2, 5, 8), (2, 3, 5, 8)], ids=str)
def test_it_computes_and_learns_what_the_layer_of_keras_does(rng, shape, policy):
    x, y = (rng.normal(size=shape).astype("float32") for _ in range(2))
    found = []
    for Layer in (LayerNormalization, keras.layers.LayerNormalization):
        keras.utils.set_random_seed(0)
        inputs = keras.Input(shape[1:])
        dense = keras.layers.Dense(8)  # learns from the gradient of the inputs
        model = keras.Model(inputs, Layer(epsilon=1e-3, dtype=policy)(dense(inputs)))
        model.compile(keras.optimizers.SGD(0.5), "mse")
        model.fit(x, y, epochs=2, shuffle=False, verbose=0)
        found.append([*model.get_weights(), ops.convert_to_numpy(ops.cast(model(x), "float32"))])
    tolerance = 1e-5 if policy == "float32" else 2e-2
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
