"""A study: a run of every encoder with every seed, and one table of their scores.

It is a folder. Each of its runs has a folder in it (see `runs.py`); `results.json` and `results.md`
compare them.
"""

import dataclasses
import itertools
import pathlib
from typing import Any

import keras
import numpy as np

from recipes.program import command_line, files
from recipes.text import encoders
from recipes.training import devices, distribution, runs

# Figures of a run's summary that are no scores.
FIGURES = {"epochs", "parameters", "seconds", "examples_per_second"}
FIGURES |= {"backend", "hardware", "devices"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One model of a study. Without gates, `inhibition` and `activation` are `None`."""

    model: str
    inhibition: float | None = None
    activation: str | None = None

    @property
    def name(self):
        """The name of its folders."""
        return "-".join(str(part) for part in dataclasses.astuple(self) if part is not None)


def list_settings(config):
    """Returns the settings that a configuration asks for."""
    settings = []
    for model in config.model:
        command_line.one_of(model, encoders.KINDS, "text encoder")
        gates = itertools.product(config.inhibition, config.activation)
        gated = encoders.KINDS[model].gated
        settings += [Setting(model, *gate) for gate in gates] if gated else [Setting(model)]
    return settings


@dataclasses.dataclass(frozen=True)
class Job:
    """One setting to train with one seed: `config` asks for these alone. `title` is for curves."""

    title: str
    setting: Setting
    config: Any
    folder: pathlib.Path

    def describe(self, task, size, steps, first_epoch):
        """Prints what is trained, from which epoch on."""
        trained = sum(int(np.prod(variable.shape)) for variable in task.trainable_variables)
        print(
            f"{self.setting.name}, seed {self.config.seed}, {task.count_params():,} parameters, "
            f"{trained:,} of them trained, on {distribution.name()}. {size:,} training "
            f"examples. Epochs {first_epoch + 1} to {self.config.epochs}, {steps:,} steps each. "
            f"Run folder: {self.folder}"
        )

    def keep_predictions(self, predictions):
        """Writes the predictions for the test examples, which `recipes.compare --score` reads."""
        if not distribution.process():
            files.write_json(self.folder / files.PREDICTIONS, predictions)

    def finish(self, run, task, encoder):
        """Saves the trained task as a preset, and marks the run as complete."""
        columns = distribution.from_first(lambda: files.read_metrics(run.folder)[-1])
        scores = {name.removeprefix("val_"): name for name in columns if name.startswith("val_")}
        run.finish(
            title=self.title,
            panels={"loss": {"training": "loss"}, "score": scores},
            results=scores,
            parameters=task.count_params(),
            save=lambda path: encoders.save(task, encoder.tokenizer, path),
            model_name="preset",
        )


class Study:
    """The comparison of encoders on one task, `program` being the name of its recipe.

    `settings` are `None` for those that `config` asks for.
    """

    def __init__(self, program, config, settings=None):
        self.program = program
        self.config = config
        self.folder = pathlib.Path(config.run_dir or f"runs/{program}-{config.config}")
        self.summaries = {setting: [] for setting in settings or list_settings(config)}

    def missing(self):
        """Yields the `Job`s that are not complete yet, and writes the table after each.

        Seed by seed: a study that is stopped early has compared all settings.
        """
        for seed in range(self.config.seed, self.config.seed + self.config.seeds):
            for setting, summaries in self.summaries.items():
                job = self.plan(setting, seed)
                summary = runs.completed(job.folder, job.config)
                if summary is None:
                    devices.prepare_training(job.config, encoders.KINDS[setting.model].backbone)
                    yield job
                    summary = runs.completed(job.folder, job.config)
                else:
                    print(f"This run is complete: {job.folder}")
                summaries.append(summary)
                self.write_table()

    def plan(self, setting, seed):
        """Returns the `Job` of a setting and a seed."""
        config = dataclasses.replace(
            self.config,
            run_dir=None,
            seed=seed,
            seeds=1,
            model=(setting.model,),
            inhibition=tuple(x for x in (setting.inhibition,) if x is not None),
            activation=tuple(x for x in (setting.activation,) if x is not None),
        )
        title = f"{setting.name} in {self.program}, {config.config}, seed {seed}"
        folder = self.folder / f"{setting.name}-{keras.backend.backend()}-seed{seed}"
        return Job(title, setting, config, folder)

    @property
    def table(self):
        """The results so far, one dictionary a setting."""
        return [summarize(setting, runs) for setting, runs in self.summaries.items() if runs]

    def write_table(self):
        """Writes the table into the folder of the study."""
        if distribution.process():
            return
        files.write_json(self.folder / "results.json", self.table)
        (self.folder / "results.md").write_text(format_table(self.table))

    def print_table(self):
        """Prints the table, and where it is."""
        print(f"\n{format_table(self.table)}\nTable: {self.folder / 'results.md'}")


def summarize(setting, summaries):
    """Returns the row of a setting: its scores, their mean and standard deviation."""
    scores = [name for name in summaries[0] if name not in FIGURES]
    values = {name: [summary[name] for summary in summaries] for name in scores}
    return {
        **dataclasses.asdict(setting),
        "seeds": len(summaries),
        "parameters": summaries[0]["parameters"],
        "seconds": float(np.mean([summary["seconds"] for summary in summaries])),
        "examples_per_second": float(
            np.median([summary["examples_per_second"] for summary in summaries])
        ),
        "scores": values,
        "mean": {name: float(np.mean(v)) for name, v in values.items()},
        # An estimate from the runs seen: a single one says nothing about the spread.
        "std": {
            name: float(np.std(v, ddof=1)) if len(v) > 1 else None for name, v in values.items()
        },
    }


def format_table(table):
    """Returns the table of a study in Markdown; scores in percent, mean ± standard deviation."""
    scores = list(table[0]["scores"])

    def score(row, name):
        spread = "" if row["std"][name] is None else f" ± {100 * row['std'][name]:.1f}"
        return f"{100 * row['mean'][name]:.1f}{spread}"

    columns = ["model", "inhibition", "activation", "seeds", *scores, "parameters", "seconds a run"]
    lines = [
        [
            row["model"],
            *("" if row[x] is None else str(row[x]) for x in ("inhibition", "activation")),
            str(row["seeds"]),
            *(score(row, name) for name in scores),
            f"{row['parameters']:,}",
            f"{row['seconds']:.0f}",
        ]
        for row in table
    ]
    return files.markdown_table(columns, lines)
