"""The functional model lets go of tensors, and is Keras' own where a private name is gone."""

import gc
import sys
import types
import weakref

import keras
import numpy as np
import pytest

from keras_gimlp.backend import functional_model
from keras_gimlp.backend.functional_model import FunctionalModel, ImageModel
from tests.families import images, tiny


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
    outputs = model(np.zeros((1, 2), "float32"))
    return max(Step.alive), {k: keras.ops.convert_to_numpy(v).tolist() for k, v in outputs.items()}


@pytest.mark.backends("torch")
def test_a_tensor_lives_until_its_last_use():
    most, outputs = alive_in(ImageModel)
    assert most == 2  # the one before, and an early one
    most, same = alive_in(keras.Model)
    assert most == 5
    assert outputs == same == {"last": [[8.0, 8.0]], "early": [[2.0, 2.0]]}


def test_a_saved_and_a_cloned_model_are_of_the_same_class(tmp_path):
    inputs = keras.Input((2,))
    model = ImageModel(inputs, keras.layers.Dense(3)(keras.layers.Dense(4)(inputs)))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    cloned = keras.models.clone_model(model)
    assert type(loaded) is type(cloned) is ImageModel
    x = np.ones((1, 2), "float32")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def hide(monkeypatch, cls, name):
    """Lets a name of a class be gone, for the file of the functional model alone."""
    existing = cls.__getattribute__

    def get(self, key):
        if key == name and sys._getframe(1).f_globals.get("__name__") == functional_model.__name__:
            raise AttributeError(name)
        return existing(self, key)

    monkeypatch.setattr(cls, "__getattribute__", get)


NODE = type(keras.Input((1,))._keras_history.operation._inbound_nodes[0])
ARGUMENTS = type(keras.Input((1,))._keras_history.operation._inbound_nodes[0].arguments)
NAMES = [
    (keras.Model, "_nodes_by_depth"),
    (keras.Model, "_outputs_struct"),
    (keras.Model, "_flatten_layers"),
    (keras.Variable, "_value"),
    (NODE, "is_input"),
    (NODE, "operation"),
    (NODE, "arguments"),
    (NODE, "input_tensors"),
    (ARGUMENTS, "fill_in"),
]


def assert_predicts_the_same(weights, x, expected):
    model = tiny()
    model.set_weights(weights)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-6)
    return model


@pytest.fixture
def predicted():
    model, x = tiny(), images(2, 8, 8, 3)
    return model.get_weights(), x, model.predict(x, verbose=0)


@pytest.mark.backends("torch")
@pytest.mark.parametrize(("owner", "name"), NAMES, ids=lambda x: getattr(x, "__name__", x))
def test_without_a_private_name_of_keras_a_model_predicts_the_same(
    owner, name, predicted, monkeypatch
):
    hide(monkeypatch, owner, name)
    model = assert_predicts_the_same(*predicted)
    assert None in (model._steps, model._recorded)


@pytest.mark.backends("torch")
@pytest.mark.filterwarnings("ignore:Dynamo detected:UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "name", ["_dynamo.nonstrict_trace", "compiler.is_dynamo_compiling", "compiler.is_exporting"]
)
def test_without_a_name_of_pytorch_a_model_predicts_the_same(name, predicted, monkeypatch):
    import torch

    module, _, name = name.partition(".")
    others = {key: value for key, value in vars(getattr(torch, module)).items() if key != name}
    older = types.SimpleNamespace(**vars(torch) | {module: types.SimpleNamespace(**others)})
    monkeypatch.setattr(functional_model, "torch", older)
    model = assert_predicts_the_same(*predicted)
    assert model._recorded is None
    torch._dynamo.reset()
    (_, x, expected), call = predicted, torch.compile(lambda x: model(x), backend="eager")
    np.testing.assert_allclose(call(torch.as_tensor(x)).detach(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.backends("torch")
def test_where_keras_calls_its_graph_otherwise_a_model_predicts_the_same(predicted, monkeypatch):
    # Keras calls another method than this one then.
    monkeypatch.delattr(FunctionalModel, "_run_through_graph")
    assert_predicts_the_same(*predicted)


@pytest.mark.backends("tensorflow", "jax")
def test_elsewhere_it_is_keras_own():
    assert not {"__init__", "call", "_run_through_graph", "zero_grad"} & set(vars(FunctionalModel))
