"""Weights over tokens of another image size are interpolated."""

import numpy as np
import pytest
from keras import ops

from keras_gimlp import weights
from keras_gimlp.weights.resizing import resampling
from tests.conftest import once
from tests.families import images, run, tiny
from tests.weights.conftest import assert_equal, randomized


def smooth(grid, rng):
    """A spatial matrix whose rows are smooth over the grid: nine waves, the long ones strongest."""
    rows, columns = grid
    r, c = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    waves = [
        np.cos(np.pi * (i * r + j * c)).ravel() / (1 + i + j) for i in range(3) for j in range(3)
    ]
    return np.stack(waves, 1) @ rng.normal(size=(9, 9)) @ np.stack(waves)


SQUARE = {"_gate/spatial/kernel": (0, 1), "_gate/spatial/bias": (None, 0)}


def resized(tensor, path, source, target):
    shape = tuple(np.prod(target) if size == np.prod(source) else size for size in tensor.shape)
    return weights.Spatial(SQUARE, target, source).fit(f"block0_gate/spatial/{path}", tensor, shape)


def test_resizing_to_the_same_grid_is_the_identity(rng):
    kernel, bias = rng.normal(size=(35, 35)), rng.normal(size=35)
    assert resized(kernel, "kernel", (5, 7), (5, 7)) is kernel
    assert resized(bias, "bias", (5, 7), (5, 7)) is bias
    np.testing.assert_allclose(resampling((5, 7), (5, 7)), np.eye(35), atol=1e-6)


@pytest.mark.parametrize("target", [(7, 7), (16, 16), (10, 21)])
def test_a_resized_matrix_keeps_the_sums_of_its_rows(rng, target):
    kernel = smooth((14, 14), rng)  # read by rows, written by columns
    sums = kernel.sum(0)
    got = resized(kernel, "kernel", (14, 14), target).sum(0)
    np.testing.assert_allclose(got, resized(sums, "bias", (14, 14), target), rtol=1e-3, atol=1e-3)


def test_a_smooth_matrix_survives_a_round_trip(rng):
    kernel = smooth((14, 14), rng)
    there = resized(kernel, "kernel", (14, 14), (7, 7))
    assert there.shape == (49, 49)
    back = resized(there, "kernel", (7, 7), (14, 14))
    correlations = [np.corrcoef(kernel[:, i], back[:, i])[0, 1] for i in range(196)]
    assert min(correlations) > 0.95


def test_a_resized_matrix_does_what_the_old_one_did_at_its_own_size(rng):
    kernel = smooth((14, 14), rng)
    x = smooth((14, 14), rng)[0]  # a smooth map
    expected = resampling((14, 14), (7, 7)) @ (x @ kernel)
    got = (resampling((14, 14), (7, 7)) @ x) @ resized(kernel, "kernel", (14, 14), (7, 7))
    assert np.corrcoef(got, expected)[0, 1] > 0.99


@once
@pytest.mark.parametrize(
    ("family", "kind", "shape"),
    [
        ("gMLP", ".safetensors", (16, 16, 3)),
        ("gMLP", ".keras", (8, 16, 3)),
        ("MLPMixer", ".keras", (16, 16, 3)),
        ("MLPMixer", ".safetensors", (8, 16, 3)),
        ("ResMLP", ".safetensors", (16, 16, 3)),
        ("ResMLP", ".keras", (8, 16, 3)),
        ("AFT", ".keras", (16, 16, 3)),  # no files are published
        ("AFT", ".keras", (8, 16, 3)),
    ],
)
def test_weights_of_another_image_size_are_resized_on_request(family, kind, shape, tmp_path):
    model = randomized(family)
    path = tmp_path / f"a{kind}"
    model.save(path) if kind == ".keras" else weights.export_weights(model, path)
    with pytest.raises(ValueError, match="If the file is of the same model .*resize_spatial=True"):
        tiny(family, classes=3, input_shape=shape, weights=path)
    with pytest.warns(UserWarning, match=r"tensors of .* were interpolated to the \d x 4 tokens"):
        larger = tiny(family, classes=3, input_shape=shape, weights=path, resize_spatial=True)
    assert run(larger, images(1, *shape)).shape == (1, 3)
    assert np.isfinite(run(larger, images(1, *shape))).all()


def test_weights_of_the_class_token_are_kept(tmp_path):
    model = randomized("AFT")
    model.save(tmp_path / "a.keras")
    with pytest.warns(UserWarning, match="interpolated to the 2 x 4 tokens"):
        wider = tiny(
            "AFT",
            classes=3,
            input_shape=(8, 16, 3),
            weights=tmp_path / "a.keras",
            resize_spatial=True,
        )
    paths = ("class_token/positions", "block0_mix/bias_rows", "block1_mix/bias_columns")
    for path in paths:
        old, new = (
            next(ops.convert_to_numpy(v) for v in x.weights if v.path == path)
            for x in (model, wider)
        )
        assert (len(old), len(new)) == (5, 9)
        np.testing.assert_array_equal(new[0], old[0])
        expected = resampling((2, 2), (2, 4)) @ old[1:]
        np.testing.assert_allclose(new[1:], expected, rtol=1e-5, atol=1e-6)


def test_a_file_of_images_that_are_not_square_is_resized_with_its_grid(tmp_path):
    model = randomized("gMLP", input_shape=(8, 16, 3))
    weights.export_weights(model, tmp_path / "a.safetensors")
    arguments = {"classes": 3, "weights": tmp_path / "a.safetensors"}
    with pytest.raises(ValueError, match="of another shape"):
        tiny("gMLP", resize_spatial=True, **arguments)  # 8 tokens are no square
    with pytest.warns(UserWarning, match="interpolated to the 2 x 2 tokens"):
        tiny("gMLP", resize_spatial=(2, 4), **arguments)
    with pytest.warns(UserWarning, match="interpolated to the 4 x 2 tokens"):
        turned = tiny("gMLP", resize_spatial=(2, 4), input_shape=(16, 8, 3), **arguments)
    old, new = (
        ops.convert_to_numpy(x.get_layer("block0_gate").spatial.kernel) for x in (model, turned)
    )
    assert np.abs(old - new).max() > 0.1


def test_resize_spatial_is_a_grid_or_a_truth_value(exported):
    with pytest.raises(ValueError, match="must be True, False or the grid .*=\\(2, 2, 3\\)"):
        tiny(classes=3, weights=exported[1], resize_spatial=(2, 2, 3))


def test_resize_spatial_changes_nothing_at_the_same_size(exported):
    loaded = tiny(classes=3, weights=exported[1], resize_spatial=True)
    assert_equal(exported[0].get_weights(), loaded.get_weights())
