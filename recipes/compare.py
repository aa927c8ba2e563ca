"""Compares finished runs: a table and a plot of a column, or a paired test of a score.

    python -m recipes.compare runs/mlm-* --column val_perplexity --output comparison
    python -m recipes.compare runs/mlm-* --column val_perplexity --axis seconds
    python -m recipes.compare runs/mlm-* --column val_perplexity --keep results.json
    python -m recipes.compare results.json --column val_loss
    python -m recipes.compare runs/glue-cola/*/ --score matthews --baseline BERT

Runs that differ only in their seed are one row, with mean and standard deviation, and one curve
with the range over the seeds. Runs of different recipes can be compared if each has the column.
With `--axis seconds` the curves are drawn against the time of training and testing, and the table
has the values at the time when the shortest run ended, interpolated between two epochs.
`comparison.md` and `comparison.png` are written. `--keep` writes configurations, metrics and scores
of the runs, without their models, into one file, which stands for their folders afterwards: the
files in `studies/*/results` are written so.

With `--score`, runs of `glue` are tested against a baseline on the seeds that both have: the two
runs of a pair saw the same examples in the same order, and are tested on the same examples. The
table has the mean difference; its 95 % interval when seeds and test examples are drawn again with
replacement, both of a pair together (a bootstrap over both); and the p of Student's paired t-test
over the seeds, which takes the test examples as given.
"""

import dataclasses
import pathlib
from typing import Literal

import numpy as np
import tyro

from recipes.program import command_line, files
from recipes.program.command_line import Count, Seed
from recipes.trained import finished

PROGRAM = "python -m recipes.compare"


@dataclasses.dataclass(frozen=True)
class Config:
    """The runs to compare, and by which column or score."""

    # Folders of runs, and files that --keep has written.
    folders: tyro.conf.Positional[tuple[pathlib.Path, ...]]
    # Column of metrics.csv. The table has its value after the last epoch.
    column: str | None = None
    # Path of the two files, without .md and .png.
    output: pathlib.Path = pathlib.Path("comparison")
    # What the curves are drawn against.
    axis: Literal["epoch", "seconds"] = "epoch"
    # Draw the column on a logarithmic axis.
    log: bool = False
    # Also write the runs into this file, which takes the place of their folders.
    keep: pathlib.Path | None = None

    # Instead of a column, the score of a paired test: matthews, accuracy, f1, pearson or spearman.
    score: str | None = None
    # Model that the others are tested against. It must have one setting.
    baseline: str = "BERT"
    # Settings of fewer seeds, such as those of a search for the learning rate, are left out.
    least_seeds: Count = 1
    # How often seeds and examples are drawn again.
    draws: Count = 2_000
    # Seed of these draws.
    seed: Seed = 0


def main(arguments=None):
    config = command_line.parse_options(Config, PROGRAM, __doc__, arguments)
    if not config.folders:
        raise SystemExit("Name the folders of the runs to compare.")
    if (config.column is None) == (config.score is None):
        raise SystemExit("Name what to compare: either --column or --score.")
    runs = [run for path in config.folders for run in finished.read(path)]
    if config.keep is not None or any(path.is_file() for path in config.folders):
        # A file has lost the folders of the data: they tell no two settings apart.
        runs = [finished.as_kept(run) for run in runs]
    if config.column is not None:
        check(runs, config.column)
    if config.keep is not None:
        finished.keep(config.keep, runs)
    settings = grouped(runs)
    if config.score is not None:
        from recipes.trained import paired

        print(paired.table(settings, config), end="")
        return
    table = markdown(settings, config.column, config.axis)
    config.output.parent.mkdir(parents=True, exist_ok=True)
    # Not `with_suffix`, to which the end of "lr-0.1" is one.
    pathlib.Path(f"{config.output}.md").write_text(table)
    plot = f"{config.output}.png"
    draw(settings, config, plot)
    print(f"{table}\nPlot: {plot}")


def check(runs, column):
    """Ends the program if a run does not have the column."""
    for run in runs:
        if column not in run.metrics:
            raise SystemExit(
                f"A run of {run.config['config']} has no column {column!r}. It has "
                f"{', '.join(run.metrics)}."
            )


def grouped(runs):
    """Returns the runs by the name of their setting."""
    settings = {}
    for run in runs:
        settings.setdefault(run.setting, []).append(run)
    firsts = [members[0].config for members in settings.values()]
    return {name_of(members[0].config, firsts): members for members in settings.values()}


def name_of(config, others):
    """Returns the name of a configuration, with what tells it from others of the same name."""
    name = config["config"]
    same = [flat(other) for other in others if other["config"] == name]
    keys = sorted(set().union(*same) - {"seed"})
    differing = [key for key in keys if len({str(other.get(key)) for other in same}) > 1]
    own = {key: flat(config).get(key) for key in differing}
    own = {k: " ".join(map(str, x)) if isinstance(x, list) else x for k, x in own.items()}
    return ", ".join([name, *(f"{key} {x}" for key, x in own.items() if x not in ("", None))])


def flat(config):
    """Returns the options of a configuration; items of a dictionary count as options too."""
    options = {key: value for key, value in config.items() if not isinstance(value, dict)}
    for outer, inner in config.items():
        if isinstance(inner, dict):
            # An item of the same name stays beside the other, or two settings would be one.
            options |= {f"{outer}.{k}" if k in config else k: x for k, x in inner.items()}
    return options


def markdown(settings, column, axis="epoch"):
    """Returns the table: one row a setting."""
    columns = ["setting", "parameters", "epochs", "seeds", f"last {column}", "mean"]
    columns += ["per second", "seconds"]
    if axis == "seconds":
        every = [run for members in settings.values() for run in members]
        shortest = min(run.times[-1] for run in every)
        columns += [f"mean at {shortest:,.0f} s"]
    lines = []
    for name, members in settings.items():
        members = sorted(members, key=lambda run: run.config["seed"])
        last = np.array([run.values(column)[-1] for run in members])
        rates, units = zip(*(run.rate for run in members), strict=True)
        lines.append(
            [
                name,
                f"{members[0].summary['parameters']:,}",
                str(len(members[0].values(column))),
                ", ".join(str(run.config["seed"]) for run in members),
                ", ".join(f"{value:.5g}" for value in last),
                mean_and_spread(last),
                f"{np.median(rates):,.0f} {units[0]}",
                f"{np.median([run.summary['seconds'] for run in members]):,.0f}",
            ]
        )
        if axis == "seconds":
            then = [np.interp(shortest, run.times, run.values(column)) for run in members]
            lines[-1].append(mean_and_spread(np.array(then)))
    return files.markdown_table(columns, lines)


def mean_and_spread(values):
    """Returns the mean, and for several values their standard deviation, as text."""
    spread = f" ± {values.std(ddof=1):.3g}" if len(values) > 1 else ""
    return f"{values.mean():.5g}{spread}"


def draw(settings, config, path):
    """Draws the mean over the seeds, and the range from the least to the greatest."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter, MaxNLocator

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, members in settings.items():
        values = [run.values(config.column) for run in members]
        epochs = min(map(len, values))
        values = np.stack([x[:epochs] for x in values])
        x = np.arange(1, epochs + 1)
        if config.axis == "seconds":
            x = np.mean([run.times[:epochs] for run in members], axis=0)
        (line,) = axes.plot(x, values.mean(0), marker=".", label=name)
        if len(members) > 1:
            axes.fill_between(x, values.min(0), values.max(0), color=line.get_color(), alpha=0.2)
    axes.set(xlabel=config.axis, ylabel=config.column)
    if config.axis == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if config.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(LogFormatter())  # 600 instead of 6 x 10^2
        axes.yaxis.set_minor_formatter(LogFormatter())
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    command_line.run(main)
