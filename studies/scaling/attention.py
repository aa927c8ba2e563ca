"""Measures time and memory of attention layers against the number of tokens.

    python -m studies.scaling.attention
    python -m studies.scaling.attention --layers MultiHeadAttention fixed --no_causal

A step trains one layer on random tokens, the same number of tokens at every length. The layers are
Keras' `MultiHeadAttention` and the patterns of `CombinerAttention`, with segments and rows of about
the square root of the length.

Each layer runs in a process of its own, and the layers at one length take turns: times are medians
over the rounds. Memory is the peak of a process beyond its memory when the layer was built. It is
host memory and is not reported with an accelerator; on JAX and TensorFlow it includes the compiler.
The exponent says how time or memory of an example grows with the length. It is fitted to the three
longest lengths. Results: `scaling.md`, `scaling.json` and `scaling.png`.
"""

import dataclasses
import math

import numpy as np

from recipes.program import command_line, files
from recipes.program.command_line import Count
from studies.scaling import steps

PROGRAM = "python -m studies.scaling.attention"
FULL = "MultiHeadAttention"
AXIAL = ("axial_vertical", "axial_horizontal", "axial_rowmajor")
PATTERNS = ("fixed", "logsparse", *AXIAL)
FITTED = 3  # lengths, the longest


@dataclasses.dataclass(frozen=True)
class Config(steps.Options):
    """What to measure."""

    # MultiHeadAttention, or patterns of CombinerAttention.
    layers: tuple[str, ...] = (FULL, *PATTERNS)
    # Whether a token attends only to itself and earlier tokens, as all patterns but fixed must.
    causal: bool = True
    # Lengths to measure.
    sequence_length: tuple[Count, ...] = (256, 512, 1024, 2048, 4096, 8192)
    # Channels.
    dim: Count = 512
    # Heads.
    num_heads: Count = 8


CONFIGURATIONS = command_line.named({"short": Config(tokens=8192)})


@dataclasses.dataclass(frozen=True)
class Point:
    """A layer at a length."""

    layer: str
    sequence_length: int


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    check(config)
    lengths = sorted(set(config.sequence_length))
    groups = [[Point(layer, length) for layer in config.layers] for length in lengths]
    steps.run("scaling_attention", config, groups, build, format_tables, draw)


def check(config):
    """Ends the program if the options do not fit together."""
    for name in config.layers:
        command_line.one_of(name, (FULL, *PATTERNS), "layer")
        if not config.causal and name not in (FULL, "fixed"):
            raise SystemExit(f"--no_causal takes MultiHeadAttention and fixed. Received: {name}")
    if config.dim % config.num_heads:
        raise SystemExit(
            f"--dim must be a multiple of --num_heads. Received: {config.dim}, {config.num_heads}"
        )
    steps.check_lengths(config.tokens, config.sequence_length)


def build(config, point):
    """Returns the compiled model of a point, a batch, and the number of its examples."""
    model = build_model(config, point)
    model.compile("sgd", "mse")
    batch_size = config.tokens // point.sequence_length
    shape = (batch_size, point.sequence_length, config.dim)
    x, y = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    return model, x, y, {"batch_size": batch_size}


def build_model(config, point):
    """Returns a model of one layer."""
    import keras

    from keras_gimlp.layers import CombinerAttention

    inputs = keras.Input((point.sequence_length, config.dim))
    if point.layer == FULL:
        layer = keras.layers.MultiHeadAttention(config.num_heads, config.dim // config.num_heads)
        return keras.Model(inputs, layer(inputs, inputs, use_causal_mask=config.causal))
    arguments = {}
    if point.layer == "fixed":
        arguments["segment_size"] = side(point.sequence_length)
    elif point.layer in AXIAL:
        arguments["columns"] = side(point.sequence_length)
    layer = CombinerAttention(config.num_heads, point.layer, causal=config.causal, **arguments)
    return keras.Model(inputs, layer(inputs))


def side(length):
    """Returns the power of two nearest to the square root of a length."""
    return 2 ** round(math.log2(length) / 2)


def milliseconds(row):
    """Returns the time of a step for one example."""
    return np.median(row["milliseconds"]) / row["batch_size"]


def mebibytes(row):
    """Returns the memory of a step for one example, `None` if unknown."""
    return None if row["mebibytes"] is None else row["mebibytes"] / row["batch_size"]


def fit_exponent(rows, value):
    """Returns the exponent with which a value grows with the length, `None` if unknown."""
    rows = sorted(rows, key=lambda row: row["sequence_length"])[-FITTED:]
    values = [value(row) for row in rows]
    if len(rows) < 2 or not all(values):
        return None
    return np.polyfit(np.log([row["sequence_length"] for row in rows]), np.log(values), 1)[0]


def format_tables(table):
    """Returns the table of all points, with times relative to the first layer, and of exponents."""
    points = [
        [
            row["layer"],
            str(row["sequence_length"]),
            f"{row['parameters']:,}",
            f"{milliseconds(row):,.2f}",
            steps.number(mebibytes(row), ",.1f"),
            f"{ratio:.2f}",
        ]
        for row, ratio in zip(table, steps.ratios(table, "layer", "sequence_length"), strict=True)
    ]
    exponents = [
        [name, *(steps.number(fit_exponent(rows, f), ".2f") for f in (milliseconds, mebibytes))]
        for name, rows in steps.group(table, "layer").items()
    ]
    columns = ["layer", "tokens", "parameters", "ms an example", "MiB an example", "time / first"]
    return "\n".join(
        [
            files.markdown_table(columns, points),
            files.markdown_table(["layer", "exponent of time", "of memory"], exponents),
        ]
    )


def draw(config, table, backend, path):
    """Draws time and memory of an example against the length, with the exponents of growth."""

    def label(rows, value):
        exponent = fit_exponent(rows, value)
        return rows[0]["layer"] + ("" if exponent is None else f", exponent {exponent:.2f}")

    causal = "causal" if config.causal else "not causal"
    steps.draw(
        path,
        f"A training step of one attention layer, {causal}, {backend}",
        table,
        "layer",
        values={"ms an example": milliseconds, "MiB an example": mebibytes},
        sweeps={"tokens of an example": ("sequence_length", table)},
        label=label,
        logarithmic=True,
    )


if __name__ == "__main__":
    command_line.run(main)
