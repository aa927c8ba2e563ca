"""Compares finished runs in one table and one plot of a column of their `metrics.csv`.

    python -m recipes.compare runs/mlm-* --column val_perplexity --output comparison

Runs that differ in nothing but the seed are one row, with their mean and standard deviation, and
one curve with the range of the seeds. `comparison.md` and `comparison.png` are written.
"""

import dataclasses
import json
import pathlib

import numpy as np
import tyro

from recipes.common import runs

PROGRAM = "python -m recipes.compare"


@dataclasses.dataclass(frozen=True)
class Config:
    """What to compare. The comments are the help of the command line."""

    # Folders of the runs.
    folders: tyro.conf.Positional[tuple[pathlib.Path, ...]]
    # Column of metrics.csv; that of the last epoch stands in the table.
    column: str
    # The two files, without .md and .png.
    output: pathlib.Path = pathlib.Path("comparison")
    # Draw the column on a logarithmic axis.
    log: bool = False


def main(arguments=None):
    config = tyro.cli(
        Config, args=arguments, prog=PROGRAM, description=__doc__, use_underscores=True
    )
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


def read(folder, column):
    """Returns the run in a folder, or ends the program if it is not finished."""
    if not (folder / "config.json").is_file() or not runs.is_complete(folder):
        raise SystemExit(f"{folder} holds no finished run.")
    rows = runs.read_metrics(folder)
    if column not in rows[0]:
        raise SystemExit(f"{folder} has no column {column!r}. It has {', '.join(rows[0])}.")
    config = json.loads((folder / "config.json").read_text())["config"]
    values = np.array([float(row[column]) for row in rows])
    return Run(config, runs.summary(folder), values)


def grouped(found):
    """Returns the runs by their setting: its configuration, or where that is one, what differs."""
    settings = {}
    for run in found:
        settings.setdefault(run.setting, []).append(run)
    firsts = [members[0].config for members in settings.values()]
    names = [config.get("config") for config in firsts]
    if len(set(names)) < len(names):  # one configuration, called with different options
        keys = sorted(set().union(*firsts) - {"seed"})
        differing = [k for k in keys if len({str(config.get(k)) for config in firsts}) > 1]
        names = [", ".join(f"{k} {config.get(k)}" for k in differing) for config in firsts]
    return dict(zip(names, settings.values(), strict=True))


def markdown(settings, column):
    """Returns the table: one row a setting."""
    rate = next(k for k in next(iter(settings.values()))[0].summary if k.endswith("_per_second"))
    columns = [
        "setting",
        "parameters",
        "epochs",
        "seeds",
        f"last {column}",
        "mean",
        rate,
        "seconds",
    ]
    lines = []
    for name, members in settings.items():
        members = sorted(members, key=lambda run: run.config["seed"])
        last = np.array([run.values[-1] for run in members])
        spread = f" ± {last.std(ddof=1):.3g}" if len(last) > 1 else ""
        lines.append(
            [
                name,
                f"{members[0].summary['parameters']:,}",
                str(len(members[0].values)),
                ", ".join(str(run.config["seed"]) for run in members),
                ", ".join(f"{value:.5g}" for value in last),
                f"{last.mean():.5g}{spread}",
                f"{np.median([run.summary[rate] for run in members]):,.0f}",
                f"{np.median([run.summary['seconds'] for run in members]):,.0f}",
            ]
        )
    return runs.markdown_table(columns, lines)


def draw(settings, config, path):
    """Draws the mean over the seeds, and the range between the least and the greatest."""
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
    main()
