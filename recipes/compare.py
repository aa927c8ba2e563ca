"""Compares finished runs in one table and one plot of a column of their `metrics.csv`.

    python -m recipes.compare runs/mlm-* --column val_perplexity --output comparison

Runs that differ only in their seed are one row, with mean and standard deviation, and one curve
with the range over the seeds. The runs may be those of different recipes, if each has the column.
`comparison.md` and `comparison.png` are written.
"""

import dataclasses
import json
import pathlib

import numpy as np
import tyro

from recipes.common import command_line, files

PROGRAM = "python -m recipes.compare"


@dataclasses.dataclass(frozen=True)
class Config:
    """What to compare. The comments are the help of the command line."""

    # Folders of the runs.
    folders: tyro.conf.Positional[tuple[pathlib.Path, ...]]
    # Column of metrics.csv. The table has its value after the last epoch.
    column: str
    # Path of the two files, without .md and .png.
    output: pathlib.Path = pathlib.Path("comparison")
    # Draw the column on a logarithmic axis.
    log: bool = False


def main(arguments=None):
    config = command_line.parse_options(Config, PROGRAM, __doc__, arguments)
    if not config.folders:
        raise SystemExit("Name the folders of the runs to compare.")
    settings = grouped([read(folder, config.column) for folder in config.folders])
    table = markdown(settings, config.column)
    config.output.parent.mkdir(parents=True, exist_ok=True)
    # Not `with_suffix`, to which the end of "lr-0.1" is one.
    pathlib.Path(f"{config.output}.md").write_text(table)
    plot = f"{config.output}.png"
    draw(settings, config, plot)
    print(f"{table}\nPlot: {plot}")


@dataclasses.dataclass(frozen=True)
class Run:
    """What the folder of a finished run holds."""

    config: dict
    summary: dict
    values: np.ndarray  # of the column, one an epoch

    @property
    def setting(self):
        """Everything but the seed, as text."""
        return json.dumps({k: v for k, v in self.config.items() if k != "seed"}, sort_keys=True)

    @property
    def rate(self):
        """Examples per second, and what an example is."""
        column = next(name for name in self.summary if name.endswith("_per_second"))
        return self.summary[column], column.removesuffix("_per_second")


def read(folder, column):
    """Returns the run in a folder, or ends the program if it is not finished."""
    rows = files.read_metrics(folder)
    if not (rows and (folder / "config.json").is_file() and files.is_complete(folder)):
        raise SystemExit(f"{folder} holds no finished run.")
    if column not in rows[0]:
        raise SystemExit(f"{folder} has no column {column!r}. It has {', '.join(rows[0])}.")
    values = np.array([float(row[column]) for row in rows])
    config = files.read_json(folder / "config.json")["config"]
    return Run(config, files.read_json(folder / "summary.json"), values)


def grouped(found):
    """Returns the runs by the name of their setting."""
    settings = {}
    for run in found:
        settings.setdefault(run.setting, []).append(run)
    firsts = [members[0].config for members in settings.values()]
    return {name_of(members[0].config, firsts): members for members in settings.values()}


def name_of(config, others):
    """Returns the name of a configuration, with what tells it from others of the same name."""
    name = config["config"]
    same = [other for other in others if other["config"] == name]
    keys = sorted(set().union(*same) - {"seed"})
    differing = [key for key in keys if len({str(other.get(key)) for other in same}) > 1]
    return ", ".join([name, *(f"{key} {config.get(key)}" for key in differing)])


def markdown(settings, column):
    """Returns the table: one row a setting."""
    columns = ["setting", "parameters", "epochs", "seeds", f"last {column}", "mean"]
    columns += ["per second", "seconds"]
    lines = []
    for name, members in settings.items():
        members = sorted(members, key=lambda run: run.config["seed"])
        last = np.array([run.values[-1] for run in members])
        spread = f" ± {last.std(ddof=1):.3g}" if len(last) > 1 else ""
        rates, units = zip(*(run.rate for run in members), strict=True)
        lines.append(
            [
                name,
                f"{members[0].summary['parameters']:,}",
                str(len(members[0].values)),
                ", ".join(str(run.config["seed"]) for run in members),
                ", ".join(f"{value:.5g}" for value in last),
                f"{last.mean():.5g}{spread}",
                f"{np.median(rates):,.0f} {units[0]}",
                f"{np.median([run.summary['seconds'] for run in members]):,.0f}",
            ]
        )
    return files.markdown_table(columns, lines)


def draw(settings, config, path):
    """Draws the mean over the seeds, and the range from the least to the greatest."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, members in settings.items():
        epochs = min(len(run.values) for run in members)
        values = np.stack([run.values[:epochs] for run in members])
        (line,) = axes.plot(np.arange(1, epochs + 1), values.mean(0), marker=".", label=name)
        if len(members) > 1:
            axes.fill_between(
                np.arange(1, epochs + 1),
                values.min(0),
                values.max(0),
                color=line.get_color(),
                alpha=0.2,
            )
    axes.set(xlabel="epoch", ylabel=config.column)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if config.log:
        axes.set_yscale("log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    command_line.run(main)
