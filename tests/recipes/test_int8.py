"""Files with products of integers keep the score of the model, or are not left."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tokenizers
from PIL import Image
from sklearn.metrics import matthews_corrcoef

from recipes import glue, image_classification
from recipes.export import __main__ as export
from recipes.export import calibration
from recipes.export.formats import FORMATS
from recipes.export.signature import signature_of
from recipes.text import synthetic
from recipes.trained import loading
from studies.speed import __main__ as benchmark
from studies.speed import exported

pytestmark = pytest.mark.backends("torch")
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Returns the folder of a run of `image_classification`."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    image_classification.main(
        [*("--epochs", "3", "--learning_rate", "0.01", "--warmup_steps", "4"), *to(folder)]
    )
    return folder


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """Returns the folder of a run of `glue`."""
    folder = tmp_path_factory.mktemp("runs") / "sentences"
    sizes = "--hidden_dim", "16", "--num_layers", "1", "--steps_per_epoch", "2"
    glue.main(["--model", "giBERT", "--epochs", "1", *sizes, *to(folder)])
    return next(folder.glob("*seed0"))


def to(folder):
    return "--run_dir", str(folder)


def write(path, *options):
    export.main(["--output", str(path), "--quantize", "int8", "--most_lost", "10", *options])
    return json.loads(path.with_name(f"{path.name}.json").read_text())


@pytest.mark.parametrize("name", SUFFIXES)
def test_images_keep_their_score(name, digits, tmp_path, capsys):
    path = tmp_path / f"small{SUFFIXES[name]}"
    card = write(path, "--format", name, "--weights", str(digits / "model.keras"))
    trained = json.loads((digits / "summary.json").read_text())
    before, after = (card["quantized"][key]["accuracy"] for key in ("before", "after"))
    assert before == pytest.approx(trained["test_accuracy"], abs=1 / 360)
    assert after == pytest.approx(before, abs=0.05)
    said = capsys.readouterr().out
    assert f"accuracy {before:.2%}, then {after:.2%}" in said


def test_texts_keep_their_score(sentences, tmp_path):
    path = tmp_path / "small.onnx"
    card = write(path, "--format", "onnx", "--preset", str(sentences / "preset"))
    trained = json.loads((sentences / "summary.json").read_text())
    before = card["quantized"]["before"]
    assert before == {"matthews": pytest.approx(trained["matthews"], abs=1e-6)}
    assert card["quantized"]["after"].keys() == {"matthews"}


def test_texts_become_the_same_tokens_elsewhere(sentences, tmp_path):
    path, preset = tmp_path / "cola.onnx", str(sentences / "preset")
    export.main(["--format", "onnx", "--preset", preset, "--output", str(path)])
    card = json.loads(path.with_name("cola.onnx.json").read_text())
    steps = card["preprocessing"]
    words = f"{steps['files']}/vocabulary.txt"
    assert words in card["sha256"]
    elsewhere = tokenizers.BertWordPieceTokenizer(
        str(tmp_path / words), lowercase=steps["lowercase"], strip_accents=False
    )
    assert elsewhere.encode(steps["example"]["text"]).ids == steps["example"]["token_ids"]
    assert steps["special_tokens"].items() <= elsewhere.get_vocab().items()
    texts = synthetic.acceptability(20, seed=3)[0]
    x = loading.from_preset(preset).preprocessor(texts)
    for row, mask, text in zip(x["token_ids"], x["padding_mask"], texts, strict=True):
        assert elsewhere.encode(text).ids == row[mask > 0].tolist()


def test_the_score_of_texts_is_that_of_the_task(sentences):
    task = loading.from_preset(sentences / "preset")
    source = export.Config("onnx", "a.onnx", preset=str(sentences / "preset"))
    data = calibration.load(task, source, signature_of(task))
    seen = []

    def longer_is_right(x):
        seen.append(x["padding_mask"].sum(-1))
        return [np.stack([np.zeros(len(seen[-1])), seen[-1] - 8.5], axis=-1)]

    found = data.score(longer_is_right)
    texts, labels = synthetic.acceptability(300, seed=1)
    lengths = task.preprocessor(texts)["padding_mask"].sum(-1)
    np.testing.assert_array_equal(np.concatenate(seen), lengths)
    assert found == {"matthews": pytest.approx(matthews_corrcoef(labels, lengths > 8.5))}
    examples = [*data.examples()]
    assert sum(len(x["token_ids"]) for x in examples) == calibration.EXAMPLES
    assert all(x["token_ids"].dtype == "int32" for x in examples)


def test_every_product_of_weights_is_of_integers(digits, tmp_path):
    import onnx

    path = tmp_path / "small.onnx"
    write(path, "--format", "onnx", "--weights", str(digits / "model.keras"))
    graph = onnx.load(path).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    products = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    # Patches; expansion, tokens and contraction of four blocks; classes.
    assert len(products) == 1 + 4 * 3 + 1
    for node in products:
        assert [makers[name] for name in node.input[:2]] == ["DequantizeLinear"] * 2
    # The four spatial matrices are repeated for each image first.
    stored = [x for x in graph.initializer if x.data_type == onnx.TensorProto.INT8]
    assert sum(len(x.dims) > 1 for x in stored) == len(products) - 4


def test_calibration_takes_training_images_as_the_model_is_given_them(digits):
    model = keras.saving.load_model(digits / "model.keras")
    of = signature_of(model)
    source = export.Config("onnx", "a.onnx", weights=str(digits / "model.keras"))
    data = calibration.load(model, source, of)
    first, again = ([*data.examples()] for _ in range(2))
    assert sum(len(x["images"]) for x in first) == calibration.EXAMPLES
    assert first[0]["images"].shape == (calibration.BATCH, 8, 8, 1)
    assert np.min(first[0]["images"]) == -1
    assert np.max(first[0]["images"]) == 1
    np.testing.assert_array_equal(first[-1]["images"], again[-1]["images"])


def test_a_file_that_lost_too_much_is_thrown_away(digits, tmp_path, monkeypatch):
    def spoil(source, target, examples):
        target.write_bytes(source.read_bytes())

    scores = iter([{"accuracy": 0.9}, {"accuracy": 0.79}])
    data = calibration.Calibration(lambda: iter([]), lambda compute: next(scores))
    monkeypatch.setattr(calibration, "load", lambda *args: data)
    spoiled = dataclasses.replace(FORMATS["onnx"], quantizer=spoil)
    monkeypatch.setitem(FORMATS, "onnx", spoiled)
    with pytest.raises(SystemExit, match=r"int8 loses 11.00 points of the accuracy of 90.00%"):
        write(tmp_path / "small.onnx", "--format", "onnx", "--weights", str(digits / "model.keras"))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_quantized_is_told(digits, tmp_path):
    model = (digits / "model.keras").read_bytes()
    (tmp_path / "alone.keras").write_bytes(model)
    alone = "in whose folder --weights or --preset must lie, or on a folder of --photos"
    with pytest.raises(SystemExit, match=alone):
        write(tmp_path / "a.onnx", "--format", "onnx", "--weights", str(tmp_path / "alone.keras"))
    (tmp_path / "config.json").write_text('{"config": {"masked": 0.15}}')
    with pytest.raises(SystemExit, match="for models of image_classification and glue"):
        write(tmp_path / "a.onnx", "--format", "onnx", "--weights", str(tmp_path / "alone.keras"))
    with pytest.raises(SystemExit, match="--quantize is for onnx and openvino. Received: --format"):
        write(tmp_path / "a.pt2", "--format", "torch", "--model", "gMLP_S")
    tiny = "--format", "onnx", "--model", "gMLP_Ti", "--model_args", "depth=1"
    with pytest.raises(SystemExit, match=alone):
        write(tmp_path / "a.onnx", *tiny)
    with pytest.raises(SystemExit, match=r"--photos must be a folder of photos \(.bmp"):
        write(tmp_path / "a.onnx", *tiny, "--photos", str(tmp_path))


def test_a_model_without_a_run_is_calibrated_on_photos(tmp_path, capsys):
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for i, name in enumerate(("a.png", "more/b.jpg")):
        pixels = np.random.default_rng(i).integers(256, size=(40, 60 + i, 3)).astype("uint8")
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    sizes = "--model_args", "depth=1", "dim=8", "ffn_dim=16", "input_shape=(32,32,3)"
    model = "--format", "openvino", "--model", "gMLP_Ti", *sizes
    card = write(tmp_path / "a.xml", *model, "--photos", str(tmp_path / "photos"))
    assert card["quantized"] == {"to": "int8", "before": {}, "after": {}}
    assert "what it loses was not measured" in capsys.readouterr().out


def test_files_are_measured_beside_the_models(digits, tmp_path):
    """ONNX Runtime in floats and in integers, OpenVINO in floats of 32 and 16 bits."""
    paths = [tmp_path / name for name in ("a.onnx", "b.onnx", "c.xml")]
    weights = "--weights", str(digits / "model.keras")
    export.main(["--format", "onnx", "--output", str(paths[0]), *weights])
    write(paths[1], "--format", "onnx", *weights)
    export.main(["--format", "openvino", "--output", str(paths[2]), *weights])
    options = ["--models", "gMLP_Ti(depth=1, dim=8, ffn_dim=16)", "--image_sizes", "32"]
    options += ["--precisions", "float32", "mixed_bfloat16", "--modes", "inference"]
    options += ["--backends", "torch", "--no_peers", "--rounds", "1", "--matrix_size", "32"]
    files = [str(path) for path in paths]
    benchmark.main([*options, "--files", *files, "--run_dir", str(tmp_path / "run")])
    rows = json.loads((tmp_path / "run" / "benchmark.json").read_text())["rows"]
    found = [
        (row["label"], row["group"].split(", ")[2], row["size"]) for row in rows if row["source"]
    ]
    assert found == [
        ("a.onnx, onnxruntime, float32", "float32", 8),
        ("c.xml, openvino, float32", "float32", 8),
        ("b.onnx, onnxruntime, int8", "mixed_bfloat16", 8),
        ("c.xml, openvino, mixed_bfloat16", "mixed_bfloat16", 8),
    ]
    assert all(row["examples_per_second"] > 0 for row in rows)


def test_files_without_a_card_are_refused(tmp_path):
    with pytest.raises(SystemExit, match="--files takes onnx and openvino files of recipes.export"):
        exported.card_of(tmp_path / "a.onnx")
    (tmp_path / "a.tflite.json").write_text('{"format": "litert", "quantized": null}')
    with pytest.raises(SystemExit, match="KeyError: 'litert'"):
        exported.card_of(tmp_path / "a.tflite")
