import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp.backend.dense import Dense

CASES = {
    "gelu": {"activation": "gelu"},
    "plain": {},
    "softmax": {"activation": "softmax"},
    "no bias": {"activation": "gelu", "use_bias": False},
    "mixed_bfloat16": {"activation": "gelu", "dtype": "mixed_bfloat16"},
}


def pair(shape, **arguments):
    """Returns our layer and Keras', with the same weights."""
    layers = Dense(6, **arguments), keras.layers.Dense(6, **arguments)
    for layer in layers:
        layer.build(shape)
    if layers[0].use_bias:
        layers[0].bias.assign(np.linspace(-1, 1, 6))
    layers[1].set_weights(layers[0].get_weights())
    return layers


def value(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


@pytest.mark.parametrize("shape", [(3, 4), (3, 5, 4), (3, 5, 7, 4)], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_it_computes_what_the_layer_of_keras_computes(rng, case, shape):
    ours, theirs = pair((None, *shape[1:]), **CASES[case])
    x = rng.normal(size=shape).astype("float32")
    tolerance = 2e-2 if case == "mixed_bfloat16" else 1e-6
    outputs = (value(layer(x)) for layer in (ours, theirs))
    np.testing.assert_allclose(*outputs, rtol=tolerance, atol=tolerance)
    assert ours(x).dtype == theirs(x).dtype
    assert ours.count_params() == theirs.count_params()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Dynamo detected:UserWarning")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_learns_what_the_layer_of_keras_learns(rng, jit_compile):
    x, y = rng.normal(size=(8, 5, 4)), rng.normal(size=(8, 5, 6))
    trained = []
    for layer in pair((None, None, 4), activation="gelu"):
        inputs = keras.Input((None, 4))
        model = keras.Model(inputs, layer(inputs))
        model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=jit_compile)
        model.fit(x, y, epochs=2, shuffle=False, verbose=0)
        trained.append(layer.get_weights())
    for weight, expected in zip(*trained, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_it_is_quantized_like_the_layer_of_keras(rng, mode):
    x = rng.normal(size=(2, 5, 4)).astype("float32")
    ours, theirs = pair((None, 5, 4), activation="gelu")
    ours.quantize(mode)
    theirs.quantize(mode)
    np.testing.assert_allclose(value(ours(x)), value(theirs(x)), rtol=1e-5, atol=1e-5)


def test_a_file_of_a_model_with_layers_of_keras_loads(rng, tmp_path):
    x = rng.normal(size=(2, 5, 4)).astype("float32")
    models = []
    for Layer in (keras.layers.Dense, Dense):
        keras.utils.clear_session()
        models.append(keras.Sequential([keras.Input((5, 4)), Layer(6, "gelu"), Layer(3)]))
    models[0].save_weights(tmp_path / "old.weights.h5")
    models[1].load_weights(tmp_path / "old.weights.h5")
    outputs = (value(model(x)) for model in models)
    np.testing.assert_allclose(*outputs, rtol=1e-6, atol=1e-6)
