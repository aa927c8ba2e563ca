"""Time and memory of training steps, shared by the studies of attention layers and text encoders.

A study has points, such as a layer at a length. Each point runs in a process of its own, and the
points of a group take turns: times are medians over the rounds, ratios of times too.
"""

import dataclasses
import itertools
import pathlib
import time
from typing import Literal

import numpy as np

from recipes.program import files, machine
from recipes.program.command_line import Count, Seed
from studies import workers


@dataclasses.dataclass(frozen=True)
class Options:
    """The options that both studies have."""

    MEANS = ("run_dir",)

    # Configuration that gives every other option its default.
    config: str = ""
    # Folder of the results. None: a folder in runs/ with the names of study, configuration and
    # backend.
    run_dir: str | None = None
    # Seed of the initial weights.
    seed: Seed = 0
    # Tokens per step.
    tokens: Count = 2048
    # Warm-up steps, which include compilation.
    warmup_steps: Count = 2
    # Steps to measure.
    rounds: Count = 5
    # Precision of the computation. The weights are always float32.
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"


def check_lengths(tokens, lengths):
    """Ends the program if a step of `tokens` has no whole number of examples of every length."""
    for length in lengths:
        if tokens % length:
            raise SystemExit(
                f"--tokens must be a multiple of every length. Received: {tokens}, {length}"
            )


def run(name, config, groups, build, format_table, draw):
    """Measures groups of points, and writes `scaling.json`, `scaling.md` and `scaling.png`.

    Args:
        name: Name of the study, for the folder.
        config: An `Options`.
        groups: Lists of dataclass instances, the points that take turns.
        build: Function of `config` and a point that is called in the process of the point. It
            returns a compiled model, a batch of inputs and labels, and a dictionary of facts.
        format_table: Function from the rows of all points to a table in Markdown.
        draw: Function of `config`, the rows, the backend and a path that draws the picture.
    """
    import keras

    from recipes.training import runs

    backend = keras.backend.backend()
    folder = pathlib.Path(config.run_dir or f"runs/{name}-{config.config}-{backend}")
    with runs.open_run(folder, config):
        table = []
        for points in groups:
            table += measure(build, config, points)
            files.write_json(folder / "scaling.json", table)
            (folder / "scaling.md").write_text(format_table(table))
        draw(config, table, backend, folder / "scaling.png")
    print(f"{(folder / 'scaling.md').read_text()}\nPlot: {folder / 'scaling.png'}")


def measure(build, config, points):
    """Returns a row for each of the points, which take turns.

    It has the fields of the point, the facts about it, its `parameters`, the `milliseconds` of each
    step and the most `mebibytes` that steps took, `None` if unknown.
    """
    running = [workers.Worker(serve, build, config, point) for point in points]
    facts = [worker.ask() for worker in running]  # one is built at a time
    rounds = [[worker.ask() for worker in running] for _ in range(config.rounds)]
    rows = []
    for worker, point, known, milliseconds in zip(
        running, points, facts, zip(*rounds, strict=True), strict=True
    ):
        place = dataclasses.asdict(point)
        measured = {"milliseconds": list(milliseconds), "mebibytes": worker.ask()}
        rows.append(place | known | measured)
        worker.stop()
        words = ", ".join(f"{name} {value}" for name, value in place.items())
        print(f"{words}: {np.median(milliseconds):,.1f} ms a step", flush=True)
    return rows


def serve(build, config, point):
    """Yields the facts about a point, the milliseconds of each step, and at last its MiB."""
    from recipes.training import devices

    devices.prepare(config.precision, config.seed)
    model, x, y, facts = build(config, point)
    model.optimizer.build(model.trainable_variables)
    before = machine.resident("VmRSS")
    for _ in range(config.warmup_steps):
        model.train_on_batch(x, y)
    yield facts | {"parameters": model.count_params()}
    for _ in range(config.rounds):
        start = time.perf_counter()
        model.train_on_batch(x, y)  # returns the loss, and so waits for the device
        yield 1000 * (time.perf_counter() - start)
    most = machine.resident("VmHWM")
    yield None if before is None or devices.accelerators() else round(most - before)


def group(table, column):
    """Returns the rows of each value of a column, by this value."""
    groups = {}
    for row in table:
        groups.setdefault(row[column], []).append(row)
    return groups


def ratios(table, column, *place):
    """Returns the time of each row relative to the first name in a column, by turns.

    Only rows with the same values in the columns `place` are compared.
    """

    def place_of(row):
        return [row[name] for name in place]

    first = [row for row in table if row[column] == table[0][column]]
    return [
        np.median(np.divide(row["milliseconds"], other["milliseconds"]))
        for row in table
        for other in first
        if place_of(row) == place_of(other)
    ]


def number(value, form):
    """Returns a formatted number, nothing for `None`."""
    return "" if value is None else f"{value:{form}}"


def draw(path, title, table, column, values, sweeps, label=None, logarithmic=False):
    """Draws values of rows, a line for each name in a column.

    Args:
        path: Path of the picture.
        title: Text above the panels.
        table: List of rows.
        column: Column of the names.
        values: For each vertical axis, by its label, a function of a row. If it returns `None` for
            any row, there is no such axis.
        sweeps: For each horizontal axis, by its label, a column and the rows to draw.
        label: Function of the rows and the value of a line. Defaults to its name.
        logarithmic: Whether both axes are logarithmic. Defaults to `False`: values start at 0.
    """
    from matplotlib.figure import Figure

    values = {k: f for k, f in values.items() if all(f(row) is not None for row in table)}
    figure = Figure(figsize=(5.5 * len(values), 4.2 * len(sweeps)), layout="constrained")
    panels = figure.subplots(len(sweeps), len(values), squeeze=False).ravel()
    for axes, ((sweep, (x, rows)), (unit, value)) in zip(
        panels, itertools.product(sweeps.items(), values.items()), strict=True
    ):
        for name, line in group(rows, column).items():
            line.sort(key=lambda row: row[x])
            text = label(line, value) if label else name
            axes.plot([row[x] for row in line], [value(row) for row in line], "o-", label=text)
        axes.set(xlabel=sweep, ylabel=unit)
        if logarithmic:
            axes.set(xscale="log", yscale="log")
            ticks = sorted({row[x] for row in rows})
            axes.set_xticks([], minor=True)
            axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        else:
            axes.set_ylim(0, None)
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize="small")
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
