"""A model that torch.compile takes as one operation computes and learns the same."""

import functools

import keras
import numpy as np
import pytest

from keras_gimlp.backend.drop_path import DropPath
from keras_gimlp.backend.functional_model import ImageModel, only_computes
from tests.families import EVERY_FAMILY, images, tiny

pytestmark = [
    pytest.mark.backends("torch"),
    pytest.mark.filterwarnings("ignore:Dynamo detected:UserWarning", "ignore::DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def forget():
    """Lets torch.compile forget what others compiled of the same functions."""
    if keras.backend.backend() == "torch":
        import torch

        torch._dynamo.reset()


def compiled(model, training=True, backend="aot_eager"):
    """Returns a call of a model as one graph, with the operations as they were recorded."""
    import torch

    call = torch.compile(lambda x: model(x, training=training), backend=backend, fullgraph=True)
    return lambda x: call(torch.as_tensor(x))


def gradients(model, call, x):
    """Returns outputs, and the gradient of each weight, `None` for one that is not trained."""
    import torch

    for weight in model.weights:
        weight.value.grad = None
    outputs = call(torch.tensor(x))
    (
        outputs.float() * torch.linspace(-1, 1, outputs.numel()).reshape(outputs.shape)
    ).sum().backward()
    return outputs.detach().float(), [weight.value.grad for weight in model.weights]


@EVERY_FAMILY
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_it_computes_and_learns_the_same(family, policy):
    keras.config.set_dtype_policy(policy)
    model, x = tiny(family), images(2, 8, 8, 3)
    model.layers[-2].trainable = False
    tolerance = {"rtol": 1e-4, "atol": 1e-6} if policy == "float32" else {"rtol": 0.1, "atol": 0.02}
    outputs, expected = gradients(model, lambda x: model(x, training=True), x)
    same_outputs, learned = gradients(model, compiled(model), x)
    np.testing.assert_allclose(same_outputs, outputs, **tolerance)
    for weight, ours, theirs in zip(model.weights, learned, expected, strict=True):
        assert (ours is None) == (theirs is None) == (not weight.trainable), weight.path
        if ours is not None:
            np.testing.assert_allclose(ours, theirs, err_msg=weight.path, **tolerance)


def test_mixed_precision_casts_what_each_layer_casts(rng):
    """The scales of a normalization and the classifier stay float32."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    model, x = tiny(), images(2, 8, 8, 3)
    for weight in model.weights:
        weight.assign_add(rng.normal(size=weight.shape))
    # With this backend, the functions are called instead of the recorded operations.
    outputs = compiled(model, backend="eager")(x).detach()
    np.testing.assert_array_equal(outputs, model(x, training=True).detach())


def test_blocks_are_dropped_anew_in_each_call():
    keras.utils.set_random_seed(0)
    model, x = tiny(depth=1, drop_path_rate=0.5), images(1, 8, 8, 3).repeat(64, 0)
    call = compiled(model)
    first, second = (call(x).detach().numpy() for _ in range(2))
    for outputs in first, second:
        assert len(np.unique(outputs.round(4), axis=0)) == 2  # with the block, and without
    assert (first != second).any()


def test_what_was_changed_is_recorded_when_it_is_compiled_again():
    model, x = tiny(depth=1, drop_path_rate=0.5), images(64, 8, 8, 3)
    call = compiled(model)
    expected = model(x, training=False).detach().numpy()
    for rate in (0.5, 0.0, 0.5, 0.0):  # four, as a new object can have the address of an old one
        model.get_layer("block0_drop_path").rate = rate
        model.compile()
        same = np.allclose(call(x).detach(), expected, rtol=1e-5, atol=1e-6)
        assert same == (rate == 0.0)


@EVERY_FAMILY
def test_batches_of_all_sizes_are_compiled_twice(family, monkeypatch):
    """For the first size, and then for any; `len` of a tensor would fix it again."""
    import torch

    model, calls = tiny(family, drop_path_rate=0.5), []
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    embed = first.call
    monkeypatch.setattr(first, "call", lambda x: calls.append(x) or embed(x))
    call = torch.no_grad()(compiled(model))  # nothing backward to compile
    for size in (2, 3):
        call(images(size, 8, 8, 3))
    recorded = len(calls)
    for size in (4, 5, 6):
        assert call(images(size, 8, 8, 3)).shape == (size, 1000)
    assert len(calls) == recorded > 0


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # of Keras' step
def test_the_second_step_does_not_compile_the_model_again(monkeypatch):
    import torch

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    model, calls = tiny(depth=1), []
    layer = model.get_layer("block0_norm")
    call = layer.call
    monkeypatch.setattr(layer, "call", lambda x: calls.append(x) or call(x))
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=True)
    x, y = images(2, 8, 8, 3), np.zeros(2)
    model.fit(x, y, verbose=0)
    recorded = len(calls)
    model.fit(x, y, epochs=2, verbose=0)
    assert len(calls) == recorded > 0


@keras.saving.register_keras_serializable("tests")
class Counter(keras.layers.Layer):
    """Counts its calls."""

    def build(self, input_shape):
        self.calls = self.add_weight((), "zeros", dtype="int32", trainable=False)

    def call(self, inputs):
        self.calls.assign_add(1)
        return inputs + 0.0


def test_a_layer_that_keeps_state_is_called_in_each_step():
    model = tiny()
    inputs = keras.Input((8, 8, 3))
    changed = type(model)(inputs, model(Counter()(inputs)))
    call = compiled(changed)
    for _ in range(3):
        call(images(2, 8, 8, 3))
    assert int(changed.layers[1].calls.value) == 3


class UserLayer(keras.layers.Layer):
    """Could do anything beside what it computes."""

    def call(self, inputs):
        return inputs + 0.0


@pytest.mark.parametrize(
    ("layer", "recorded"),
    [
        (keras.layers.Dropout(0.1), True),
        (keras.layers.Dropout(0.1, seed=1), False),
        (keras.layers.Dropout(0.1, noise_shape=(None, 1, 1, 1)), False),
        (DropPath(0.1, noise_shape=(None, 1, 1, 1)), True),
        (keras.layers.GaussianNoise(0.1), False),
        (keras.layers.Conv2D(1, 1), True),
        (keras.layers.Conv2D(1, 1, activity_regularizer="l2"), False),
        (keras.layers.ActivityRegularization(), False),
        (keras.layers.UpSampling2D(), True),
        (keras.layers.BatchNormalization(), False),
        (Counter(), False),
        (UserLayer(), False),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_model_is_recorded_if_no_layer_does_more_than_compute(layer, recorded):
    inputs = keras.Input((4, 4, 3))
    assert only_computes(ImageModel(inputs, layer(inputs))) == recorded
