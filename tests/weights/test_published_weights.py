"""Published files: converted both ways, and refused if anything is odd."""

import keras
import numpy as np
import pytest
from keras import ops
from safetensors.numpy import load_file, save_file

from keras_gimlp import weights
from tests.conftest import GOLDEN, once
from tests.families import images, run, tiny
from tests.weights.conftest import PUBLISHED_FAMILIES, assert_equal, randomized

pytestmark = once


# Conversion


@PUBLISHED_FAMILIES
def test_a_model_that_was_saved_and_loaded_is_exported_too(family, tmp_path):
    model = randomized(family)
    model.save(tmp_path / "a.keras")
    weights.export_weights(keras.saving.load_model(tmp_path / "a.keras"), tmp_path / "a.pth")
    assert tiny(family, classes=3, weights=tmp_path / "a.pth")


def test_names_and_shapes_of_exported_files_are_those_of_the_recorded_ones(tmp_path):
    import torch

    from tests.applications.test_cycle_mlp import CHECKPOINT, recorded

    weights.export_weights(recorded(), tmp_path / "a.pth")
    ours, theirs = (
        torch.load(p, weights_only=True)["model"] for p in (tmp_path / "a.pth", CHECKPOINT)
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)

    theirs = load_file(GOLDEN / "timm_resmlp_tiny" / "model.safetensors")
    model = tiny(
        "ResMLP",
        classes=10,
        input_shape=(16, 16, 3),
        dim=16,
        mlp_ratio=2,
        weights=GOLDEN / "timm_resmlp_tiny" / "model.safetensors",
    )
    weights.export_weights(model, tmp_path / "a.safetensors")
    ours = load_file(tmp_path / "a.safetensors")
    assert ours.keys() == theirs.keys()
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_files_of_the_resmlp_paper_have_other_names_and_are_loaded(tmp_path):
    model = randomized("ResMLP")
    weights.export_weights(model, tmp_path / "timm.safetensors")
    papers = {}
    for name, tensor in load_file(tmp_path / "timm.safetensors").items():
        for timms, theirs in (
            ("stem.", "patch_embed."),
            ("linear_tokens.", "attn."),
            ("mlp_channels.", "mlp."),
            (".ls", ".gamma_"),
        ):
            name = name.replace(timms, theirs)
        papers[name] = tensor.reshape(-1) if name.endswith(("alpha", "beta")) else tensor
    save_file(papers, tmp_path / "papers.safetensors")
    loaded = tiny("ResMLP", classes=3, weights=tmp_path / "papers.safetensors")
    assert_equal(model.get_weights(), loaded.get_weights())


@pytest.mark.parametrize("key", [None, "model", "state_dict"])
def test_tensors_of_a_pth_file_may_lie_deeper(key, exported, tmp_path):
    import torch

    tensors = {name: torch.tensor(t) for name, t in load_file(exported[1]).items()}
    torch.save(tensors if key is None else {key: tensors, "epoch": 3}, tmp_path / "a.pth")
    loaded = tiny("gMLP", classes=3, weights=tmp_path / "a.pth")
    np.testing.assert_array_equal(loaded.get_weights()[0], exported[0].get_weights()[0])


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_files_in_half_precision_are_loaded(dtype, suffix, exported, tmp_path):
    import torch
    from safetensors.torch import save_file

    tensors = {
        name: torch.tensor(t).to(getattr(torch, dtype))
        for name, t in load_file(exported[1]).items()
    }
    save = save_file if suffix == ".safetensors" else torch.save
    save(tensors, tmp_path / f"a{suffix}")
    loaded = tiny("gMLP", classes=3, weights=tmp_path / f"a{suffix}")
    for expected, got in zip(exported[0].get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("family", "arguments", "place"),
    [
        ("aMLP", {}, "block0_attention"),
        ("giCycleMLP", {}, "stage0_block0_gate_norm"),
        ("CycleMLP", {"include_top": False, "feature_maps": True}, "stage0_norm"),
    ],
)
def test_what_the_original_has_no_place_for_is_not_exported(family, arguments, place, tmp_path):
    with pytest.raises(ValueError, match=f"no place for .* the first is {place}"):
        weights.export_weights(tiny(family, **arguments), tmp_path / "a.pth")
    assert not list(tmp_path.iterdir())


def test_export_refuses_other_models_and_other_endings(tmp_path):
    with pytest.raises(ValueError, match="`path` must end in .safetensors or .pth"):
        weights.export_weights(tiny(), tmp_path / "a.h5")
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="not a model of a family with published"):
        weights.export_weights(other, tmp_path / "a.pth")


# Classifier


@PUBLISHED_FAMILIES
def test_another_number_of_classes_keeps_the_new_classifier_and_only_that(family, tmp_path):
    model = randomized(family)
    weights.export_weights(model, tmp_path / "a.safetensors")
    with pytest.warns(UserWarning, match="keep their initial weights: predictions"):
        loaded = tiny(family, classes=5, weights=tmp_path / "a.safetensors")
    fresh = ops.convert_to_numpy(loaded.get_layer("predictions").kernel)
    assert 0 < np.abs(fresh).max() < 1  # as Dense starts
    for expected, got in zip(model.weights, loaded.weights, strict=True):
        if not expected.path.startswith("predictions"):
            np.testing.assert_array_equal(*map(ops.convert_to_numpy, (got, expected)))


@PUBLISHED_FAMILIES
def test_classifier_of_the_file_is_left_out_without_top(family, tmp_path):
    model = randomized(family)
    weights.export_weights(model, tmp_path / "a.safetensors")
    features = tiny(family, include_top=False, weights=tmp_path / "a.safetensors")
    x = images(2, 8, 8, 3)
    expected = run(keras.Model(model.input, model.get_layer("norm").output), x)
    np.testing.assert_allclose(run(features, x), expected, rtol=1e-4, atol=1e-4)


# Files that do not fit


def changed(exported, tmp_path, change):
    tensors = load_file(exported[1])
    change(tensors)
    save_file(tensors, tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.pop("blocks.1.norm.bias"),
            "1 tensor is missing from the file: block1_norm/beta",
        ),
        (
            lambda t: t.update(extra=np.ones(2, "float32")),
            "1 tensor is unknown to the model: extra",
        ),
        (
            lambda t: t.update({"norm.weight": np.ones(9, "float32")}),
            r"norm/gamma is \(9,\) in the file and \(8,\) here",
        ),
        (
            lambda t: t.update({"stem.proj.weight": np.ones((8, 48), "float32")}),
            r"patch_embedding/kernel is \(8, 48\) in the file",
        ),
        (lambda t: t["norm.weight"].__setitem__(3, np.nan), "1 tensor is not finite: norm/gamma"),
        (lambda t: t["norm.bias"].__setitem__(0, np.inf), "1 tensor is not finite: norm/beta"),
        (lambda t: t.clear(), "tensors are missing from the file: patch_embedding/kernel"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_changes_nothing(
    change, message, exported, tmp_path
):
    path = changed(exported, tmp_path, change)
    model = tiny(classes=3)
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        weights.load_weights(model, path)
    assert_equal(before, model.get_weights())


@PUBLISHED_FAMILIES
def test_a_file_of_another_family_is_refused(family, exported):
    if family == "gMLP":
        family = "aMLP"
    with pytest.raises(ValueError, match="is of another model than"):
        tiny(family, classes=3, weights=exported[1])


def test_a_cycle_mlp_file_with_other_shifts_is_refused(tmp_path):
    model = randomized("CycleMLP")
    weights.export_weights(model, tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    tensors["network.0.0.attn.sfc_h.offset"] *= 2
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="its network.0.0.attn.sfc_h.offset is another"):
        tiny("CycleMLP", classes=3, weights=tmp_path / "a.safetensors")
