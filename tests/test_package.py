"""What importing needs, and what passes from one backend to another."""

import importlib.util
import inspect
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import keras
import numpy as np
import pytest

import keras_gimlp
from keras_gimlp import applications
from keras_gimlp.weights import find, list_weights
from tests import signatures
from tests.conftest import ROOT, everywhere, once
from tests.families import images, tiny

pytestmark = once

WITH_EXAMPLES = [value for value in vars(keras_gimlp.layers).values() if callable(value)]
WITH_EXAMPLES += [applications.gMLP, applications.CycleMLP, applications.MLPMixer]
WITH_EXAMPLES += [applications.ResMLP, applications.preprocess_input, keras_gimlp.weights.find]
WITH_EXAMPLES += [applications.list_models, keras_gimlp.rematerialize]
BACKENDS = ("tensorflow", "jax", "torch")


def other_backend():
    """Returns the next backend that is installed: in all runs together, each saves for another."""
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    return installed[(installed.index(keras.backend.backend()) + 1) % len(installed)]


def python(code, *arguments, backend=None):
    """Runs `code` in a new process and returns what it prints."""
    environment = os.environ | {"KERAS_BACKEND": backend or keras.backend.backend()}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def run_examples(text):
    """Runs the Python blocks of a text, of which each follows the one before."""
    namespace = {}
    blocks = text.split("```python\n")[1:]
    assert blocks
    for block in blocks:
        lines = block.split("```")[0].splitlines()
        indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
        exec("\n".join(line[indent:] for line in lines), namespace)


@everywhere
@pytest.mark.process
def test_importing_loads_no_other_backend_and_no_recipe_library():
    # Keras itself imports TensorFlow where it is installed, so it is made impossible to find.
    optional = {"tensorflow", "keras_hub", "keras_nlp", "tensorflow_datasets", "sklearn", "tyro"}
    optional -= {keras.backend.backend()}
    python(
        "import sys\n"
        f"sys.modules |= dict.fromkeys({sorted(optional)})\n"
        "import keras_gimlp\n"
        "model = keras_gimlp.applications.gMLP_Ti(depth=1, weights=None)\n"
        "assert model.count_params() > 0\n"
    )


@pytest.mark.process
def test_image_models_are_built_without_docstrings():
    python(
        "import subprocess, sys\n"
        "code = 'from keras_gimlp import applications as a; a.gMLP_Ti(depth=1)'\n"
        "subprocess.run([sys.executable, '-OO', '-c', code], check=True)\n"
    )


@pytest.mark.process
def test_text_models_name_the_extra_that_they_need():
    python(
        "import sys\n"
        "sys.modules |= dict.fromkeys(['keras_hub', 'keras_nlp'])\n"
        "from keras_gimlp import applications\n"
        "from keras_gimlp.applications import *\n"
        "assert gMLP_S is applications.gMLP_S\n"
        "assert 'giBERT_Base' in applications.list_models() and 'giBERT' in dir(applications)\n"
        "try:\n"
        "    applications.giBERT_Base\n"
        "except ImportError as error:\n"
        "    assert 'pip install \"keras_gimlp[nlp]\"' in str(error), error\n"
        "else:\n"
        "    raise SystemExit('not refused')\n"
    )


def test_tab_completion_shows_every_model_and_nothing_else():
    import keras_gimlp.applications.text as text

    text_names = {
        name
        for name, value in vars(text).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert dir(applications) == sorted(text_names | set(applications.__all__))
    assert set(applications.list_models()) < set(dir(applications))
    for name in dir(applications):
        assert callable(getattr(applications, name))
    with pytest.raises(AttributeError, match="has no attribute 'giBERT_Huge'"):
        applications.giBERT_Huge  # noqa: B018


def test_every_public_name_of_a_package_is_exported():
    for package in (keras_gimlp.layers, keras_gimlp.weights):
        public = {
            name
            for name, value in vars(package).items()
            if not name.startswith("_") and not inspect.ismodule(value)
        }
        assert set(package.__all__) == public, package


def test_models_are_listed_by_pattern_kind_and_published_weights():
    images, texts = (applications.list_models(kind=kind) for kind in ("image", "text"))
    assert applications.list_models() == images + texts
    assert applications.list_models("GMLP*", kind="image") == ["gMLP_Ti", "gMLP_S", "gMLP_B"]
    assert applications.list_models("*_MLM_base") == ["gMLP_MLM_Base", "aMLP_MLM_Base"]
    assert applications.list_models("gMLP_?", pretrained=True) == ["gMLP_S"]
    pretrained = applications.list_models(pretrained=True)
    assert set(pretrained) == {find(name).model for name in list_weights()}
    others = applications.list_models(pretrained=False)
    assert sorted(pretrained + others) == sorted(images + texts)
    with pytest.raises(ValueError, match='`kind` must be "image", "text" or None. .*=\'sound\''):
        applications.list_models(kind="sound")


def test_editors_and_type_checkers_know_every_model():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert settings["package-data"]["keras_gimlp"] == ["py.typed", "**/*.pyi"]
    assert (pathlib.Path(keras_gimlp.__file__).parent / "py.typed").is_file()
    # `python -m tests.signatures` writes the stub.
    assert signatures.STUB.read_text() == signatures.render()


@once
def test_links_of_the_readme_are_addresses_or_files_of_the_source_distribution():
    targets = re.findall(r"\]\(([^)]*)\)", (ROOT / "README.md").read_text())
    assert targets
    held = (ROOT / "MANIFEST.in").read_text().split()
    for target in targets:
        assert target.startswith("https://") or target.split("/")[0] in held, target


@once
def test_the_newest_release_in_the_changelog_is_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    heads = re.findall(r"^## \[(.*?)\]", changelog, re.MULTILINE)
    assert heads[:2] == ["Unreleased", keras_gimlp.__version__]


def test_what_is_cited_is_this_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [keras_gimlp.__version__]


@pytest.mark.process
def test_a_model_saved_here_predicts_the_same_on_another_backend(tmp_path):
    model = tiny(classes=3, attention_dim=4, drop_path_rate=0.1)
    x = images(4, 8, 8, 3)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    expected = model.predict(x, verbose=0)
    python(
        "import sys, keras, numpy as np, keras_gimlp\n"
        "folder = sys.argv[1]\n"
        "model = keras.saving.load_model(f'{folder}/model.keras')\n"
        "np.save(f'{folder}/y.npy', model.predict(np.load(f'{folder}/x.npy'), verbose=0))\n",
        tmp_path,
        backend=other_backend(),
    )
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=1e-4, atol=1e-6)


def test_every_public_name_has_a_docstring_with_an_example():
    for public in WITH_EXAMPLES:
        assert "```python" in public.__doc__, public


def test_every_argument_of_a_model_is_described():
    builders = {getattr(applications, name).__wrapped__ for name in applications.list_models()}
    for builder in (*builders, applications.AFT_MLM):
        for name, parameter in inspect.signature(builder).parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY:  # the others are those of Keras
                assert f"\n        {name}: " in builder.__doc__, (builder, name)


@pytest.mark.slow
def test_examples_in_docstrings_and_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # The README sets it: afterwards it is as before.
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    texts = [public.__doc__ for public in WITH_EXAMPLES]
    for text in (*texts, (ROOT / "README.md").read_text()):
        run_examples(text)
