"""The recipe as its users run it: whole runs, continued runs, and mistakes."""

import contextlib
import csv
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gimlp import applications
from recipes import image_classification
from recipes.images import datasets, models
from recipes.program import files
from recipes.training import callbacks, checkpoints, optimizers
from tests.conftest import ROOT, mostly_once, once

SIZES = {"patch_size": 4, "depth": 2, "dim": 8, "ffn_dim": 16}
TINY = ("--model_args", *(f"{name}={value}" for name, value in SIZES.items()))
SHORT = (*TINY, "--epochs", "2", "--steps_per_epoch", "2", "--warmup_steps", "1")


def run(*arguments):
    image_classification.main([str(argument) for argument in arguments])


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def weights(folder):
    return keras.saving.load_model(folder / "model.keras").get_weights()


def assert_same_weights(folder, other):
    for expected, got in zip(weights(folder), weights(other), strict=True):
        np.testing.assert_array_equal(got, expected)


PATCHES = ("patch_size=4", "depth=2", "dim=8")
STAGES = ("depths=(1,1)", "dims=(8,8)", "mlp_ratios=(2,2)", "stem_size=3", "stem_strides=2")
FAMILIES = {
    "gMLP_Ti": (*PATCHES, "ffn_dim=16"),
    "CycleMLP_B1": STAGES,
    "giCycleMLP_B1": STAGES,
    "MLPMixer_S16": (*PATCHES, "tokens_mlp_dim=4", "channels_mlp_dim=16"),
    "ResMLP_S12": PATCHES,
    "AFT_Full_Ti": PATCHES,
    "AFT_Conv_Ti_32_11": (*PATCHES, "num_heads=2", "kernel_size=3"),
}


@once
def test_every_family_is_trained():
    assert {name.partition("_")[0] for name in FAMILIES} == {
        name.partition("_")[0] for name in applications.list_models(kind="image")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", mostly_once(FAMILIES, "gMLP_Ti", "giCycleMLP_B1", "AFT_Conv_Ti_32_11")
)
def test_every_family_trains_by_name(name, tmp_path):
    run("--run_dir", tmp_path, "--model", name, *SHORT, "--model_args", *FAMILIES[name])
    assert json.loads((tmp_path / "summary.json").read_text())["epochs"] == 2


@pytest.mark.parametrize(("choice", "expected"), [("auto", "auto"), ("on", True), ("off", False)])
def test_it_is_compiled_as_was_asked_for(choice, expected, tmp_path, monkeypatch):
    def compile(self, *, jit_compile, **kwargs):
        raise RuntimeError(jit_compile)

    monkeypatch.setattr(keras.Model, "compile", compile)
    with pytest.raises(RuntimeError) as found:
        run("--run_dir", tmp_path, *SHORT, "--jit_compile", choice)
    assert found.value.args == (expected,)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    mostly_once(
        ["digits", "cifar10", "imagenet_gmlp_s", "imagenet_gicyclemlp_b1_10"], "imagenet_gmlp_s"
    ),
)
def test_configuration_runs_for_two_steps(name, tmp_path):
    # On digits and a small model; everything else, the augmentation above all, is as configured.
    config = image_classification.CONFIGURATIONS[name]
    size = next(model for model in FAMILIES if model.partition("_")[0] in config.model)
    kept = {k: v for k, v in config.model_args.items() if k in ("gating", "scope", "inhibition")}
    sizes = (*(f"{name}={value}" for name, value in kept.items()), *FAMILIES[size])
    small = ("--data", "digits", "--image_size", "8", "--batch_size", "4", "--model_args")
    short = ("--epochs", "1", "--steps_per_epoch", "2", "--warmup_steps", "0")
    run("--config", name, *small, *sizes, *short, "--run_dir", tmp_path)
    assert np.isfinite(float(rows(tmp_path)[0]["loss"]))


@pytest.mark.slow
def test_a_run_starts_from_given_weights(finished, tmp_path):
    folder, _ = finished
    # So small a learning rate is 0 in float32.
    no_steps = ("--learning_rate", "1e-60", "--weight_decay", "0", "--epochs", "1")
    run("--run_dir", tmp_path, *SHORT, *no_steps, "--weights", folder / "model.keras")
    assert_same_weights(folder, tmp_path)


@once
def test_a_run_refuses_weights_of_another_model(finished, tmp_path):
    folder, _ = finished
    with pytest.raises(SystemExit, match="cannot be built: .* is of another model than"):
        run(
            "--run_dir",
            tmp_path,
            *SHORT,
            "--weights",
            folder / "model.keras",
            "--model_args",
            *TINY[1:-1],
            "ffn_dim=32",
        )
    with pytest.raises(SystemExit, match="cannot be built: There are no published weights"):
        run("--run_dir", tmp_path, *SHORT, "--weights", "imagenet")


@once
@pytest.mark.parametrize(
    ("model", "weights", "white"),
    [
        ("CycleMLP_B1", None, 1.0),
        ("CycleMLP_B1", "imagenet", (1 - 0.485) / 0.229),
        ("MLPMixer_B16", "mixer_b16_224.miil_in21k", 1.0),
        ("MLPMixer_B16", "runs/model.keras", 1.0),
    ],
)
def test_images_are_scaled_to_what_the_weights_were_trained_on(model, weights, white):
    config = image_classification.Config(model=model, weights=weights)
    pixels = np.full((1, 1, 1, 3), 255, "float32")
    scaled = models.preprocessing(config)(pixels)
    np.testing.assert_allclose(scaled[..., 0], white, rtol=1e-5)


@once
def test_images_are_scaled_as_asked_for():
    config = image_classification.Config(weights="runs/model.keras", preprocessing="CycleMLP_B1")
    scaled = models.preprocessing(config)(np.full((1, 1, 1, 3), 255, "float32"))
    np.testing.assert_allclose(scaled[..., 0], (1 - 0.485) / 0.229, rtol=1e-5)
    with pytest.raises(SystemExit, match="needs images of 3 channels. digits has 1"):
        models.preprocessing(config, channels=1)


@once
@pytest.mark.parametrize("weights", ["somewhere/best.pth", "best.safetensors"])
def test_an_unknown_scale_is_asked_for_instead_of_guessed(weights):
    config = image_classification.Config(weights=weights)
    with pytest.raises(SystemExit, match=f"{weights}.* --preprocessing"):
        models.preprocessing(config)
    known = dataclasses.replace(config, preprocessing="CycleMLP_B1")
    scaled = models.preprocessing(known)(np.full((1, 1, 1, 3), 255, "float32"))
    np.testing.assert_allclose(scaled[..., 0], (1 - 0.485) / 0.229, rtol=1e-5)


@once
def test_configurations_of_imagenet_differ_in_the_model_alone():
    for size in ("Ti", "S", "B"):
        config = image_classification.CONFIGURATIONS[f"imagenet_gmlp_{size.lower()}"]
        assert config.model == f"gMLP_{size}"
        assert dataclasses.replace(config, config="", model="") == dataclasses.replace(
            image_classification.IMAGENET, config="", model=""
        )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Returns the folder of a finished run, and what the run printed."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    with contextlib.redirect_stdout(io.StringIO()) as output:
        run("--run_dir", folder, *SHORT)
    return folder, output.getvalue()


def test_a_run_writes_its_folder(finished):
    folder, output = finished
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "metrics.csv",
        "checkpoint-2.npz",
        "curves.png",
        "model.keras",
        "summary.json",
        "run.lock",
    }
    record = json.loads((folder / "config.json").read_text())
    assert record["config"]["steps_per_epoch"] == 2
    assert record["config"]["backend"] == keras.backend.backend()
    (start,) = record["starts"]
    assert start["versions"]["keras"] == keras.__version__
    assert start.keys() == {"time", "command", "commit", "python", "versions"} | {
        "hardware",
        "devices",
    }

    table = rows(folder)
    assert [row["epoch"] for row in table] == ["0", "1"]
    assert all(float(row["images_per_second"]) > 0 for row in table)
    # 4 updates, of which 1 warms up: after the 2nd of them the cosine has run for a third.
    assert float(table[0]["learning_rate"]) == pytest.approx(2e-3 * 0.75, rel=1e-5)
    assert float(table[1]["learning_rate"]) == pytest.approx(0, abs=1e-9)

    summary = json.loads((folder / "summary.json").read_text())
    assert summary["test_accuracy"] == float(table[-1]["val_accuracy"])
    assert f"Test accuracy {summary['test_accuracy']:.2%} after 2 epochs" in output


def test_optimizer_decays_matrices_and_neither_biases_nor_norms():
    config = image_classification.Config(model_args=SIZES)
    model = models.build(config, datasets.digits())
    model.compile(optimizers.adamw(model, config.learning_rate, config), "mse")
    model.optimizer.build(model.trainable_variables)
    # Far from zero, and without gradients: what changes then is decay alone.
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    zeros = [keras.ops.zeros(v.shape) for v in model.trainable_variables]
    model.optimizer.apply(zeros)
    decayed = {
        v.path.rpartition("/")[2]: float(keras.ops.convert_to_numpy(v).max())
        for v in model.trainable_variables
    }
    expected = {"kernel": 1 - config.learning_rate * config.weight_decay}
    assert decayed == pytest.approx(expected | {"bias": 1.0, "gamma": 1.0, "beta": 1.0}, rel=1e-6)


def test_options_of_the_optimizer_arrive():
    config = image_classification.Config(
        model_args=SIZES, accumulation_steps=4, clip_norm=0.5, weight_decay=0.1
    )
    model = models.build(config, datasets.digits())
    schedule = optimizers.cosine_decay(2e-3, 100, optimizers.count_updates(config, 4000))
    optimizer = optimizers.adamw(model, schedule, config)
    assert optimizer.gradient_accumulation_steps == 4
    assert optimizer.global_clipnorm == 0.5
    assert optimizer.weight_decay == 0.1
    schedule = keras.optimizers.schedules.deserialize(optimizer.get_config()["learning_rate"])
    rates = [float(keras.ops.convert_to_numpy(schedule(step))) for step in (0, 50, 100, 550, 1000)]
    assert rates == pytest.approx([0, 1e-3, 2e-3, 1e-3, 0], abs=1e-6)


@pytest.mark.slow
def test_two_epochs_of_the_default_configuration_work(tmp_path, capsys):
    run("--run_dir", tmp_path, "--epochs", "2", "--model_args", *TINY[1:])
    assert "Warm-up takes 22 of the run's 44 updates, instead of 100." in capsys.readouterr().out
    # The 22nd update is the peak, the 44th the end of the cosine.
    rates = [float(row["learning_rate"]) for row in rows(tmp_path)]
    assert rates == pytest.approx([2e-3, 0], abs=1e-9)


@once
def test_lines_are_plain_where_there_is_no_terminal(finished):
    _, output = finished
    assert "\r" not in output
    assert "\x1b" not in output
    assert output.count("val_accuracy") == 2


@pytest.mark.slow
def test_saved_model_is_the_moving_average_that_was_tested_on_every_image(tmp_path):
    # Batches of 64 leave 40 of the 360 test images for a smaller last batch.
    run("--run_dir", tmp_path / "last", *SHORT)
    run("--run_dir", tmp_path / "average", *SHORT, "--ema", "0.5")
    for last, average in zip(
        weights(tmp_path / "last"), weights(tmp_path / "average"), strict=True
    ):
        assert np.abs(last - average).max() > 1e-5
    images, labels = zip(*[(x.numpy(), int(y)) for x, y in datasets.digits().test], strict=True)
    assert len(images) == 360
    for folder in (tmp_path / "last", tmp_path / "average"):
        model = keras.saving.load_model(folder / "model.keras")
        logits = model.predict(applications.preprocess_input(np.stack(images)), verbose=0)
        summary = json.loads((folder / "summary.json").read_text())
        accuracy = np.mean(logits.argmax(-1) == labels)
        assert summary["test_accuracy"] == pytest.approx(accuracy, abs=1e-6)


@once
def test_a_complete_run_is_not_run_again(finished, capsys):
    folder, _ = finished
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    run("--run_dir", folder, *SHORT)
    assert "This run is complete" in capsys.readouterr().out
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


class Killed(BaseException):
    """Stands for the end of the process."""


MOMENTS = {
    "in an epoch": (callbacks.Report, "on_test_begin"),
    "before the checkpoint": (checkpoints.Checkpoint, "on_epoch_end"),
    "after the last epoch": (files, "plot_curves"),
}
EVERYTHING = (*SHORT, "--epochs", "3", "--flip", "--drop_path_rate", "0.5", "--ema", "0.9",
              "--accumulation_steps", "3")  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    run("--run_dir", folder, *EVERYTHING)
    return folder


def kill_and_continue(moment, folder, options, monkeypatch):
    place, name = MOMENTS[moment]
    original, calls = getattr(place, name), []

    def killed(*arguments, **kwargs):
        calls.append(1)
        if len(calls) == 2 or moment == "after the last epoch":
            raise Killed
        return original(*arguments, **kwargs)

    monkeypatch.setattr(place, name, killed)
    with pytest.raises(Killed):
        run("--run_dir", folder, *options)
    monkeypatch.undo()
    run("--run_dir", folder, *options)


# The raised exception, unlike a real end of the process, leaves the file of the csv open.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("moment", mostly_once(MOMENTS, "in an epoch"))
def test_a_continued_run_is_the_uninterrupted_one(moment, whole, tmp_path, monkeypatch):
    kill_and_continue(moment, tmp_path, EVERYTHING, monkeypatch)
    assert_same_weights(whole, tmp_path)
    expected, got = (
        [{k: v for k, v in row.items() if "second" not in k} for row in rows(folder)]
        for folder in (whole, tmp_path)
    )
    assert [row["epoch"] for row in got] == ["0", "1", "2"]
    assert got == expected
    assert len(json.loads((tmp_path / "config.json").read_text())["starts"]) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_continued_run_keeps_the_loss_scale_of_float16(tmp_path, monkeypatch):
    options = (*SHORT, "--epochs", "3", "--precision", "mixed_float16")
    run("--run_dir", tmp_path / "whole", *options)
    kill_and_continue("in an epoch", tmp_path / "killed", options, monkeypatch)
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.process
@once
def test_a_run_killed_by_the_system_continues(tmp_path):
    options = (*SHORT, "--epochs", "4", "--steps_per_epoch", "8", "--drop_path_rate", "0.2")
    run("--run_dir", tmp_path / "whole", *options)
    command = [sys.executable, "-m", "recipes.image_classification", *options]
    command += ["--run_dir", str(tmp_path / "killed")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while not (tmp_path / "killed" / "checkpoint-1.npz").exists():
        assert process.poll() is None, process.stdout.read().decode()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not files.is_complete(tmp_path / "killed")
    run("--run_dir", tmp_path / "killed", *options)
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")
    assert [row["epoch"] for row in rows(tmp_path / "killed")] == ["0", "1", "2", "3"]


# Mistakes


@once
def test_a_folder_of_another_configuration_is_refused(finished):
    folder, _ = finished
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(
        SystemExit, match="epochs is 2 there and 3 here; seed is 0 there and 1 here"
    ):
        run("--run_dir", folder, *SHORT, "--epochs", "3", "--seed", "1")
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


@once
def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(SystemExit, match="holds files but no run"):
        run("--run_dir", tmp_path, *SHORT)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@once
def test_a_run_killed_before_it_wrote_anything_starts_again(tmp_path):
    (tmp_path / "config.json.unfinished").write_text("{")
    run("--run_dir", tmp_path, *SHORT)
    assert files.is_complete(tmp_path)


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(tmp_path, monkeypatch):
    original = datasets.training_batches

    def poisoned(*arguments):
        numbered = original(*arguments).enumerate()
        return numbered.map(lambda i, xy: (xy[0] * tf.where(i < 3, 1.0, float("nan")), xy[1]))

    monkeypatch.setattr(datasets, "training_batches", poisoned)
    options = (*SHORT, "--epochs", "4", "--run_dir", tmp_path)
    with pytest.raises(SystemExit, match="became nan in epoch 2, .* .completed epochs: 1"):
        run(*options)
    assert [path.name for path in tmp_path.glob("checkpoint*")] == ["checkpoint-1.npz"]
    assert not files.is_complete(tmp_path)
    monkeypatch.undo()
    run(*options)
    assert [row["epoch"] for row in rows(tmp_path)] == ["0", "1", "2", "3"]


@once
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model", "gMLP_X"), "no image model named 'gMLP_X'. Did you mean gMLP_"),
        (("--model_args", "dept=2"), "no argument of gMLP_Ti named 'dept'. Did you mean depth"),
        (("--model_args", "patch_size=3"), "gMLP_Ti cannot be built: `patch_size` must divide"),
        (("--model_args", "depth=two"), "gMLP_Ti cannot be built: `depth` must be a positive"),
        (("--data", "digit"), "no data set named 'digit'. Did you mean digits"),
        (("--batch_size", "2000"), "at most the number of training examples, 1437"),
        (("--epochs", "0"), "--epochs must be at least 1. Received: 0"),
    ],
)
def test_wrong_options_are_explained_and_leave_no_folder(options, message, tmp_path):
    with pytest.raises(SystemExit, match=message):
        run("--run_dir", tmp_path / "run", *options)
    assert not (tmp_path / "run").exists()


@once
def test_a_run_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="The run folder cannot be made or written"):
        run("--run_dir", tmp_path / "file" / "run", *SHORT)
