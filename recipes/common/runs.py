"""The folder of a run: what it was, how it went, and the state from which it goes on.

config.json       the configuration, and for each start the versions, the commit and the hardware
metrics.csv       one row an epoch
checkpoint-N.npz  the complete state after N epochs, replaced as a whole
curves.png  model  summary.json   written when the run is complete, in this order
"""

import csv
import dataclasses
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import subprocess
import sys
import textwrap
import time

import keras
import numpy as np

from recipes.common import devices

PACKAGES = ("keras_gimlp", "keras", "numpy", "tensorflow", "jax", "torch")


def open_run(folder, config):
    """Makes the folder of a run, or checks that the one there is of the same configuration.

    Ends the program, with nothing overwritten, if the folder holds anything else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"The run folder cannot be made: {error}") from error
    wanted = {"backend": keras.backend.backend(), **_plain(config)}
    path = folder / "config.json"
    if path.exists():
        record = json.loads(path.read_text())
        found = record["config"]
        differences = [
            f"{key} is {found.get(key)!r} there and {wanted.get(key)!r} here"
            for key in sorted(found.keys() | wanted.keys())
            if found.get(key) != wanted.get(key)
        ]
        if differences:
            raise SystemExit(
                f"{folder} holds a run of another configuration, which was left as it is: "
                f"{'; '.join(differences)}. Choose another --run_dir."
            )
    elif any(not file.name.endswith(".unfinished") for file in folder.iterdir()):
        raise SystemExit(
            f"{folder} holds files but no run, and was left as it is. Choose another --run_dir."
        )
    else:
        record = {"config": wanted, "starts": []}
    if not is_complete(folder):
        record["starts"].append(_circumstances())
        write_json(path, record)


class Checkpoint(keras.callbacks.Callback):
    """Keeps the complete state of the training after each epoch, as one file.

    Keras' `BackupAndRestore` keeps neither the seeds of the dropouts nor, in one step with the
    weights, the number of the epoch: a run killed in between would repeat an epoch. Here the name
    of the file is the number, and the file appears complete or not at all.

    An epoch whose loss is not finite is not kept, so that the last good state stays.
    """

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            return
        state = [keras.ops.convert_to_numpy(variable) for variable in _state(self.model)]
        unfinished = self.folder / "checkpoint.unfinished"
        with open(unfinished, "wb") as file:
            np.savez(file, *state)
            file.flush()
            os.fsync(file.fileno())
        earlier = _checkpoints(self.folder)
        os.replace(unfinished, self.folder / f"checkpoint-{epoch + 1}.npz")
        for path in earlier.values():
            path.unlink()


def restore(model, folder):
    """Sets the compiled `model` to the last state kept in `folder`.

    Rows of `metrics.csv` that belong to later epochs are removed, since those will be run again.

    Returns:
        The number of epochs that were completed, 0 in a new run.
    """
    epochs = completed_epochs(folder)
    if epochs:
        model.optimizer.build(model.trainable_variables)
        with np.load(_checkpoints(folder)[epochs], allow_pickle=False) as state:
            for variable, value in zip(_state(model), state.values(), strict=True):
                variable.assign(value)
    rows = [row for row in read_metrics(folder) if int(row["epoch"]) < epochs]
    if (folder / "metrics.csv").exists():
        _write_metrics(folder, rows)
    return epochs


def completed_epochs(folder):
    """Returns the number of epochs after which the state in `folder` was kept, 0 for none."""
    return max(_checkpoints(folder), default=0)


class Reseed(keras.callbacks.Callback):
    """Sets PyTorch's own generator before each step, as a function of seed, epoch and step.

    Keras' dropouts draw from it there. It belongs to no model, so no checkpoint holds it, and other
    parts of a program draw from it too.
    """

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if keras.backend.backend() == "torch":
            import torch

            state = np.random.SeedSequence((self.seed, self.epoch, batch)).generate_state(1)
            torch.manual_seed(int(state[0]))


class Report(keras.callbacks.Callback):
    """Adds learning rate, seconds and training examples per second to what each epoch reports.

    Comes before the callbacks that test, unless `fit` does, and before those that write.

    Args:
        unit: What an example is, such as `"images"`.
        per_epoch: Integer, training examples of an epoch.
    """

    def __init__(self, unit, per_epoch):
        super().__init__()
        self.unit = unit
        self.per_epoch = per_epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.begin = time.perf_counter()
        self.trained = None

    def on_test_begin(self, logs=None):
        self.trained = time.perf_counter() - self.begin

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.begin
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        logs["learning_rate"] = float(rate)
        logs[f"{self.unit}_per_second"] = self.per_epoch / (self.trained or seconds)
        logs["seconds"] = seconds


def fit(model, batches, folder, *, seed, unit, batch_size, steps, epochs, callbacks=(), **kwargs):
    """Fits the model from where the folder keeps it, and reports and keeps every epoch there.

    Ends the program if the loss becomes infinite or no number; the last good state is kept.

    Args:
        model: A compiled model, to which `restore` gave its state.
        batches: Function from the number of the first epoch to all batches from there on.
        folder: Path of the run.
        seed: Integer, seed of the run.
        unit: What an example is in the reports, such as `"images"`.
        batch_size: Integer, units of a batch.
        steps: Integer, batches of an epoch.
        epochs: Integer, the number of the last epoch plus 1.
        callbacks: Callbacks that add to the reports or need the end of an epoch.
        **kwargs: Further arguments of `fit`.
    """
    first_epoch = completed_epochs(folder)
    history = model.fit(
        batches(first_epoch),
        epochs=epochs,
        initial_epoch=first_epoch,
        steps_per_epoch=steps,
        callbacks=[
            Reseed(seed),
            Report(unit, steps * batch_size),
            *callbacks,
            keras.callbacks.CSVLogger(folder / "metrics.csv", append=True),
            Checkpoint(folder),
            keras.callbacks.TerminateOnNaN(),
        ],
        shuffle=False,  # the stream is shuffled already
        verbose=1 if sys.stdout.isatty() else 2,
        **kwargs,
    ).history
    if not math.isfinite(history["loss"][-1]):
        raise SystemExit(
            f"The loss became {history['loss'][-1]} in epoch {first_epoch + len(history['loss'])}, "
            f"so the training was stopped. {folder} keeps the last good state, after "
            f"{completed_epochs(folder)} epochs. Try a lower --learning_rate or a smaller "
            "--clip_norm, with another --run_dir."
        )


def finish(folder, *, title, panels, results, parameters, save, model_name):
    """Writes the curves, the model and last the summary, which marks the run as complete.

    Args:
        folder: Path of the run.
        title: Text above the curves.
        panels: The curves: for each panel, by its name, a dictionary from labels to columns of
            `metrics.csv`.
        results: Dictionary from names of the summary to columns, of which the last row is taken.
        parameters: Integer, parameters of the model.
        save: Function that saves the model to a path.
        model_name: Name of the model's file or folder.

    Returns:
        The summary: a dictionary.
    """
    plot_curves(folder, title, panels)
    save(folder / model_name)
    rows = read_metrics(folder)
    rates = {
        column: float(np.median([float(row[column]) for row in rows]))
        for column in rows[-1]
        if column.endswith("_per_second")
    }
    summary = {
        **{name: float(rows[-1][column]) for name, column in results.items()},
        "epochs": len(rows),
        "parameters": parameters,
        "seconds": sum(float(row["seconds"]) for row in rows),
        **rates,
        "backend": keras.backend.backend(),
        "hardware": devices.hardware(),
    }
    write_json(folder / "summary.json", summary)
    return summary


def is_complete(folder):
    """Returns whether the run in `folder` has nothing left to do."""
    return (folder / "summary.json").exists()


def summary(folder):
    """Returns the summary of a complete run."""
    return json.loads((folder / "summary.json").read_text())


def read_metrics(folder):
    """Returns the complete rows of `metrics.csv`, oldest first."""
    path = folder / "metrics.csv"
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [row for row in csv.DictReader(file) if None not in (*row, *row.values())]


def plot_curves(folder, title, panels):
    """Draws columns of `metrics.csv` over the epochs into `curves.png`; see `finish`."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = read_metrics(folder)
    epochs = [int(row["epoch"]) + 1 for row in rows]
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, (name, curves) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for label, column in curves.items():
            axes.plot(epochs, [float(row[column]) for row in rows], label=label, marker=".")
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(textwrap.fill(title, width=100), fontsize="medium")
    figure.savefig(folder / "curves.png", dpi=120)


def markdown_table(columns, rows):
    """Returns a table in Markdown of rows of strings."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write_json(path, content):
    """Writes `content` to `path` as a whole: a reader sees the old file or the new one."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(unfinished, path)


def _state(model):
    """Returns all variables that the course of a training depends on, in a fixed order."""
    metrics = {id(variable) for variable in model.metrics_variables}
    variables = [*model.variables, *model.optimizer.variables]
    return [variable for variable in variables if id(variable) not in metrics]


def _checkpoints(folder):
    return {int(p.stem.split("-")[1]): p for p in folder.glob("checkpoint-*.npz")}


def _write_metrics(folder, rows):
    path = folder / "metrics.csv"
    if not rows:
        path.unlink()
        return
    unfinished = folder / "metrics.unfinished"
    with open(unfinished, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    os.replace(unfinished, path)


def _plain(config):
    """Returns the fields of `config` as JSON gives them back, without the folder itself."""
    fields = dataclasses.asdict(config)
    del fields["run_dir"]
    return json.loads(json.dumps(fields))


def _circumstances():
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": [sys.executable, *sys.orig_argv[1:]],
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "hardware": devices.hardware(),
    }


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit():
    """Returns the commit of this checkout, with `+changes` where files differ from it."""

    def git(*arguments):
        command = ["git", "-C", str(pathlib.Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
