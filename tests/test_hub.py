"""Models go to the Hugging Face hub and come back, by Keras' and KerasHub's own ways.

The hub is a folder here, with the functions of `huggingface_hub` that the two call.
"""

import filecmp
import pathlib
import shutil
import types

import huggingface_hub
import keras
import keras_hub
import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from keras import ops

from keras_gimlp import applications
from tests.conftest import once
from tests.families import FAMILIES, images, run, tiny
from tests.test_package import other_backend, python
from tests.test_saved_files import SAVED, TEXTS, VALUES, assert_equal, feed

NAME = "me/mine"
HANDLE = f"hf://{NAME}"
pytestmark = [
    once,
    pytest.mark.slow,
    # As in `test_saved_files`.
    pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Returns the folder in which the hub keeps the repository `NAME`."""
    root = tmp_path / "hub"

    def create_repo(repo_id, exist_ok=False):
        (root / repo_id).mkdir(parents=True, exist_ok=exist_ok)
        return types.SimpleNamespace(repo_id=repo_id)

    def upload_folder(repo_id, folder_path, commit_message=None):
        shutil.copytree(folder_path, root / repo_id, dirs_exist_ok=True)

    def file_exists(repo_id, filename):
        return (root / repo_id / filename).exists()

    def hf_hub_download(repo_id, filename, revision=None):
        if not file_exists(repo_id, filename):
            raise LocalEntryNotFoundError(f"{repo_id} has no {filename}")
        return str(root / repo_id / filename)

    def snapshot_download(repo_id, library_name=None, library_version=None):
        return str(root / repo_id)

    # Where there is pydot, Keras draws the model too, which Graphviz is needed for.
    monkeypatch.setattr(keras.src.saving.saving_lib, "check_pydot", lambda: False)
    functions = (create_repo, upload_folder, file_exists, hf_hub_download, snapshot_download)
    for function in functions:
        monkeypatch.setattr(huggingface_hub, function.__name__, function)
        if hasattr(huggingface_hub.HfApi, function.__name__):
            monkeypatch.setattr(huggingface_hub.HfApi, function.__name__, staticmethod(function))
    return root / NAME


def files(folder):
    """Returns the paths of the files below a folder, as text."""
    return {str(x.relative_to(folder)) for x in pathlib.Path(folder).rglob("*") if x.is_file()}


@pytest.mark.parametrize(
    ("family", "top"),
    [
        *((family, {"classes": 3}) for family in FAMILIES),
        ("CycleMLP", {"include_top": False, "feature_maps": True}),
        ("gMLP", {"include_top": False, "feature_maps": [0]}),
    ],
)
def test_a_saved_image_model_is_whole_on_the_hub(family, top, hub):
    model = tiny(family, **top)
    x = images(2, 8, 8, 3)
    expected = keras.tree.flatten(run(model, x))
    model.save(HANDLE)
    assert files(hub) == {"README.md", "config.json", "metadata.json", "model.weights.h5"}
    loaded = keras.saving.load_model(HANDLE)
    assert type(loaded) is type(model)
    filled = tiny(family, weights=f"{HANDLE}/model.weights.h5", **top)
    for other in (loaded, filled):
        for got, value in zip(keras.tree.flatten(run(other, x)), expected, strict=True):
            np.testing.assert_allclose(got, value, rtol=1e-5, atol=1e-6)


def test_a_trained_image_model_goes_on_training_from_the_hub(hub):
    model = tiny(classes=3)
    x, y = images(6, 8, 8, 3), np.arange(6) % 3
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(x, y, verbose=0, shuffle=False)
    model.save(HANDLE)
    losses = [
        m.fit(x, y, verbose=0, shuffle=False).history["loss"]
        for m in (model, keras.saving.load_model(HANDLE))
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.parametrize(
    ("preset", "task"),
    [
        ("giBERT_classifier", "giBERTTextClassifier"),
        ("giDeBERTaV3_classifier", "giDeBERTaV3TextClassifier"),
        ("aMLP_text", "gMLPMaskedLM"),
        ("giBERT_tagger", "TokenClassifier"),
    ],
)
def test_an_uploaded_preset_is_whole_on_the_hub(preset, task, hub, tmp_path):
    local = tmp_path / "preset"
    shutil.copytree(SAVED / preset, local)
    keras_hub.upload_preset(HANDLE, str(local))
    assert files(hub) == files(local) | {"README.md"}
    assert filecmp.cmpfiles(local, hub, files(local), shallow=False)[1:] == ([], [])
    loaded = getattr(applications, task).from_preset(HANDLE)
    assert type(loaded) is getattr(applications, task)
    if task.endswith("TextClassifier"):  # with its tokenizer
        assert_equal(loaded.predict(TEXTS, verbose=0), preset)
    else:
        logits = f"{preset}_logits" if task == "gMLPMaskedLM" else preset
        assert_equal(loaded(feed(loaded)), logits)
    backbone = getattr(applications, type(loaded.backbone).__name__).from_preset(HANDLE)
    for got, value in zip(backbone.weights, loaded.backbone.weights, strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (got, value)))


@pytest.mark.process
def test_a_new_process_on_another_backend_loads_both_kinds(hub, tmp_path):
    tiny("giCycleMLP", classes=3).save(HANDLE)
    x = images(2, 8, 8, 3)
    np.save(tmp_path / "x.npy", x)
    expected = run(keras.saving.load_model(HANDLE), x)
    python(
        "import sys, huggingface_hub, numpy as np\n"
        "image_model, preset, folder = sys.argv[1:]\n"
        "huggingface_hub.snapshot_download = lambda **kwargs: image_model\n"
        "huggingface_hub.hf_hub_download = lambda repo_id, filename: f'{preset}/{filename}'\n"
        "import keras, keras_gimlp\n"
        "model = keras.saving.load_model('hf://me/mine')\n"
        "x = np.load(f'{folder}/x.npy')\n"
        "np.save(f'{folder}/images.npy', model.predict(x, verbose=0))\n"
        "task = keras_gimlp.applications.giBERTTextClassifier.from_preset('hf://me/mine')\n"
        f"np.save(f'{{folder}}/texts.npy', task.predict({TEXTS!r}, verbose=0))\n",
        *(hub, SAVED / "giBERT_classifier", tmp_path),
        backend=other_backend(),
    )
    np.testing.assert_allclose(np.load(tmp_path / "images.npy"), expected, rtol=1e-4, atol=1e-6)
    texts = np.load(tmp_path / "texts.npy")
    np.testing.assert_allclose(texts, VALUES["giBERT_classifier"], rtol=1e-4, atol=1e-5)
