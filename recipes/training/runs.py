"""The folder of a run: what it was, how it went, and the state from which it goes on.

config.json       the configuration, and for each start the versions, the commit and the hardware
metrics.csv       one row an epoch
checkpoint-N.npz  the complete state after N epochs, replaced as a whole
curves.png  model  summary.json   written when the run is complete, in this order
run.lock          held by the process that trains, and released by the system when that ends

Of several processes that train together, the first alone reads and writes the folder.
"""

import contextlib
import dataclasses
import errno
import json
import math
import pathlib
import sys

import filelock
import keras
import numpy as np

from recipes.program import files, machine
from recipes.training import callbacks, checkpoints, devices, distribution

PACKAGES = ("keras_gimlp", "keras", "keras-hub", "numpy", "tensorflow", "jax", "torch")
LOCK = "run.lock"
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


def folder_of(config, prefix=""):
    """Returns the folder of a run: the one that is asked for, or one named after what is run."""
    backend = keras.backend.backend()
    name = f"{prefix}{config.config}-{config.model}-{backend}-seed{config.seed}"
    return pathlib.Path(config.run_dir or f"runs/{name}")


def open_run(folder, config):
    """Returns the `Run` in `folder`, newly made or to be continued. Use it in a `with` statement.

    Ends the program, with nothing overwritten, if the folder holds a run of another configuration
    or anything else, or if another process trains in it.
    """
    return Run(folder, config)


def completed(folder, config):
    """Returns the summary of a complete run of this configuration, `None` if there is none.

    It makes no folder. Ends the program if the folder holds a run of another configuration.
    """

    def read():
        if not files.is_complete(folder):
            return None
        _check_configuration(folder, config)
        return files.read_json(folder / "summary.json")

    return distribution.from_first(read)


class Run:
    """A run in its folder; see `open_run`. It goes on at `first_epoch`."""

    def __init__(self, folder, config):
        self.folder = folder
        self.seed = config.seed
        self.first_epoch = 0
        self.verbose = 1 if sys.stdout.isatty() else 2  # a progress bar, or plain lines
        self.log = None
        self.lock = filelock.FileLock(folder / LOCK, timeout=0)
        distribution.from_first(lambda: self._enter(config))

    def _enter(self, config):
        """Takes the folder and records the start, or ends the program."""
        folder = self.folder
        path = folder / "config.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            names = {file.name for file in folder.iterdir()} - {LOCK}
            # A process that was killed at its start leaves unfinished files behind.
            if not path.exists() and not all(name.endswith(".unfinished") for name in names):
                raise SystemExit(
                    f"{folder} holds files but no run, and was left as it is. Choose another "
                    "--run_dir."
                )
            self.lock.acquire()
        except filelock.Timeout as error:
            raise SystemExit(
                f"Another process is training in {folder}. Wait until it ends, or choose another "
                "--run_dir."
            ) from error
        except OSError as error:
            raise SystemExit(f"The run folder cannot be made or written: {error}") from error
        try:
            if path.exists():
                record = _check_configuration(folder, config)
            else:
                record = {"config": _plain(config), "starts": []}
            start = machine.circumstances(PACKAGES) | {"hardware": devices.hardware()}
            record["starts"].append(start | {"devices": distribution.describe()})
            files.write_json(path, record)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if self.log is not None and self.log.csv_file is not None:
            with contextlib.suppress(OSError):  # as on a full disk, which is told below
                self.log.csv_file.close()
        self.lock.release()
        if isinstance(error, KeyboardInterrupt):
            error.add_note(
                f"The same command continues the run in {self.folder} (completed epochs: "
                f"{self.completed_epochs})."
            )
        # An error in writing to an open file carries no name.
        if isinstance(error, OSError) and (
            error.errno in DISK or str(error.filename).startswith(str(self.folder))
        ):
            raise SystemExit(
                f"{self.folder} cannot be written: {error}. The same command continues the run "
                f"from its last good state (completed epochs: {self.completed_epochs})."
            ) from error

    @property
    def completed_epochs(self):
        """The number of epochs after which the state was kept."""
        return checkpoints.completed_epochs(self.folder)

    def restore(self, model):
        """Sets the compiled `model` to the last state that was kept; returns its number of epochs.

        Rows of `metrics.csv` that belong to later epochs are removed, since those will be run
        again.
        """
        distribution.check(model)
        self.first_epoch = checkpoints.restore(model, self.folder)
        if not distribution.process():
            rows = files.read_metrics(self.folder)
            rows = [row for row in rows if int(row["epoch"]) < self.first_epoch]
            files.write_metrics(self.folder, rows)
        return self.first_epoch

    def fit(self, model, batches, *, epochs, steps, unit, per_step, extra=(), **kwargs):
        """Trains the restored `model` to the end, and reports and keeps every epoch in the folder.

        `batches` begin at `first_epoch`, shuffled. A step is a batch of `per_step` examples, which
        the reports call `unit`. `extra` callbacks add to the reports or need the end of an epoch;
        `**kwargs` are further arguments of `keras.Model.fit`.
        """
        history = model.fit(
            batches,
            initial_epoch=self.first_epoch,
            epochs=epochs,
            steps_per_epoch=steps,
            callbacks=self.callbacks(unit, steps * per_step, extra),
            shuffle=False,  # the stream is shuffled already
            verbose=self.verbose,
            **kwargs,
        )
        self.check(history)

    def callbacks(self, unit, per_epoch, extra=()):
        """Returns the callbacks that report and keep every epoch in the folder."""
        if not distribution.process():
            self.log = keras.callbacks.CSVLogger(self.folder / "metrics.csv", append=True)
        alone = distribution.processes() == 1
        return [
            *([] if alone else [callbacks.Together()]),
            callbacks.Reseed(self.seed),
            callbacks.Report(unit, per_epoch),
            *extra,
            *([self.log] if self.log else []),
            checkpoints.Checkpoint(self.folder),
            keras.callbacks.TerminateOnNaN() if alone else callbacks.StopOnNaN(),
        ]

    def check(self, history):
        """Ends the program if the loss became infinite or no number; the last state is kept."""
        loss = history.history["loss"][-1]
        if not math.isfinite(loss):
            raise SystemExit(
                f"The loss became {loss} in epoch {history.epoch[-1] + 1}, so training was "
                f"stopped. {self.folder} keeps the last good state (completed epochs: "
                f"{self.completed_epochs}). Try a lower --learning_rate or a smaller --clip_norm, "
                "with another --run_dir."
            )

    def finish(self, *, title, panels, results, parameters, save, model_name):
        """Writes the curves, the model and last the summary, which marks the run as complete.

        `panels` are the curves: for each panel, by its name, a dictionary from labels to columns of
        `metrics.csv`. `results` is a dictionary from names of the summary to columns, of which the
        last row is taken. `save` saves the model, of so many `parameters`, to a path that ends in
        `model_name`.
        """
        if distribution.process():
            return distribution.broadcast(None)
        files.plot_curves(self.folder, title, panels)
        save(self.folder / model_name)
        rows = files.read_metrics(self.folder)
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
            "devices": distribution.describe(),
        }
        files.write_json(self.folder / "summary.json", summary)
        return distribution.broadcast(summary)


def _check_configuration(folder, config):
    """Returns the record of the run in `folder`, or ends the program if it is another's."""
    path = folder / "config.json"
    record = files.read_json(path)
    try:
        kept, _ = record["config"], record["starts"]
    except (KeyError, TypeError) as error:
        raise SystemExit(f"{path} is no record of a run, and was left as it is.") from error
    wanted = _plain(config)
    differences = [
        f"{key} is {kept.get(key)!r} there and {wanted.get(key)!r} here"
        for key in sorted((kept.keys() | wanted.keys()) - set(config.MEANS))
        if kept.get(key) != wanted.get(key)
    ]
    if differences:
        raise SystemExit(
            f"{folder} holds a run of another configuration, which was left as it is: "
            f"{'; '.join(differences)}. Choose another --run_dir."
        )
    return record


def _plain(config):
    """Returns backend and fields of `config` as JSON gives them back, without the means."""
    fields = {k: v for k, v in dataclasses.asdict(config).items() if k not in config.MEANS}
    return json.loads(json.dumps({"backend": keras.backend.backend(), **fields}))
