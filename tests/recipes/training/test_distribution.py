import keras
import pytest

from keras_gimlp.layers import Inhibition
from recipes.training import distribution


@pytest.mark.parametrize(
    ("scope", "replicas", "differs"),
    [("batch", 2, True), ("batch", 1, False), ("example", 2, False)],
)
def test_it_is_said_where_a_part_of_a_batch_has_a_maximum_of_its_own(
    monkeypatch, capsys, scope, replicas, differs
):
    monkeypatch.setattr(distribution, "replicas", lambda: replicas)
    inputs = keras.Input((4, 6))
    model = keras.Model(inputs, Inhibition(scope=scope)(inputs))
    distribution.check(model)
    said = "on one device, it is that of the whole batch" in capsys.readouterr().out
    # JAX shares one maximum.
    assert said == (differs and keras.backend.backend() != "jax")
