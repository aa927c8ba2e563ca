"""Published files: converted both ways, fetched whole or not at all, refused if anything is odd."""

import contextlib
import dataclasses
import hashlib
import http.server
import os
import pathlib
import pickle
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
from keras import ops
from safetensors.numpy import load_file, save_file

from keras_gimlp import applications, weights
from keras_gimlp.weights import catalogue, fetching
from tests.conftest import ROOT
from tests.families import images, run, tiny

PUBLISHED_FAMILIES = pytest.mark.parametrize("family", ["gMLP", "CycleMLP", "MLPMixer", "ResMLP"])


def randomized(family, seed=0, **kwargs):
    model = tiny(family, **({"classes": 3} | kwargs))
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape))
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Returns a gMLP and the path of its weights as timm would publish them."""
    model = randomized("gMLP")
    path = tmp_path_factory.mktemp("exported") / "gmlp.safetensors"
    weights.export_weights(model, path)
    return model, path


# Conversion


@PUBLISHED_FAMILIES
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_exported_weights_are_those_that_are_loaded(family, suffix, tmp_path):
    model = randomized(family)
    weights.export_weights(model, tmp_path / f"a{suffix}")
    loaded = tiny(family, classes=3, weights=tmp_path / f"a{suffix}")
    for expected, got in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


@PUBLISHED_FAMILIES
def test_a_model_that_was_saved_and_loaded_is_exported_too(family, tmp_path):
    model = randomized(family)
    model.save(tmp_path / "a.keras")
    weights.export_weights(keras.saving.load_model(tmp_path / "a.keras"), tmp_path / "a.pth")
    assert tiny(family, classes=3, weights=tmp_path / "a.pth")


def test_names_and_shapes_of_exported_files_are_those_of_the_recorded_ones(tmp_path):
    import torch

    from tests.conftest import GOLDEN
    from tests.test_cycle_mlp import CHECKPOINT, recorded

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
    for expected, got in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


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
    with pytest.raises(ValueError, match="no model of a family with published files"):
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
    for expected, got in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


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


# Files that are broken or hostile


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("size", [0, 7, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused(suffix, size, exported, tmp_path):
    path = tmp_path / f"a{suffix}"
    weights.export_weights(exported[0], path)
    content = path.read_bytes()
    path.write_bytes(content[: size if isinstance(size, int) else int(size * len(content))])
    with pytest.raises(ValueError, match="The weights file is damaged, or holds"):
        tiny(classes=3, weights=path)


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("nested", [False, True])
def test_code_in_a_pickle_is_never_executed(nested, protocol, tmp_path, monkeypatch):
    import torch

    monkeypatch.chdir(tmp_path)
    content = {"model": {"norm.weight": Trap()}} if nested else Trap()
    pathlib.Path("plain.pth").write_bytes(pickle.dumps(content, protocol=protocol))
    torch.save(content, "archive.pth", pickle_protocol=protocol)
    for path in ("plain.pth", "archive.pth"):
        with pytest.raises(ValueError, match="holds other objects than tensors, which are never"):
            tiny(classes=3, weights=path)
    assert not pathlib.Path("sprung").exists()


def test_a_pickle_of_other_things_than_tensors_is_refused(tmp_path):
    import torch

    for content in ([1, 2], {"model": {"norm.weight": "text"}}, torch.ones(3)):
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(ValueError, match="The weights file is damaged, or holds"):
            tiny(classes=3, weights=tmp_path / "a.pth")


def test_a_file_that_may_not_be_read_is_named(exported, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    with pytest.raises(PermissionError, match=r"may not be read: weights='.*gmlp.safetensors'"):
        tiny(classes=3, weights=exported[1])


def test_a_missing_library_is_named_with_the_command_that_installs_it(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r'pip install "keras_gimlp\[weights\]"'):
        tiny(classes=3, weights=exported[1])


# Catalogue


def test_every_entry_is_of_a_model_and_prints_as_a_card():
    assert len(set(weights.list_weights())) == len(catalogue.CATALOGUE)
    for entry in catalogue.CATALOGUE:
        assert entry.model in applications.list_models(kind="image")
        assert weights.find(entry.name) is entry
        card = str(entry)
        for part in (entry.name, entry.model, entry.license, entry.url, str(entry.mean)):
            assert part in card
        assert entry.sha256 in card if entry.sha256 else "none published" in card
        assert all(url.startswith("https://") for url, _ in entry.files)
        names = [url.rpartition("/")[2] for url, _ in entry.files]
        assert all(
            sha256[:8] in name for name, (_, sha256) in zip(names[1:], entry.files[1:], strict=True)
        )


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


# Fetching


class Files(http.server.BaseHTTPRequestHandler):
    """Serves `server.files` by path, slowly, and counts the requests."""

    def do_GET(self):
        content = self.server.files.get(self.path)
        self.server.requests.append(self.path)
        if content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", hashlib.sha256(content).hexdigest())
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if self.command == "GET":
            half = len(content) // 2
            self.wfile.write(content[:half])
            time.sleep(self.server.pause)
            with contextlib.suppress(BrokenPipeError):
                self.wfile.write(b"" if self.server.broken else content[half:])

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        server.files, server.requests, server.pause, server.broken = {}, [], 0.0, False
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


def entry_at(server, content, sha256=None):
    server.files["/gmlp.safetensors"] = content
    sha256 = hashlib.sha256(content).hexdigest() if sha256 is None else sha256
    return dataclasses.replace(
        weights.find("gMLP_S"), files=((f"{server.url}/gmlp.safetensors", sha256),)
    )


@pytest.mark.parametrize("known", [64, 8, 0])
def test_published_weights_are_downloaded_once(known, server, cache, exported):
    content = exported[1].read_bytes()
    entry = entry_at(server, content, sha256=hashlib.sha256(content).hexdigest()[:known])
    for _ in range(2):
        loaded = tiny(classes=3, weights=entry)
        np.testing.assert_array_equal(loaded.get_weights()[0], exported[0].get_weights()[0])
    assert server.requests == ["/gmlp.safetensors"]
    assert [path.name for path in cache.iterdir()] == ["gmlp_s16_224.ra3_in1k.safetensors"]


def test_content_with_another_hash_is_not_kept(server, cache, exported):
    entry = entry_at(server, exported[1].read_bytes(), sha256="10536d42")
    with pytest.raises(ValueError, match="not the published one, or is damaged.*10536d42"):
        tiny(classes=3, weights=entry)
    assert not list(cache.iterdir())


def test_an_interrupted_download_leaves_nothing(server, cache, exported):
    server.broken = True
    with pytest.raises(ConnectionError, match="could not be downloaded.*put it here as"):
        fetching.fetch(entry_at(server, exported[1].read_bytes()))
    assert not list(cache.iterdir())


def test_a_damaged_file_in_the_cache_is_refused(server, cache, exported):
    entry = entry_at(server, exported[1].read_bytes())
    path = fetching.fetch(entry)
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="not the published one, or is damaged"):
        tiny(classes=3, weights=entry)


def test_without_a_network_it_is_said_what_to_put_where(server, cache, exported):
    content = exported[1].read_bytes()
    server.shutdown()
    server.server_close()
    entry = entry_at(server, content)
    with pytest.raises(ConnectionError) as raised:
        tiny(classes=3, weights=entry)
    place = cache / "gmlp_s16_224.ra3_in1k.safetensors"
    assert f"download {entry.url} elsewhere and put it here as {place}." in str(raised.value)
    place.write_bytes(content)
    assert tiny(classes=3, weights=entry)


def test_a_cache_that_cannot_be_written_is_named(server, cache, exported, monkeypatch):
    import tempfile

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(
        PermissionError, match="kept in .*models, which cannot be written.*KERAS_HOME"
    ):
        fetching.fetch(entry_at(server, exported[1].read_bytes()))


def test_two_processes_that_fetch_at_once_do_no_harm(server, cache, exported):
    content = exported[1].read_bytes()
    entry = entry_at(server, content)
    server.pause = 2.0
    code = (
        "import dataclasses, sys\n"
        "from keras_gimlp import weights\n"
        "from keras_gimlp.weights import fetching\n"
        "url, sha256 = sys.argv[1:]\n"
        "entry = dataclasses.replace(weights.find('gMLP_S'), files=((url, sha256),))\n"
        "print(len(fetching.fetch(entry).read_bytes()))\n"
    )
    command = [sys.executable, "-c", code, entry.url, entry.sha256]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [int(process.communicate()[0]) for process in processes] == [len(content)] * 2
    assert [path.name for path in cache.iterdir()] == ["gmlp_s16_224.ra3_in1k.safetensors"]


def test_a_published_file_with_a_hash_in_its_name_is_checked(exported, tmp_path):
    path = tmp_path / "gmlp_s16_224_raa-10536d42.pth"
    weights.export_weights(exported[0], path)
    with pytest.raises(ValueError, match="published is 10536d42"):
        tiny(classes=3, weights=path)


def test_weights_come_from_the_hugging_face_hub(server, exported, tmp_path):
    server.files["/me/mine/resolve/main/model.safetensors"] = exported[1].read_bytes()
    code = (
        "import sys, keras, keras_gimlp\n"
        "for handle in sys.argv[1:]:\n"
        "    try:\n"
        "        model = keras_gimlp.applications.gMLP(\n"
        "            input_shape=(8, 8, 3), depth=2, dim=8, patch_size=4, ffn_dim=16, classes=3,\n"
        "            weights=handle)\n"
        "        print(keras.ops.convert_to_numpy(model.get_layer('norm').gamma)[0])\n"
        "    except (ValueError, ConnectionError) as error:\n"
        "        print(type(error).__name__, error)\n"
    )
    handles = ["hf://me/mine", "hf://me/other", "hf://me", "hf://me/mine/model.safetensors"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_ENDPOINT": server.url}
    environment |= {"HF_HOME": str(tmp_path), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

    def lines(*handles, **more):
        command = [sys.executable, "-c", code, *handles]
        result = subprocess.run(command, env=environment | more, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout.splitlines()

    gamma = str(ops.convert_to_numpy(exported[0].get_layer("norm").gamma)[0])
    found, missing, malformed, again = lines(*handles)
    assert found == again == gamma
    assert missing.startswith("ValueError There is no such file on the Hugging Face hub")
    assert malformed.startswith("ValueError `weights` on the Hugging Face hub must be")
    cached, offline = lines("hf://me/mine", "hf://me/new", HF_HUB_OFFLINE="1")
    assert cached == gamma
    assert offline.startswith("ConnectionError hf://me/new could not be downloaded")
    assert "give its path as `weights`" in offline


# Another image size


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
    from keras_gimlp.weights.resizing import resampling

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
    from keras_gimlp.weights.resizing import resampling

    kernel = smooth((14, 14), rng)
    x = smooth((14, 14), rng)[0]  # a smooth map
    expected = resampling((14, 14), (7, 7)) @ (x @ kernel)
    got = (resampling((14, 14), (7, 7)) @ x) @ resized(kernel, "kernel", (14, 14), (7, 7))
    assert np.corrcoef(got, expected)[0, 1] > 0.99


@pytest.mark.parametrize("family", ["gMLP", "MLPMixer", "ResMLP"])
@pytest.mark.parametrize("kind", [".safetensors", ".keras"])
@pytest.mark.parametrize("shape", [(16, 16, 3), (8, 16, 3)])
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
    for expected, got in zip(exported[0].get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)
