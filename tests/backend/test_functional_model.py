import gc
import weakref

import keras
import numpy as np

from keras_gimlp.backend.functional_model import ImageModel


class Step(keras.layers.Layer):
    """Notes how many of the tensors that went through such layers are still there."""

    seen, alive = [], []

    def call(self, inputs):
        outputs = inputs + 1.0
        gc.collect()
        self.alive.append(sum(tensor() is not None for tensor in self.seen))
        self.seen.append(weakref.ref(outputs))
        return outputs


def alive_in(model_class):
    """Returns the most tensors between layers that a model holds, and what it computes."""
    x = inputs = keras.Input((2,))
    early = None
    for i in range(6):
        x = Step()(x)
        early = x if i == 1 else early
    model = model_class(inputs, {"last": keras.layers.Add()([x, early]), "early": early})
    Step.seen.clear()
    Step.alive.clear()
    # As it is computed without a graph, whatever the backend.
    outputs = model(np.zeros((1, 2), "float32"))
    return max(Step.alive), {k: keras.ops.convert_to_numpy(v).tolist() for k, v in outputs.items()}


def test_a_tensor_lives_until_its_last_use():
    found, outputs = alive_in(ImageModel)
    assert found == 2  # the one before, and an early one
    expected, same = alive_in(keras.Model)
    assert expected == 5
    assert outputs == same == {"last": [[8.0, 8.0]], "early": [[2.0, 2.0]]}


def test_a_saved_and_a_cloned_model_are_frugal_too(tmp_path):
    inputs = keras.Input((2,))
    model = ImageModel(inputs, keras.layers.Dense(3)(keras.layers.Dense(4)(inputs)))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    cloned = keras.models.clone_model(model)
    assert type(loaded) is type(cloned) is ImageModel
    x = np.ones((1, 2), "float32")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
