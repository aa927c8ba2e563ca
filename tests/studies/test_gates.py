"""The studies of the gate: levels of inhibition, and looks into encoders while they are trained."""

import csv
import dataclasses
import types

import keras
import numpy as np
import pytest

from keras_gimlp.layers import GateWithInhibition
from recipes import glue
from recipes.program import files, layers_within
from recipes.text import encoders, study
from recipes.training import optimizers
from studies.gates import diagnosis, levels, watching
from tests.conftest import once
from tests.recipes.jobs import shorten_data

SIZES = ("--num_layers", "1", "--num_heads", "2", "--hidden_dim", "8", "--intermediate_dim", "16")
SHORT = (*SIZES, "--epochs", "1", "--steps_per_epoch", "2", "--batch_size", "8")


@pytest.fixture(autouse=True, scope="module")
def less_data():
    with pytest.MonkeyPatch.context() as patch:
        shorten_data(patch.setattr)
        yield


def run(study, folder, *arguments):
    study.main(["--run_dir", str(folder), *SHORT, *map(str, arguments)])


@once
def test_levels_and_activations_vary_one_at_a_time(tmp_path):
    options = ("--inhibition", "0", "0.3", "--activation", "gelu", "relu")
    run(levels, tmp_path, *options)
    table = files.read_json(tmp_path / "results.json")
    assert [(x["inhibition"], x["activation"]) for x in table] == [
        (None, None),
        (0.0, "gelu"),
        (0.3, "gelu"),
        (0.3, "relu"),
    ]
    # A gate with ReLU whose kernel starts at zero never learns.
    runs = [files.read_json(path)["config"] for path in tmp_path.glob("giBERT*/config.json")]
    assert [run["gate_stddev"] for run in runs] == [0.02] * 3
    assert (tmp_path / "levels.png").stat().st_size > 10_000


@once
def test_gates_are_followed_while_they_are_trained(tmp_path):
    arguments = ("--model", "BERT", "giBERT", "--every", "2", "--steps_per_epoch", "4")
    run(diagnosis, tmp_path, *arguments, "--num_layers", 2, "--learning_rate", "1e-2")
    looks = {}
    for folder in tmp_path.glob("*BERT*"):
        with open(folder / "gates.csv", newline="") as file:
            looks[folder.name[:2]] = list(csv.DictReader(file))
        assert (folder / "gates.png").stat().st_size > 10_000
        assert "every" not in files.read_json(folder / "config.json")["config"]  # as with glue
    plain, gated = looks["BE"], looks["gi"]
    for rows in looks.values():
        assert [(x["step"], x["layer"]) for x in rows] == [(s, n) for s in "024" for n in "01"]
        assert all(0.9 < float(x["entropy"]) <= 1.00001 for x in rows)
        assert [bool(x["gradient_attention"]) for x in rows] == [False] * 2 + [True] * 4
    assert not any(x["gate_mean"] or x["gradient_gate"] for x in plain)
    assert all(float(x["gate_least"]) == float(x["gate_greatest"]) == 1 for x in gated[:2])
    for x in gated[2:]:
        order = ("gate_least", "gate_5", "gate_50", "gate_95", "gate_greatest")
        values = [float(x[name]) for name in order]
        assert values == sorted(values)
        assert values[0] < values[-1]
        assert 0 < float(x["gradient_gate"]) < float(x["gradient_attention"])


@once
def test_a_continued_run_keeps_the_looks_before_it(tmp_path):
    path = tmp_path / "gates.csv"
    watch = watching.GateWatch({}, 2, path)
    watch.write("w", [{"step": step, "layer": 0, "entropy": 0.5} for step in (0, 2, 4, 6)])
    optimizer = types.SimpleNamespace(iterations=keras.ops.convert_to_tensor(4))
    watch.set_model(types.SimpleNamespace(optimizer=optimizer))
    watch.on_train_begin()
    with open(path, newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0", "2", "4"]


@once
def test_a_model_without_attention_is_not_followed(tmp_path):
    with pytest.raises(SystemExit, match="no encoder with attention named 'gMLP'"):
        run(diagnosis, tmp_path, "--model", "gMLP")


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_statistics_of_gates_leave_out_padding(precision):
    keras.config.set_dtype_policy(precision)
    config = dataclasses.replace(glue.Config(), gate_stddev=0.5)
    setting = study.Setting("giBERT", 0.3, "gelu")
    encoder = encoders.load(config, setting, ["some words to begin with"])
    encoder.backbone.compile("adam")
    ids = np.random.default_rng(0).integers(5, size=(2, 12))
    mask = np.arange(12) < [[4], [6]]
    inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": mask.astype("int32")}
    gates = layers_within.find(encoder.backbone, GateWithInhibition)
    calls = layers_within.record(encoder.backbone, inputs, gates)
    rows = watching.look(encoder.backbone, inputs)
    for row, ((_, values),) in zip(rows, calls, strict=True):
        assert values.shape == (2, 12, 2 * 64)
        values = np.concatenate([values[0, :4], values[1, :6]])
        assert values.dtype == "float32"
        assert values.std() > 0.01
        assert 0.5 < values.mean() < 1.5
        assert row["gate_mean"] == pytest.approx(values.mean())
        assert row["gate_5"] == pytest.approx(np.percentile(values, 5))


def test_gradients_are_the_ones_that_the_optimizer_was_given():
    variables = [keras.Variable(np.zeros(3, "float32")) for _ in range(2)]
    model = types.SimpleNamespace(trainable_variables=[])
    optimizer = optimizers.adamw(model, 1e-3, dataclasses.replace(glue.Config(), clip_norm=None))
    optimizer.build(variables)
    assert watching.root_mean_square(optimizer, variables) == ""
    for _ in range(3):
        optimizer.apply([keras.ops.full((3,), x) for x in (3.0, 4.0)], variables)
    assert watching.root_mean_square(optimizer, variables[:1]) == pytest.approx(3, rel=1e-4)
    float16 = keras.optimizers.LossScaleOptimizer(optimizer)
    for each in (optimizer, float16):
        assert watching.root_mean_square(each, variables) == pytest.approx(12.5**0.5, rel=1e-4)


@once
def test_entropy_is_a_mean_over_tokens_without_padding():
    mask = np.array([[True, True, False]])
    shares = np.array([[[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.3, 0.3, 0.4]]]])
    assert watching.entropy(shares, mask) == pytest.approx(0.5)
