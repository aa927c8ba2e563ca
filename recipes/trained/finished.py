"""Finished runs, read from their folders, or from a file that stands for these."""

import dataclasses
import json
import pathlib

import numpy as np

from recipes.program import files


@dataclasses.dataclass(frozen=True)
class Run:
    """What a finished run leaves besides its model.

    * `config`: every option that changes what is trained.
    * `summary`: final scores, parameters, seconds, backend, hardware.
    * `metrics`: the columns of `metrics.csv`, lists of floats, one value an epoch.
    * `source`: the commit and the versions of the last start.
    * `predictions`: for each test split `labels` and `predictions` of its examples, each numbers in
      a line of text. Empty where the recipe keeps none.
    """

    config: dict
    summary: dict
    metrics: dict
    source: dict
    predictions: dict = dataclasses.field(default_factory=dict)

    @property
    def setting(self):
        """Everything but the seed, as text."""
        return json.dumps({k: v for k, v in self.config.items() if k != "seed"}, sort_keys=True)

    @property
    def rate(self):
        """Examples per second, and the word for an example."""
        column = next(name for name in self.summary if name.endswith("_per_second"))
        return self.summary[column], column.removesuffix("_per_second")

    @property
    def times(self):
        """Seconds from the begin of training to the end of each epoch, as an array."""
        return np.cumsum(self.metrics["seconds"])

    def values(self, column):
        """Returns a column of the metrics as an array."""
        return np.array(self.metrics[column])


def read(path):
    """Returns the runs in a folder of one, or in a file that `keep` has written.

    Ends the program if there is none that is finished.
    """
    if path.is_file():
        return kept(path)
    rows = files.read_metrics(path)
    if not (rows and (path / "config.json").is_file() and files.is_complete(path)):
        raise SystemExit(f"{path} holds no finished run.")
    metrics = {name: [float(row[name]) for row in rows] for name in rows[0]}
    record = files.read_json(path / "config.json")
    last = record["starts"][-1] if record["starts"] else {}
    source = {name: last[name] for name in ("commit", "versions") if name in last}
    summary = files.read_json(path / "summary.json")
    predictions = path / files.PREDICTIONS
    predictions = files.read_json(predictions) if predictions.exists() else {}
    return [Run(record["config"], summary, metrics, source, predictions)]


def kept(path):
    """Returns the runs in a file."""
    content = files.read_json(path)
    try:
        return [Run(**run) for run in content["runs"]]
    except (KeyError, TypeError) as error:
        raise SystemExit(f"{path} is no file of runs that compare has kept.") from error


def keep(path, runs):
    """Writes runs into a file, with names in the place of absolute paths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, {"runs": [dataclasses.asdict(as_kept(run)) for run in runs]})


def as_kept(run):
    """Returns a run as it is read from a file: names in the place of absolute paths."""
    return Run(**without_folders(dataclasses.asdict(run)))


def without_folders(value):
    """Returns a value of JSON, in which only the last part is left of every absolute path."""
    if isinstance(value, dict):
        return {name: without_folders(x) for name, x in value.items()}
    if isinstance(value, list):
        return [without_folders(x) for x in value]
    if isinstance(value, str) and pathlib.PurePath(value).is_absolute():
        return pathlib.PurePath(value).name
    return value
