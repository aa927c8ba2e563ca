"""Published files are fetched whole or not at all, and checked."""

import contextlib
import dataclasses
import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from keras import ops

from keras_gimlp import weights
from keras_gimlp.weights import fetching
from tests.conftest import ROOT, once
from tests.families import tiny

pytestmark = once


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
        fetching.fetch_entry(entry_at(server, exported[1].read_bytes()))
    assert not list(cache.iterdir())


def test_a_damaged_file_in_the_cache_is_refused(server, cache, exported):
    entry = entry_at(server, exported[1].read_bytes())
    path = fetching.fetch_entry(entry)
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
        fetching.fetch_entry(entry_at(server, exported[1].read_bytes()))


@pytest.mark.process
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
        "print(len(fetching.fetch_entry(entry).read_bytes()))\n"
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


@pytest.mark.process
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
    handles += ["hf://me/mine@v1.0", "gmlp_s16_224.ra3_in1k"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_ENDPOINT": server.url}
    environment |= {
        "KERAS_HOME": str(tmp_path),
        "HF_HOME": str(tmp_path),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }

    def lines(*handles, **more):
        command = [sys.executable, "-c", code, *handles]
        result = subprocess.run(command, env=environment | more, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout.splitlines()

    for revision in ("main", "v1.0"):
        server.files[f"/timm/gmlp_s16_224.ra3_in1k/resolve/{revision}/model.safetensors"] = b"other"
    server.files["/me/mine/resolve/v1.0/model.safetensors"] = exported[1].read_bytes()
    gamma = str(ops.convert_to_numpy(exported[0].get_layer("norm").gamma)[0])
    loaded, missing, malformed, again, pinned, published = lines(*handles)
    assert loaded == again == pinned == gamma
    assert "/me/mine/resolve/v1.0/model.safetensors" in server.requests
    assert published.startswith("ValueError The weights file is not the published one")
    assert missing.startswith("ValueError There is no such file on the Hugging Face hub")
    assert malformed.startswith("ValueError `weights` on the Hugging Face hub must be")
    cached, offline = lines("hf://me/mine", "hf://me/new", HF_HUB_OFFLINE="1")
    assert cached == gamma
    assert offline.startswith("ConnectionError hf://me/new could not be downloaded")
    assert "give its path as `weights`" in offline


@pytest.fixture
def hub(monkeypatch, exported):
    """Returns the list of what is asked of the Hugging Face hub, which has one file."""
    import huggingface_hub

    asked = []

    def download(repository, file, revision=None):
        asked.append((repository, file, revision))
        return str(exported[1])

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def test_an_entry_can_be_pinned_to_a_revision_of_the_hub(hub, cache):
    entry = dataclasses.replace(
        weights.find("ResMLP_S12"), files=(("hf://timm/a@0123abc/model.safetensors", ""),)
    )
    fetching.fetch_entry(entry)
    assert hub == [("timm/a", "model.safetensors", "0123abc")]
    assert "https://huggingface.co/timm/a/resolve/0123abc/model.safetensors" in str(entry)
    assert "no commit" not in str(entry)


def test_without_torch_an_entry_comes_as_the_file_that_needs_none(hub, cache, monkeypatch):
    monkeypatch.setattr(fetching, "version_of_torch", lambda: ())
    fetching.fetch_entry(weights.find("MLPMixer_B16"))
    assert hub == [("timm/mixer_b16_224.goog_in21k_ft_in1k", "model.safetensors", None)]


def test_a_file_put_into_the_cache_by_hand_is_taken(hub, cache, exported):
    place = cache / "resmlp_12_224.fb_in1k.pth"
    cache.mkdir(parents=True)
    weights.export_weights(exported[0], place)
    assert fetching.fetch_entry(weights.find("ResMLP_S12")) == place
    assert not hub


@pytest.mark.parametrize("handle", ["hf://me", "hf://me/", "hf://me/mine@", "hf://me/mine/"])
def test_a_handle_of_another_form_is_refused(handle):
    with pytest.raises(ValueError, match=r'must be "hf://OWNER/NAME\[@REVISION\]"'):
        tiny(weights=handle)


def test_a_file_on_the_hub_that_cannot_be_read_is_not_downloaded(hub):
    with pytest.raises(ValueError, match="`weights` must be None, a name in"):
        tiny(weights="hf://me/mine/pytorch_model.bin")
    assert not hub
