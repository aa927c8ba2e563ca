"""Measures time and memory of a training step against the length of the text and the depth.

    python -m studies.scaling.text
    python -m studies.scaling.text --models gmlp_base amlp_base --sequence_length 512 1024

The models are configurations of `recipes.mlm_pretraining`, on random tokens, in steps of the same
number of tokens. Each runs in a process of its own, and those that are compared take turns: the
times are medians over the rounds. The memory is the peak of a process beyond what it held when the
model and its optimizer were built. It is the host's (with an accelerator none is reported), and on
JAX and TensorFlow it includes the compiler's. `scaling.md`, `scaling.json` and `scaling.png` are
written.
"""

import dataclasses
import itertools
import pathlib
from typing import Annotated, Literal

import numpy as np

from recipes import mlm_pretraining
from recipes.program import command_line, files, machine
from recipes.program.command_line import Count, Positive, Range
from studies.scaling import steps

PROGRAM = "python -m studies.scaling.text"
Length = Annotated[int, Range(least=3)]  # with two special tokens


@dataclasses.dataclass(frozen=True)
class Config:
    """What to measure. The comments are the help of the command line."""

    # Configuration that gives every other option its default.
    config: str = "small"
    # Folder of the results. None: runs/scaling-CONFIG-BACKEND.
    run_dir: str | None = None
    # Configurations of mlm_pretraining.
    models: tuple[str, ...] = (
        "small_gmlp",
        "small_amlp",
        "small_transformer_relative",
        "small_bert",
    )
    # Lengths to measure, at the depth of the configurations.
    sequence_length: tuple[Length, ...] = (128, 256, 512, 1024)
    # Factors on the depth to measure, at --depth_length.
    depth_factor: tuple[Positive, ...] = (0.5, 1.0, 2.0)
    # Length at which the depths are measured.
    depth_length: Length = 256
    # Tokens per step.
    tokens: Count = 2048
    # Warm-up steps, which include compilation.
    warmup_steps: Count = 2
    # Steps to measure.
    rounds: Count = 7
    # Precision of the computation. The weights are always float32.
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"


CONFIGURATIONS = command_line.named({"small": Config()})


@dataclasses.dataclass(frozen=True)
class Point:
    """A model at a length and a factor on its depth."""

    model: str
    sequence_length: int
    depth_factor: float = 1.0


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    check(config)
    # Not at the top of the file: --help would wait for them.
    import keras

    from recipes.training import runs

    backend = keras.backend.backend()
    folder = pathlib.Path(config.run_dir or f"runs/scaling-{config.config}-{backend}")
    with runs.open_run(folder, config):
        lengths = [(length, 1.0) for length in config.sequence_length]
        depths = [(config.depth_length, factor) for factor in config.depth_factor]
        table = []
        for where in dict.fromkeys([*lengths, *depths]):
            table += measure(config, [Point(model, *where) for model in config.models])
            files.write_json(folder / "scaling.json", table)
            (folder / "scaling.md").write_text(format_table(table))
        draw(config, table, backend, folder / "scaling.png")
    print(f"{(folder / 'scaling.md').read_text()}\nPlot: {folder / 'scaling.png'}")


def check(config):
    """Ends the program if the options do not fit together."""
    for name in config.models:
        command_line.one_of(name, mlm_pretraining.CONFIGURATIONS, "pretraining configuration")
    for length in (*config.sequence_length, config.depth_length):
        if config.tokens % length:
            raise SystemExit(
                f"--tokens must be a multiple of every length. Received: {config.tokens}, {length}"
            )


def measure(config, points):
    """Returns a row for each of the points, which take turns."""
    rows = steps.measure(serve, config, points)
    for row in rows:
        print(f"{describe(row)}: {np.median(row['milliseconds']):,.0f} ms", flush=True)
    return rows


def serve(end, config, point):
    """Builds the model of a point, and takes a step whenever it is told to, in its own process."""
    import keras

    from recipes.text import pretraining
    from recipes.training import devices, optimizers

    devices.prepare(config.precision, seed=0)
    run = scale(config, point)
    task = pretraining.build_task(run, run.vocabulary_size)
    task.compile(
        optimizer=optimizers.adamw(task, run.learning_rate, run),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    task.optimizer.build(task.trainable_variables)
    x, y = random_batch(run, list(task.input))
    before = machine.resident("VmRSS")
    for _ in range(config.warmup_steps):
        task.train_on_batch(x, y)
    end.send({"depth": run.depth, "parameters": task.count_params()})
    # It returns the loss, which waits for the device.
    steps.take_turns(end, lambda: task.train_on_batch(x, y), before)


def scale(config, point):
    """Returns the configuration of pretraining at a point."""
    run = mlm_pretraining.CONFIGURATIONS[point.model]
    return dataclasses.replace(
        run,
        sequence_length=point.sequence_length,
        depth=max(round(run.depth * point.depth_factor), 1),
        batch_size=config.tokens // point.sequence_length,
    )


def random_batch(config, names):
    """Returns inputs of random tokens, and the tokens to predict."""
    from recipes.text import masking

    rng = np.random.default_rng(0)
    shape = (config.batch_size, config.sequence_length)
    masks = masking.masks(config.sequence_length, config.mask_rate)
    positions = np.stack([rng.permutation(shape[1])[:masks] for _ in range(shape[0])])
    x = {
        "token_ids": rng.integers(config.vocabulary_size, size=shape).astype("int32"),
        "padding_mask": np.ones(shape, "int32"),
        "segment_ids": np.zeros(shape, "int32"),
        "mask_positions": np.sort(positions).astype("int32"),
    }
    y = rng.integers(config.vocabulary_size, size=positions.shape).astype("int32")
    return {name: x[name] for name in names}, y


def describe(row):
    return f"{row['model']}, {row['sequence_length']} tokens, depth {row['depth']}"


def format_table(table):
    """Returns the table; its last column is the time relative to the first model's, by turns."""

    def where(row):
        return row["sequence_length"], row["depth_factor"]

    first = {where(row): row["milliseconds"] for row in table if row["model"] == table[0]["model"]}
    columns = ["model", "tokens", "depth", "parameters", "ms a step", "MiB", "time / first"]
    lines = [
        [
            row["model"],
            str(row["sequence_length"]),
            str(row["depth"]),
            f"{row['parameters']:,}",
            f"{np.median(row['milliseconds']):,.0f}",
            "" if row["mebibytes"] is None else f"{row['mebibytes']:,}",
            f"{np.median(np.divide(row['milliseconds'], first[where(row)])):.2f}",
        ]
        for row in table
    ]
    return files.markdown_table(columns, lines)


def draw(config, table, backend, path):
    """Draws time and memory against length and depth."""
    from matplotlib.figure import Figure

    values = {
        "ms a step": lambda row: np.median(row["milliseconds"]),
        "MiB": lambda row: row["mebibytes"],
    }
    sweeps = {
        "sequence length": ("sequence_length", lambda row: row["depth_factor"] == 1),
        "depth": ("depth", lambda row: row["sequence_length"] == config.depth_length),
    }
    if any(row["mebibytes"] is None for row in table):
        del values["MiB"]
    figure = Figure(figsize=(10, 3.6 * len(values)), layout="constrained")
    panels = figure.subplots(len(values), 2, squeeze=False).ravel()
    for axes, ((unit, value), (label, (key, belongs))) in zip(
        panels, itertools.product(values.items(), sweeps.items()), strict=True
    ):
        for model in config.models:
            rows = [row for row in table if row["model"] == model and belongs(row)]
            rows.sort(key=lambda row: row[key])
            axes.plot([row[key] for row in rows], [value(row) for row in rows], "o-", label=model)
        axes.set(xlabel=label, ylabel=unit, ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(f"A training step of {config.tokens:,} tokens, {backend}")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    command_line.run(main)
