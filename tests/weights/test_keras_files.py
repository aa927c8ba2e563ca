"""Files of weights: what fits is loaded whole, what does not is refused and changes nothing."""

import keras
import numpy as np
import pytest

from keras_gimlp import applications
from keras_gimlp.weights import load_weights
from tests.families import EVERY_FAMILY, images, tiny


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
    for expected, got in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


@EVERY_FAMILY
def test_every_family_loads_what_it_saved(family, tmp_path):
    model = tiny(family, classes=3)
    for variable in model.weights:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    model.save(tmp_path / "a.keras")
    loaded = tiny(family, classes=3, weights=tmp_path / "a.keras")
    for expected, got in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


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
    for expected, got in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("size", [0, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused(saved, kind, size, tmp_path):
    content = saved[1][kind].read_bytes()
    path = tmp_path / saved[1][kind].name
    path.write_bytes(content[: size if isinstance(size, int) else int(size * len(content))])
    with pytest.raises(ValueError, match=f"is damaged, or is not a Keras file: .*{path.name}"):
        tiny(classes=3, attention_dim=4, weights=path)


def test_a_file_with_changed_bytes_is_refused(saved, tmp_path):
    content = bytearray(saved[1][1].read_bytes())
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / "a.keras"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged, or is not a Keras file: Bad CRC"):
        tiny(classes=3, attention_dim=4, weights=path)


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match="no weights file at .*='nowhere.keras'"):
        tiny(weights="nowhere.keras")


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "a.keras").mkdir()
    with pytest.raises(ValueError, match="this is a folder: weights='.*a.keras'"):
        tiny(weights=tmp_path / "a.keras")


def test_another_number_of_classes_keeps_the_new_classifier(saved):
    for path in saved[1]:
        with pytest.warns(UserWarning, match="keep their initial weights: predictions"):
            loaded = tiny(classes=4, attention_dim=4, weights=path)
        np.testing.assert_array_equal(loaded.get_weights()[2], saved[0].get_weights()[2])


@pytest.mark.parametrize("weights", ["resnet50", "model.onnx"])
def test_other_sources_are_not_known(weights):
    with pytest.raises(ValueError, match="`weights` must be None, a name in keras_gimlp.weights"):
        applications.gMLP_S(depth=1, weights=weights)
