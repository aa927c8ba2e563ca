"""Files that an earlier state of this library wrote load, and predict what they did."""

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

from keras_gimlp import applications, families
from tests.conftest import GOLDEN
from tests.families import FAMILIES, tiny

SAVED = GOLDEN / "saved"
VALUES = np.load(SAVED / "values.npz")
applications.giBERT  # noqa: B018  from then on Keras and KerasHub know the text models
pytestmark = [
    # KerasHub compiles what it loads from a preset, before an optimizer has a state to load,
    pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer"),
    # and leaves closing the SentencePiece model to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TEXTS = ["the cat sat", "my dog ran to the tree"]


def assert_equal(got, name):
    np.testing.assert_allclose(
        ops.convert_to_numpy(got), VALUES[name], rtol=1e-4, atol=1e-5, err_msg=name
    )


def feed(model, *names):
    """Returns the recorded inputs that a text model takes."""
    return {name: VALUES[name] for name in (*model.input, *names)}


def sequence_output(backbone):
    outputs = backbone(feed(backbone))
    return outputs["sequence_output"] if isinstance(outputs, dict) else outputs


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_image_model_is_of_its_family_alone_and_predicts_the_same(family):
    model = keras.saving.load_model(SAVED / f"{family}.keras")
    builder, _ = FAMILIES[family]
    assert families_of(model) == families_of(tiny(family)) == [builder.__name__]
    assert_equal(model(VALUES["images"]), family)


def families_of(model):
    """Returns every family whose mark the model has."""
    names = {layer.name for layer in model.layers}
    marked = [name for name, family in families.FAMILIES.items() if family.mark in names]
    assert families.image_family(model.layers) in marked
    return marked


@pytest.mark.parametrize(
    ("family", "file"),
    [
        *((family, f"{family}.keras") for family in FAMILIES),
        *((family, f"{family}.weights.h5") for family in ("gMLP", "CycleMLP", "giCycleMLP")),
    ],
)
def test_saved_weights_fill_a_new_image_model(family, file):
    assert_equal(tiny(family, classes=3, weights=SAVED / file)(VALUES["images"]), family)


@pytest.mark.parametrize("family", ["gMLP", "CycleMLP", "giCycleMLP"])
def test_keras_own_loader_takes_saved_weights(family):
    model = tiny(family, classes=3)
    model.load_weights(SAVED / f"{family}.weights.h5")
    assert_equal(model(VALUES["images"]), family)


def test_saved_feature_maps_are_the_same():
    maps = keras.saving.load_model(SAVED / "CycleMLP_maps.keras")(VALUES["images"])
    assert set(maps) == {"P1", "P2"}
    for level, value in maps.items():
        assert_equal(value, f"CycleMLP_maps_{level}")


def test_saved_layers_compute_the_same():
    assert_equal(keras.saving.load_model(SAVED / "layers.keras")(VALUES["tokens"]), "layers")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["giBERT", "giRoBERTa", "giDeBERTaV3"])
def test_a_preset_of_a_gated_classifier_predicts_the_same(family):
    preset = SAVED / f"{family}_classifier"
    backbone = getattr(applications, family).from_preset(str(preset))
    assert_equal(sequence_output(backbone), family)
    task = keras_hub.models.TextClassifier.from_preset(str(preset))
    assert type(task).__name__ == f"{family}TextClassifier"
    assert_equal(task.predict(TEXTS, verbose=0), f"{family}_classifier")


def test_a_preset_of_a_head_predicts_the_same():
    tagger = applications.TokenClassifier.from_preset(str(SAVED / "giBERT_tagger"))
    assert_equal(tagger(feed(tagger)), "giBERT_tagger")


def test_a_saved_head_predicts_the_same():
    regressor = keras.saving.load_model(SAVED / "giBERT_regressor.keras")
    assert_equal(regressor(feed(regressor)), "giBERT_regressor")


@pytest.mark.parametrize("name", ["gMLP_text", "aMLP_text"])
def test_a_preset_of_a_text_gmlp_predicts_the_same(name):
    task = keras_hub.models.MaskedLM.from_preset(str(SAVED / name))
    assert_equal(task.backbone(feed(task.backbone)), name)
    assert_equal(task(feed(task)), f"{name}_logits")


def test_saved_gates_fill_the_encoder_that_they_were_saved_with():
    encoder = applications.giBERT.from_preset(str(SAVED / "giBERT_classifier"))
    expected = [ops.convert_to_numpy(variable) for variable in encoder.gate_variables()]
    for variable in encoder.gate_variables():
        variable.assign(np.zeros(variable.shape, "float32"))
    encoder.load_gates(SAVED / "giBERT.safetensors")
    for variable, value in zip(encoder.gate_variables(), expected, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)
