"""The folder of a run: its lock, its checkpoints, and what happens when it cannot be written."""

import errno
import json
import os
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from recipes.program import command_line, files
from recipes.training import checkpoints, runs
from recipes.training.options import RunOptions
from tests.conftest import everywhere, once

pytestmark = once

X, Y = np.eye(4, dtype="float32"), np.ones((4, 1), "float32")


def build():
    # As `devices.prepare` does, so that the variables have the same names as in a new process.
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    x = keras.layers.Dropout(0.5)(keras.layers.Dense(3, name="hidden")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1, name="output")(x))
    model.compile(keras.optimizers.AdamW(0.1), "mse", run_eagerly=True)
    return model


def train(folder, epochs=3, model=None, seed=0, extra=()):
    """Runs or continues a tiny run, as a recipe does."""
    model = model or build()
    with runs.open_run(folder, RunOptions(seed=seed)) as run:
        run.restore(model)
        run.verbose = 0
        run.fit(model, X, y=Y, epochs=epochs, steps=1, unit="rows", per_step=4, extra=extra)
    return model


@pytest.fixture
def started(tmp_path):
    """Returns the folder of a run that completed 2 epochs."""
    train(tmp_path / "run", epochs=2)
    return tmp_path / "run"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.process
def test_of_two_processes_in_a_folder_one_is_refused_until_the_other_dies(started):
    program = (
        "import filelock, sys\n"
        "lock = filelock.FileLock(sys.argv[1])\n"
        "lock.acquire()\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(started / runs.LOCK)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as other:
        assert other.stdout.readline() == b"locked\n"
        before = contents(started)
        with pytest.raises(SystemExit, match="Another process is training in .*run"):
            train(started)
        assert contents(started) == before
        os.kill(other.pid, signal.SIGKILL)
    train(started)
    assert len(files.read_metrics(started)) == 3


def test_a_folder_is_free_after_a_run_and_after_a_refused_one(started):
    with pytest.raises(SystemExit, match="another configuration"):
        train(started, seed=1)
    train(started)


@everywhere
def test_a_checkpoint_names_every_variable_and_restores_it(started):
    with np.load(started / "checkpoint-2.npz") as state:
        kept = dict(state)
    expected = {"hidden/kernel", "hidden/bias", "output/kernel", "output/bias"}
    assert kept.keys() >= expected | {"adam_w/iteration", "adam_w/hidden_kernel_momentum"}
    assert any("seed_generator" in name for name in kept)
    assert kept["adam_w/iteration"] == 2
    # In another order, which zipping by position would not survive.
    names = sorted(kept, reverse=True)
    np.savez(started / "checkpoint-2.npz", **{name: kept[name] for name in names})
    model = build()
    assert checkpoints.restore(model, started) == 2
    for name, variable in checkpoints.state_of(model).items():
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), kept[name])


def test_variables_of_one_path_are_refused():
    class Twins(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="twins")
            self.parts = [keras.layers.Dense(1, name="a"), keras.layers.Dense(1, name="a")]

        def call(self, x):
            return self.parts[0](x) + self.parts[1](x)

    inputs = keras.Input((1,))
    model = keras.Model(inputs, Twins()(inputs))
    model.compile("sgd")
    with pytest.raises(ValueError, match=r"used more than once: .*a/kernel"):
        checkpoints.state_of(model)


@everywhere
@pytest.mark.parametrize("change", ["shape", "name"])
def test_a_checkpoint_of_another_model_is_refused(change, started):
    path = started / "checkpoint-2.npz"
    with np.load(path) as state:
        kept = dict(state)
    value = kept.pop("output/bias")
    kept["output/bias" if change == "shape" else "other/bias"] = np.zeros(2 * len(value))
    np.savez(path, **kept)
    before = path.read_bytes()
    model = build()
    weights = model.get_weights()
    with pytest.raises(SystemExit, match=r"state of another model.* differ: o[a-z]+/bias"):
        train(started, model=model)
    assert path.read_bytes() == before
    for expected, got in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_a_truncated_checkpoint_is_explained_and_left(kept, started):
    path = started / "checkpoint-2.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    before = path.read_bytes()
    with pytest.raises(SystemExit, match=r"checkpoint-2.npz is damaged, and was left as it is"):
        train(started)
    assert path.read_bytes() == before
    assert len(files.read_metrics(started)) == 2
    path.write_bytes(content)
    train(started)


@pytest.mark.parametrize("content", ["", '{"config": {"see', "[]", '{"config": {}}'])
def test_a_damaged_record_is_explained_and_left(content, started):
    (started / "config.json").write_text(content)
    before = contents(started)
    with pytest.raises(SystemExit, match=r"config.json .* left as it is"):
        train(started)
    assert contents(started) == before


def fail(number):
    def failing(*arguments, **kwargs):
        raise OSError(number, os.strerror(number))

    return failing


@everywhere
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_no_more_keeps_the_last_good_state(number, tmp_path, monkeypatch):
    whole = train(tmp_path / "whole")

    class Full(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                monkeypatch.setattr(np, "savez", fail(number))

    folder = tmp_path / "run"
    with pytest.raises(SystemExit) as stop:
        train(folder, extra=[Full()])
    assert str(folder) in str(stop.value)
    assert os.strerror(number) in str(stop.value)
    assert "completed epochs: 2" in str(stop.value)
    assert not list(folder.glob("*.unfinished"))
    monkeypatch.undo()
    for expected, got in zip(whole.get_weights(), train(folder).get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_folder_that_cannot_be_written_is_explained(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", fail(errno.EROFS))
    with pytest.raises(SystemExit, match="run cannot be written: .*Read-only"):
        train(tmp_path / "run")
    monkeypatch.undo()
    (tmp_path / "run" / runs.LOCK).unlink()
    (tmp_path / "run" / runs.LOCK).mkdir()
    with pytest.raises(SystemExit, match="The run folder cannot be made or written"):
        train(tmp_path / "run")


def test_an_error_of_the_network_is_not_taken_for_one_of_the_disk(tmp_path):
    with pytest.raises(ConnectionError), runs.open_run(tmp_path, RunOptions()):
        raise ConnectionError(errno.ECONNRESET, "reset")


def test_an_interrupted_run_says_how_to_continue(tmp_path, capsys):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 2:
                raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        command_line.run(lambda: train(tmp_path, extra=[Interrupt()]))
    assert stop.value.code == 130
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line == (
        f"Interrupted. The same command continues the run in {tmp_path} (completed epochs: 1)."
    )
    train(tmp_path)
    assert len(files.read_metrics(tmp_path)) == 3


def test_the_record_of_a_run_names_what_it_computed_with(started):
    record = json.loads((started / "config.json").read_text())
    (start,) = record["starts"]
    assert start["versions"].keys() >= {"keras", "keras-hub", "tensorflow"}
    assert start["versions"]["keras"] == keras.__version__
    assert record["config"].keys() == {"backend", "config", "seed", "precision"}


def test_a_complete_run_is_found_without_a_folder_being_made(started, tmp_path):
    assert runs.completed(tmp_path / "none", RunOptions()) is None
    assert not (tmp_path / "none").exists()
    assert runs.completed(started, RunOptions()) is None
    files.write_json(started / "summary.json", {"epochs": 2})
    assert runs.completed(started, RunOptions()) == {"epochs": 2}
    with pytest.raises(SystemExit, match="seed is 0 there and 1 here"):
        runs.completed(started, RunOptions(seed=1))


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = pathlib.Path(tmp_path / "a.json")
    files.write_json(path, {"a": 1})

    def write_half():
        with files.replacing(path) as file:
            file.write(b"half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write_half()
    assert files.read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
