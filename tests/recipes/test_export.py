"""What leaves Keras computes the same, or says why it cannot."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp import applications
from recipes import export
from recipes.deployment import signature, writing
from recipes.deployment.formats import FORMATS
from tests.families import EVERY_FAMILY, images, tiny

BACKEND = keras.backend.backend()
HERE = [name for name, form in FORMATS.items() if BACKEND in form.writers]
EVERY_FORMAT = pytest.mark.parametrize("form", HERE)
ENCODER = {
    **{"vocabulary_size": 97, "num_layers": 1, "num_heads": 2, "hidden_dim": 8},
    **{"intermediate_dim": 16, "max_sequence_length": 40},
}
GMLP = {"vocabulary_size": 97, "depth": 2, "dim": 8, "ffn_dim": 12, "sequence_length": 16}
TEXTS = {
    "giBERT": lambda: applications.giBERT(**ENCODER),
    "giRoBERTa": lambda: applications.giRoBERTa(**ENCODER),
    "giDeBERTaV3": lambda: applications.giDeBERTaV3(**ENCODER),
    "gMLP": lambda: applications.gMLP_MLM(**GMLP),
    "aMLP": lambda: applications.gMLP_MLM(**GMLP, attention_dim=4),
    "gMLP of one length": lambda: applications.gMLP_MLM(**GMLP, spatial="dense"),
    "classifier": lambda: applications.giBERTTextClassifier(
        applications.giBERT(**ENCODER), num_classes=3
    ),
    "masked words": lambda: applications.gMLPMaskedLM(applications.gMLP_MLM(**GMLP)),
    "spans": lambda: applications.SpanExtractor(applications.gMLP_MLM(**GMLP)),
}


@pytest.fixture
def written(tmp_path):
    """Returns a function that writes a model in a format and returns the card."""

    def write(model, form):
        source = export.Config(format=form, output="", model=model.name)
        return writing.write(
            model, FORMATS[form], tmp_path / f"model{FORMATS[form].suffix}", source
        )

    return write


@EVERY_FORMAT
@EVERY_FAMILY
def test_image_models_compute_the_same(family, form, written):
    card = written(tiny(family, classes=5), form)
    assert card["inputs"] == [{"name": "images", "dtype": "float32", "shape": ("batch", 8, 8, 3)}]


@EVERY_FORMAT
@pytest.mark.parametrize("family", ["CycleMLP", "giCycleMLP"])
def test_feature_maps_compute_the_same(family, form, written):
    card = written(tiny(family, feature_maps=True), form)
    assert card["outputs"] == ("P1", "P2")


@EVERY_FORMAT
def test_images_of_every_size_compute_the_same(form, written):
    card = written(tiny("CycleMLP", input_shape=(None, None, 3), classes=5), form)
    assert card["inputs"][0]["shape"] == ("batch", "height", "width", 3)


@EVERY_FORMAT
@pytest.mark.parametrize("name", TEXTS)
def test_text_models_compute_the_same(name, form, written):
    card = written(TEXTS[name](), form)
    (tokens,) = {x["shape"][1] for x in card["inputs"] if x["name"] != "mask_positions"}
    assert tokens == (16 if name == "gMLP of one length" else "tokens")


def test_a_file_that_computes_something_else_is_thrown_away(tmp_path):
    form = FORMATS[HERE[0]]
    read = form.read

    def read_other(path, of):
        compute = read(path, of)
        return lambda inputs: [1.001 * x for x in compute(inputs)]

    with pytest.raises(SystemExit, match="computes something else from the file, by 1.0e-03"):
        writing.write(
            tiny(classes=5),
            dataclasses.replace(form, read=read_other),
            tmp_path / "model",
            export.Config(format=HERE[0], output=""),
        )
    assert not list(tmp_path.iterdir())


def test_a_file_is_written_with_its_card(tmp_path, capsys):
    model = tiny(classes=5)
    model.save(tmp_path / "model.keras")
    name, form = HERE[0], FORMATS[HERE[0]]
    path = tmp_path / f"out{form.suffix}"
    export.main(
        ["--format", name, "--weights", str(tmp_path / "model.keras"), "--output", str(path)]
    )
    assert f"{model.count_params():,} parameters" in capsys.readouterr().out
    card = json.loads((tmp_path / f"{path.name}.json").read_text())
    assert card["format"] == name
    assert card["runtime"] == form.runtime
    assert card["parameters"] == model.count_params()
    assert card["versions"]["keras"] == keras.__version__
    assert all((tmp_path / part).is_file() for part in card["sha256"])
    x = images(4, 8, 8, 3)
    (found,) = form.read(path, signature.signature_of(model))({"images": x})
    np.testing.assert_allclose(found, ops.convert_to_numpy(model(x)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--output a.bin --model gMLP_S", "--output must end in .onnx. Received: a.bin"),
        ("--output no/a.onnx --model gMLP_S", "--output is in a folder that does not exist: no"),
        ("--output a.onnx", "Name the model: --model NAME, --weights FILE.keras or --preset"),
        ("--output a.onnx --model gMLP_X", "There is no model named 'gMLP_X'. Did you mean"),
        ("--output a.onnx --model gMLP_S --weights a.pth", "gMLP_S cannot be built: "),
        ("--output a.onnx --weights a.keras", "--weights cannot be loaded: "),
        ("--output a.onnx --weights a.keras --model gMLP_S", "leave out --model"),
        ("--output a.onnx --preset nowhere", "--preset cannot be loaded: "),
        ("--output a.onnx --preset a --model gMLP_S", "--preset holds a model and its weights"),
        ("--output a.onnx --model gMLP_S --backend jax", "jax cannot write onnx, but torch or"),
    ],
)
@pytest.mark.backends("torch", "tensorflow")
def test_mistakes_end_in_one_sentence(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message):
        export.main(["--format", "onnx", *arguments.split()])
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_overwritten(tmp_path):
    path = tmp_path / f"there{FORMATS[HERE[0]].suffix}"
    path.write_text("mine")
    with pytest.raises(SystemExit, match="is there already, and was left as it is"):
        export.main(["--format", HERE[0], "--output", str(path), "--model", "gMLP_S"])
    assert path.read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    with pytest.raises(SystemExit, match="--output cannot be written: .*Permission denied"):
        writing.write(tiny(), FORMATS[HERE[0]], tmp_path / "a", export.Config(HERE[0], "a"))


def test_a_runtime_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"needs onnx, onnxruntime, onnxscript: .*\[export\]"):
        export.main(["--format", "onnx", "--output", str(tmp_path / "a.onnx")])
