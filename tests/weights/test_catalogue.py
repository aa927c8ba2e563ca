"""The catalogue of published weights: found by every name, and described."""

import functools
import pathlib

import pytest

from keras_gimlp import applications, weights
from keras_gimlp.weights import catalogue, fetching
from keras_gimlp.weights.catalogue import url_of
from tests.conftest import once
from tests.families import tiny
from tests.weights.conftest import assert_equal

pytestmark = once


def test_every_entry_is_of_a_model_and_prints_as_a_card():
    assert len(set(weights.list_weights())) == len(catalogue.CATALOGUE)
    for entry in catalogue.CATALOGUE:
        assert entry.model in applications.list_models()
        assert weights.find(entry.name) is entry
        card = str(entry)
        for part in (entry.name, entry.model, entry.license, entry.url, str(entry.mean)):
            assert part in card
        for address, sha256 in entry.files:
            assert url_of(address).startswith("https://")
            assert url_of(address) in card
            assert f"{sha256}\n" in f"{card}\n" if sha256 else "none published" in card
            if len(sha256) == 8:
                assert sha256 in address  # GitHub releases carry it in their names


def test_a_file_whose_hash_is_published_comes_first():
    for entry in catalogue.CATALOGUE:
        known = [bool(sha256) for _, sha256 in entry.files]
        assert known == sorted(known, reverse=True)
    mixer = weights.find("MLPMixer_B16")
    assert mixer.url.endswith("/v0.1-vitjx/jx_mixer_b16_224-76587d61.pth")
    assert "SHA-256        begins with 76587d61" in str(mixer)
    assert "no commit is published to pin it to" in str(mixer)  # of the file on the hub


def test_imagenet_means_one_entry_a_model():
    models = [entry.model for entry in catalogue.CATALOGUE if entry.imagenet]
    assert len(models) == len(set(models))
    assert weights.find("imagenet", model="gMLP_S").name == "gmlp_s16_224.ra3_in1k"
    assert weights.find("MLPMixer_L16").name == "mixer_l16_224.goog_in21k_ft_in1k"
    assert weights.list_weights("CycleMLP_B2") == ["CycleMLP_B2"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gMLP_Ti", "'imagenet' for gMLP_Ti. There are gmlp_s16_224.ra3_in1k for gMLP_S\\(\\)\\."),
        ("giCycleMLP_B2", "There are CycleMLP_B1 for .*, CycleMLP_B2 for CycleMLP_B2\\(\\), "),
    ],
)
def test_a_model_without_published_weights_names_its_relatives(name, message):
    with pytest.raises(ValueError, match=message):
        getattr(applications, name)(weights="imagenet", input_shape=(32, 32, 3))


def test_imagenet_needs_a_named_size():
    with pytest.raises(ValueError, match="no published weights 'imagenet'. There are gmlp_s16"):
        tiny(weights="imagenet")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("CycleMLP_B1.pth", "CycleMLP_B1"),
        (pathlib.Path("somewhere/else/CycleMLP_B1.pth"), "CycleMLP_B1"),
        ("~/jx_mixer_b16_224-76587d61.pth", "mixer_b16_224.goog_in21k_ft_in1k"),
        ("resmlpB_24_22k.pth", "resmlp_big_24_224.fb_in22k_ft_in1k"),
        ("mixer_b16_224.miil_in21k.safetensors", "mixer_b16_224.miil_in21k"),  # in the cache
        ("hf://timm/resmlp_12_224.fb_in1k", "resmlp_12_224.fb_in1k"),
        ("hf://timm/gmlp_s16_224.ra3_in1k@0123abc/model.safetensors", "gmlp_s16_224.ra3_in1k"),
        (weights.find("CycleMLP_B2"), "CycleMLP_B2"),
    ],
)
def test_an_entry_is_found_by_all_that_models_take(given, name):
    assert weights.find(given).name == name


@pytest.mark.parametrize("given", [None, "mine.keras", "hf.weights.h5", "hf://me/mine/a.keras"])
def test_files_of_our_own_have_no_entry(given):
    assert weights.find(given) is None


@pytest.mark.parametrize(
    "given", ["my.pth", "model.safetensors", "hf://me/mine", "hf://me/mine/CycleMLP_B1.pth"]
)
def test_a_renamed_published_file_asks_for_its_name(given):
    with pytest.raises(ValueError, match=f'such as "CycleMLP_B1". Received: weights={given!r}'):
        weights.find(given)


def test_something_else_than_a_name_is_a_type_error():
    with pytest.raises(TypeError, match="`weights` must be None, a string, .* of type int"):
        weights.find(3)


def test_weights_for_other_patches_name_the_argument_before_a_download(exported, monkeypatch):
    monkeypatch.setattr(fetching, "fetch_entry", lambda entry: exported[1])
    tiny_b24 = functools.partial(applications.ResMLP_B24, depth=1, dim=8, input_shape=(16, 16, 3))
    names = ("imagenet", "resmlp_big_24_224.fb_distilled_in1k", "resmlpB_24_22k.pth")
    for given in (*names, "hf://timm/resmlp_big_24_224.fb_in1k"):
        with pytest.raises(ValueError, match=r"ResMLP_B24\(patch_size=8\): add `patch_size=8`"):
            tiny_b24(weights=given)
    with pytest.raises(ValueError, match="of another model"):  # it is fetched, and a gMLP's
        tiny_b24(weights="imagenet", patch_size=8)


def test_published_weights_of_smaller_patches_are_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    sizes = {"depth": 1, "dim": 8, "patch_size": 8, "input_shape": (16, 16, 3)}
    (tmp_path / "models").mkdir()
    published = applications.ResMLP_B24(**sizes)
    path = tmp_path / "models" / "resmlp_big_24_224.fb_in1k.safetensors"
    weights.export_weights(published, path)
    loaded = applications.ResMLP_B24(weights="imagenet", **sizes)
    assert_equal(published.get_weights(), loaded.get_weights())
