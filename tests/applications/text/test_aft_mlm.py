"""AFT on text: the formula, invariances, presets, tasks."""

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

from keras_gimlp import applications
from tests import reference
from tests.applications.text.test_gmlp_mlm import LENGTHS, texts
from tests.conftest import once
from tests.descriptions import refuses_other_integers
from tests.families import run
from tests.training import unmoved

SIZES = {"vocabulary_size": 23, "depth": 2, "dim": 8, "ffn_dim": 12, "sequence_length": 9}
SIZES |= {"window": 2, "bias_dim": 3}
FORMS = pytest.mark.parametrize("form", ["full", "local", "simple"])


def small(seed=0, **kwargs):
    """A small encoder in which every weight matters."""
    model = applications.AFT_MLM(**(SIZES | kwargs))
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(variable + rng.normal(size=variable.shape) / 2)
    return model


@FORMS
def test_model_equals_the_formula(form):
    model, inputs = small(form=form), texts()
    outputs = run(model, inputs)
    w = {v.path: ops.convert_to_numpy(v).astype("float64") for v in model.weights}

    def both(layer, names=("kernel", "bias")):
        return (w[f"{layer}/{name}"] for name in names)

    def norm(layer, x):
        return reference.layer_norm(x, *both(layer, ("gamma", "beta")), 1e-6)

    for i, n in enumerate(LENGTHS):
        x = w["token_embedding/embeddings"][inputs["token_ids"][i]]
        x = x + w["position_embedding/embeddings"][:6]
        for block in ("block0", "block1"):
            mix = f"{block}_mix"
            biases = np.zeros((6, 6))
            if form != "simple":
                rows, columns = both(mix, ("bias_rows", "bias_columns"))
                biases = (rows @ columns.T)[:6, :6]
            if form == "local":
                near = np.abs(np.arange(6)[:, None] - np.arange(6)) < 2
                biases = np.where(near, biases, 0.0)
            projections = (*both(f"{mix}/qkv"), *both(f"{mix}/projection"))
            mask = inputs["padding_mask"][i] == 1
            y = norm(f"{mix}_norm", x)
            x = x + reference.attention_free_mixing(y, *projections, biases, mask)
            expand, bias = both(f"{block}_mlp_expand")
            contract, offset = both(f"{block}_mlp_contract")
            y = reference.gelu(norm(f"{block}_mlp_norm", x) @ expand + bias)
            x = x + y @ contract + offset
        x = norm("norm", x)
        scale = np.abs(x[:n]).max()
        np.testing.assert_allclose(outputs[i, :n], x[:n], rtol=1e-5, atol=1e-5 * scale)


@FORMS
def test_an_example_depends_on_neither_its_batch_nor_its_padding(form):
    model, x = small(form=form), texts()
    together = run(model, x)
    changed = x | {"token_ids": np.where(x["padding_mask"], x["token_ids"], 5)}
    for i, length in enumerate(LENGTHS):
        np.testing.assert_allclose(
            run(model, changed)[i, :length], together[i, :length], rtol=1e-4, atol=1e-5
        )
        for padded in {length, 9}:
            alone = {
                key: np.pad(value[i : i + 1, :length], ((0, 0), (0, padded - length)))
                for key, value in x.items()
            }
            np.testing.assert_allclose(
                run(model, alone)[0, :length], together[i, :length], rtol=1e-4, atol=1e-5
            )


@FORMS
def test_every_weight_is_trained_with_a_masked_language_model(form):
    model = small(form=form, drop_path_rate=0.1)
    task = applications.AFTMaskedLM(model)
    assert task.count_params() == model.count_params()
    x = texts() | {"mask_positions": np.array([[0, 2], [1, 2], [0, 0]], "int32")}
    x["token_ids"][:, 0] = np.arange(3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Of the positions, those that no example has.
    embeddings = ("token_embedding/embeddings", "position_embedding/embeddings")
    paths = unmoved(task, x, np.array([[1, 2]] * 3), loss)
    assert [path for path in paths if not path.endswith(embeddings)] == []


def test_a_saved_preset_is_the_same_model_and_fills_tasks(tmp_path):
    model = small(form="full", dropout=0.2)
    applications.AFTMaskedLM(model).save_to_preset(str(tmp_path))
    for cls in (applications.AFT_MLM, keras_hub.models.Backbone):
        loaded = cls.from_preset(str(tmp_path))
        assert type(loaded) is applications.AFT_MLM
        assert loaded.get_config() == model.get_config()
        np.testing.assert_allclose(run(loaded, texts()), run(model, texts()), rtol=1e-5, atol=1e-6)
    task = keras_hub.models.MaskedLM.from_preset(str(tmp_path), preprocessor=None)
    assert type(task) is applications.AFTMaskedLM
    classifier = keras_hub.models.TextClassifier.from_preset(
        str(tmp_path), num_classes=3, preprocessor=None
    )
    assert type(classifier) is applications.AFTTextClassifier
    assert run(classifier, texts()).shape == (3, 3)


@once
def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match='`form` must be "full", "local" or "simple"'):
        applications.AFT_MLM(**SIZES | {"form": "conv"})
    refuses_other_integers(applications.AFT_MLM, SIZES)
