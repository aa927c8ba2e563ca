"""Measures time and memory of a training step against the length of the text and the depth.

    python -m studies.scaling.text
    python -m studies.scaling.text --models gmlp_base amlp_base --sequence_length 512 1024

The models are configurations of `recipes.mlm_pretraining`. They are trained on random tokens, the
same number of tokens in every step.

Each model runs in a process of its own, and the models at one length and depth take turns: times
are medians over the rounds. Memory is the peak of a process beyond its memory when the model and
its optimizer were built. It is host memory and is not reported with an accelerator; on JAX and
TensorFlow it includes the compiler. Results: `scaling.md`, `scaling.json` and `scaling.png`.
"""

import dataclasses
from typing import Annotated

import numpy as np

from recipes import mlm_pretraining
from recipes.program import command_line, files
from recipes.program.command_line import Positive, Range
from studies.scaling import steps

PROGRAM = "python -m studies.scaling.text"
Length = Annotated[int, Range(least=3)]  # with two special tokens


@dataclasses.dataclass(frozen=True)
class Config(steps.Options):
    """What to measure."""

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


CONFIGURATIONS = command_line.named({"small": Config(rounds=7)})


@dataclasses.dataclass(frozen=True)
class Point:
    """A model at a length and a factor on its depth."""

    model: str
    sequence_length: int
    depth_factor: float = 1.0


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    for name in config.models:
        command_line.one_of(name, mlm_pretraining.CONFIGURATIONS, "pretraining configuration")
    steps.check_lengths(config.tokens, (*config.sequence_length, config.depth_length))
    lengths = [(length, 1.0) for length in config.sequence_length]
    depths = [(config.depth_length, factor) for factor in config.depth_factor]
    groups = [
        [Point(model, *place) for model in config.models]
        for place in dict.fromkeys([*lengths, *depths])
    ]
    steps.run("scaling_text", config, groups, build, format_table, draw)


def build(config, point):
    """Returns the compiled model of a point, a batch, and the depth of the model."""
    import keras

    from recipes.text import pretraining
    from recipes.training import optimizers

    run = scale(config, point)
    task = pretraining.build_task(run, run.vocabulary_size)
    task.compile(
        optimizer=optimizers.adamw(task, run.learning_rate, run),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return task, *random_batch(run, list(task.input)), {"depth": run.depth}


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


def format_table(table):
    """Returns the table of all points, with times relative to the first model."""
    ratios = steps.ratios(table, "model", "sequence_length", "depth_factor")
    lines = [
        [
            row["model"],
            str(row["sequence_length"]),
            str(row["depth"]),
            f"{row['parameters']:,}",
            f"{np.median(row['milliseconds']):,.0f}",
            steps.number(row["mebibytes"], ","),
            f"{ratio:.2f}",
        ]
        for row, ratio in zip(table, ratios, strict=True)
    ]
    columns = ["model", "tokens", "depth", "parameters", "ms a step", "MiB", "time / first"]
    return files.markdown_table(columns, lines)


def draw(config, table, backend, path):
    """Draws time and memory against length and depth."""
    lengths = [row for row in table if row["depth_factor"] == 1]
    depths = [row for row in table if row["sequence_length"] == config.depth_length]
    steps.draw(
        path,
        f"A training step of {config.tokens:,} tokens, {backend}",
        table,
        "model",
        values={
            "ms a step": lambda row: np.median(row["milliseconds"]),
            "MiB": lambda row: row["mebibytes"],
        },
        sweeps={"sequence length": ("sequence_length", lengths), "depth": ("depth", depths)},
    )


if __name__ == "__main__":
    command_line.run(main)
