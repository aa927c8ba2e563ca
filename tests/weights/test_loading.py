"""A file that fits is loaded whole, on every backend; another is refused and changes nothing."""

import keras
import numpy as np
import pytest

from keras_gimlp.weights import export_weights, load_weights
from tests.conftest import once
from tests.families import EVERY_FAMILY, images, tiny
from tests.weights.conftest import PUBLISHED_FAMILIES, assert_equal, randomized


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Returns a trained model and the paths of its two files."""
    folder = tmp_path_factory.mktemp("saved")
    model = tiny(classes=3, attention_dim=4)
    model.compile("adamw", "sparse_categorical_crossentropy")
    model.fit(images(6, 8, 8, 3), np.arange(6) % 3, verbose=0)
    paths = [folder / "a.weights.h5", folder / "a.keras"]
    model.save_weights(paths[0])
    model.save(paths[1])
    return model, paths


@pytest.mark.parametrize("kind", [0, 1])
def test_weights_of_a_saved_model_are_loaded(saved, kind):
    model, paths = saved
    loaded = tiny(classes=3, attention_dim=4, weights=paths[kind], name="another_name")
    assert_equal(model.get_weights(), loaded.get_weights())


@EVERY_FAMILY
def test_every_family_loads_what_it_saved(family, tmp_path):
    model = tiny(family, classes=3)
    for variable in model.weights:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    model.save(tmp_path / "a.keras")
    loaded = tiny(family, classes=3, weights=tmp_path / "a.keras")
    assert_equal(model.get_weights(), loaded.get_weights())


@PUBLISHED_FAMILIES
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_exported_weights_are_loaded(family, suffix, tmp_path):
    model = randomized(family)
    export_weights(model, tmp_path / f"a{suffix}")
    loaded = tiny(family, classes=3, weights=tmp_path / f"a{suffix}")
    assert_equal(model.get_weights(), loaded.get_weights())


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_a_model_in_bfloat16_loads_what_it_saved(suffix, tmp_path):
    keras.config.set_dtype_policy("bfloat16")
    model = tiny(classes=3)
    path = tmp_path / f"a{suffix}"
    model.save(path) if suffix == ".keras" else model.save_weights(path)
    loaded = tiny(classes=3, weights=path)
    for expected, got in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(got.astype("float32"), expected.astype("float32"))


def test_classifier_of_the_file_is_left_out_without_top(saved):
    model, paths = saved
    features = tiny(include_top=False, attention_dim=4, weights=str(paths[0]))
    x = images(2, 8, 8, 3)
    expected = keras.Model(model.input, model.get_layer("norm").output).predict(x, verbose=0)
    np.testing.assert_allclose(features.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-6)


def test_weights_without_top_do_not_fill_a_classifier(saved, tmp_path):
    features = tiny(include_top=False, attention_dim=4)
    features.save_weights(tmp_path / "features.weights.h5")
    with pytest.raises(ValueError, match="2 tensors are missing from the file: predictions/kernel"):
        tiny(classes=3, attention_dim=4, weights=tmp_path / "features.weights.h5")


@once
@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"depth": 3}, "missing from the file: block2_norm/gamma, .* and [0-9]+ more"),
        ({"depth": 1}, "unknown to the model: block1_"),
        ({"attention_dim": None}, "unknown to the model: block0_attention/projection/0, "),
        (
            {"input_shape": (12, 12, 3)},
            "spatial/kernel is \\(4, 4\\) in the file and \\(9, 9\\) here",
        ),
    ],
)
def test_weights_of_another_model_are_refused(saved, other, message):
    _, paths = saved
    with pytest.raises(ValueError, match=message):
        tiny(**({"classes": 3, "attention_dim": 4, "weights": paths[1]} | other))


def test_a_refused_file_leaves_the_model_as_it_was(saved):
    _, paths = saved
    model = tiny(classes=3, attention_dim=4, ffn_dim=24)
    before = model.get_weights()
    with pytest.raises(ValueError, match="'gmlp', which was left as it was"):
        load_weights(model, paths[0])
    assert_equal(before, model.get_weights())


def test_another_number_of_classes_keeps_the_new_classifier(saved):
    for path in saved[1]:
        loaded = tiny(classes=4, attention_dim=4)
        with pytest.warns(UserWarning, match="keep their initial weights: predictions") as warned:
            load_weights(loaded, path)
        assert [warning.filename for warning in warned] == [__file__]  # and this line
        np.testing.assert_array_equal(loaded.get_weights()[2], saved[0].get_weights()[2])
