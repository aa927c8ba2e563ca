"""Feature maps of every family: what is returned, under which names, with whose weights."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp import rematerialize, weights
from keras_gimlp.rematerialization import block_of
from tests.conftest import mostly_once, once
from tests.families import EVERY_PATH, families_and, images, run, tiny

X = images(2, 8, 16, 3)
SHAPE = {"input_shape": (8, 16, 3)}
TOKENS = pytest.mark.parametrize(
    "family", mostly_once(["gMLP", "aMLP", "MLPMixer", "ResMLP", "AFT"], "aMLP", "AFT")
)
# The names of the two maps, and the layer that a classifier computes each with.
ENDS = {
    "gMLP": {"block0": "block0_add", "block1": "block1_add"},
    "MLPMixer": {"block0": "block0_channels_add", "block1": "block1_channels_add"},
    "CycleMLP": {"P1": "stage0_block0_mlp_add", "P2": "stage1_block1_mlp_add"},
    "AFT": {"block0": "block0_mlp_add", "block1": "block1_mlp_add"},
}
ENDS |= {"AFT-conv": ENDS["AFT"]}
ENDS |= {"aMLP": ENDS["gMLP"], "ResMLP": ENDS["MLPMixer"], "giCycleMLP": ENDS["CycleMLP"]}


def with_maps(family, feature_maps=(0, 1), **kwargs):
    return tiny(family, include_top=False, feature_maps=feature_maps, **SHAPE | kwargs)


def classifier(family):
    """A classifier of random weights."""
    model = tiny(family, classes=3, **SHAPE)
    for i, variable in enumerate(model.weights):
        variable.assign(np.random.default_rng(i).normal(size=variable.shape) / 2)
    return model


def filled(family, path, feature_maps):
    """A model of maps with the weights of a classifier, which has no normalization of stages."""
    if "Cycle" not in family:
        return with_maps(family, feature_maps, weights=path)
    with pytest.warns(UserWarning, match="keep their initial weights: stage"):
        return with_maps(family, feature_maps, weights=path)


def normalized(x):
    """As a layer normalization of CycleMLP starts."""
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


@EVERY_PATH
def test_maps_are_what_the_blocks_of_the_classifier_return(family, tmp_path):
    model = classifier(family)
    model.save(tmp_path / "a.keras")
    ends = {name: model.get_layer(layer).output for name, layer in ENDS[family].items()}
    expected = run(keras.Model(model.input, ends), X)
    maps = run(filled(family, tmp_path / "a.keras", [0, 1]), X)
    assert list(maps) == list(expected)
    for name, value in expected.items():
        # Tokens lie row by row.
        if family == "AFT":
            value = value[:, 1:]  # without the class token
        value = normalized(value) if "Cycle" in family else value.reshape(2, 2, 4, 8)
        assert maps[name].shape == value.shape
        np.testing.assert_allclose(maps[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@once
@families_and(
    "feature_maps, chosen",
    [(True, None), ([0], [0]), ((-1,), [1]), ([1, 0], [0, 1]), ([-2, 0], [0])],
)
def test_maps_are_chosen_by_number(family, feature_maps, chosen):
    if chosen is None:  # all stages, or the last block
        chosen = [0, 1] if "Cycle" in family else [1]
    names = [list(ENDS[family])[number] for number in chosen]
    assert list(with_maps(family, feature_maps).output) == names


@EVERY_PATH
def test_the_model_ends_with_the_last_map(family, tmp_path):
    classifier(family).save_weights(tmp_path / "a.weights.h5")
    first = filled(family, tmp_path / "a.weights.h5", [0])
    names = {layer.name for layer in first.layers}
    assert not [name for name in names if name.startswith(("block1", "stage1", "norm"))]
    both = filled(family, tmp_path / "a.weights.h5", [0, 1])
    for name, value in run(first, X).items():
        np.testing.assert_allclose(value, run(both, X)[name], rtol=1e-5, atol=1e-6)


@families_and("file", ["a.keras", "a.weights.h5"])
def test_saved_maps_fill_a_model_of_the_same_maps_without_a_word(family, file, tmp_path):
    model = with_maps(family, [0])
    (model.save if file == "a.keras" else model.save_weights)(tmp_path / file)
    again = with_maps(family, [0], weights=tmp_path / file)
    assert again.count_params() == model.count_params()
    for name, value in run(model, X).items():
        np.testing.assert_array_equal(run(again, X)[name], value)


@once
@EVERY_PATH
def test_what_the_maps_need_must_be_in_the_file(family, tmp_path):
    with_maps(family, [0]).save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match="missing from the file: (block1_|stage1_)"):
        with_maps(family, [1], weights=tmp_path / "a.weights.h5")


@pytest.mark.parametrize(
    "family", mostly_once(["gMLP", "MLPMixer", "ResMLP", "CycleMLP"], "gMLP", "CycleMLP")
)
def test_published_files_fill_the_first_blocks(family, tmp_path):
    model = classifier(family)
    weights.export_weights(model, tmp_path / "a.safetensors")
    maps = filled(family, tmp_path / "a.safetensors", [0])
    for variable in maps.weights:
        if not variable.path.startswith("stage0_norm"):
            (expected,) = (v for v in model.weights if v.path == variable.path)
            np.testing.assert_array_equal(*map(ops.convert_to_numpy, (variable, expected)))


@EVERY_PATH
def test_saved_and_cloned_maps_are_the_same(family, tmp_path):
    model = with_maps(family)
    model.save(tmp_path / "a.keras")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    expected = run(model, X)
    for other in (keras.saving.load_model(tmp_path / "a.keras"), clone):
        assert type(other) is type(model)
        for name, value in run(other, X).items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-6)


@TOKENS
def test_rematerialized_maps_are_the_same(family):
    model = with_maps(family)
    expected = run(model, X)
    blocks = [block_of(x) for x in model.layers if isinstance(x, keras.layers.Reshape)]
    assert set(blocks) == {None}  # or the block would end there, after those that follow it
    rematerialize(model)
    for name, value in run(model, X).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6)


@once
@families_and("feature_maps", [[2], [-3], [], [0.0], [True], 1, "block0", None, {"block0"}])
def test_numbers_that_no_block_has_are_refused_in_one_sentence(family, feature_maps):
    message = r"`feature_maps` must be True, False or a list of .* from -2 to 1\. Received: feat"
    with pytest.raises(ValueError, match=message):
        with_maps(family, feature_maps)


@once
@families_and("arguments", [{"include_top": True}, {"pooling": "avg"}])
def test_a_model_of_maps_neither_classifies_nor_pools(family, arguments):
    with pytest.raises(ValueError, match="`feature_maps` needs include_top=False and pooling=None"):
        tiny(family, **{"include_top": False, "feature_maps": [0]} | arguments)
