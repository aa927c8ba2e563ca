"""Measures time and memory of attention layers against the number of tokens.

    python -m studies.scaling.attention
    python -m studies.scaling.attention --layers MultiHeadAttention fixed --no_causal

A step trains one layer on random tokens, as many in a step at every length. The layers are
`MultiHeadAttention`, Keras' own, and the patterns of `CombinerAttention`, with segments and rows of
about the square root of the length. Each runs in a process of its own, and those of one length take
turns: the times are medians over the rounds. The memory is the peak of a process beyond what it
held when the layer was built. It is the host's (with an accelerator none is reported), and on JAX
and TensorFlow it includes the compiler's. The exponent is that of the growth with the length, of an
example, fitted to the three longest lengths. `scaling.md`, `scaling.json` and `scaling.png` are
written.
"""

import dataclasses
import math
import pathlib
from typing import Literal

import numpy as np

from recipes.program import command_line, files, machine
from recipes.program.command_line import Count
from studies.scaling import steps

PROGRAM = "python -m studies.scaling.attention"
FULL = "MultiHeadAttention"
AXIAL = ("axial_vertical", "axial_horizontal", "axial_rowmajor")
PATTERNS = ("fixed", "logsparse", *AXIAL)
FITTED = 3  # lengths, the longest


@dataclasses.dataclass(frozen=True)
class Config:
    """What to measure. The comments are the help of the command line."""

    # Configuration that gives every other option its default.
    config: str = "short"
    # Folder of the results. None: runs/attention-scaling-CONFIG-BACKEND.
    run_dir: str | None = None
    # MultiHeadAttention, or patterns of CombinerAttention.
    layers: tuple[str, ...] = (FULL, *PATTERNS)
    # Whether a token attends to itself and the tokens before it only. All patterns but fixed do.
    causal: bool = True
    # Lengths to measure.
    sequence_length: tuple[Count, ...] = (256, 512, 1024, 2048, 4096, 8192)
    # Tokens per step.
    tokens: Count = 8192
    # Channels.
    dim: Count = 512
    # Heads.
    num_heads: Count = 8
    # Warm-up steps, which include compilation.
    warmup_steps: Count = 2
    # Steps to measure.
    rounds: Count = 5
    # Precision of the computation. The weights are always float32.
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"


CONFIGURATIONS = command_line.named({"short": Config()})


@dataclasses.dataclass(frozen=True)
class Point:
    """A layer at a length."""

    layer: str
    sequence_length: int


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    check(config)
    # Not at the top of the file: --help would wait for them.
    import keras

    from recipes.training import runs

    backend = keras.backend.backend()
    folder = pathlib.Path(config.run_dir or f"runs/attention-scaling-{config.config}-{backend}")
    with runs.open_run(folder, config):
        table = []
        for length in sorted(set(config.sequence_length)):
            rows = steps.measure(serve, config, [Point(name, length) for name in config.layers])
            for row in rows:
                row["batch_size"] = config.tokens // length
                print(f"{row['layer']}, {length} tokens: {milliseconds(row):,.1f} ms", flush=True)
            table += rows
            files.write_json(folder / "scaling.json", table)
            (folder / "scaling.md").write_text(format_tables(table))
        draw(config, table, backend, folder / "scaling.png")
    print(f"{(folder / 'scaling.md').read_text()}\nPlot: {folder / 'scaling.png'}")


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
    for length in config.sequence_length:
        if config.tokens % length:
            raise SystemExit(
                f"--tokens must be a multiple of every length. Received: {config.tokens}, {length}"
            )


def serve(end, config, point):
    """Builds the layer of a point, and takes a step whenever it is told to, in its own process."""
    from recipes.training import devices

    devices.prepare(config.precision, seed=0)
    model = build(config, point)
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    shape = (config.tokens // point.sequence_length, point.sequence_length, config.dim)
    x, y = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    before = machine.resident("VmRSS")
    for _ in range(config.warmup_steps):
        model.train_on_batch(x, y)
    end.send({"parameters": model.count_params()})
    # It returns the loss, which waits for the device.
    steps.take_turns(end, lambda: model.train_on_batch(x, y), before)


def build(config, point):
    """Returns a model of the layer alone."""
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
    """Returns the memory of a step for one example, `None` where it is not known."""
    return None if row["mebibytes"] is None else row["mebibytes"] / row["batch_size"]


def fit_exponent(rows, value):
    """Returns the exponent with which a value grows with the length, `None` if it is not known."""
    rows = sorted(rows, key=lambda row: row["sequence_length"])[-FITTED:]
    values = [value(row) for row in rows]
    if len(rows) < 2 or not all(values):
        return None
    return np.polyfit(np.log([row["sequence_length"] for row in rows]), np.log(values), 1)[0]


def group(table):
    """Returns the rows of each layer, by its name."""
    return {
        name: [row for row in table if row["layer"] == name]
        for name in dict.fromkeys(row["layer"] for row in table)
    }


def format_tables(table):
    """Returns the tables of all points and of the exponents.

    The last column of the first is the time relative to the first layer's, by turns.
    """
    first = {
        row["sequence_length"]: row["milliseconds"]
        for row in table
        if row["layer"] == table[0]["layer"]
    }

    def number(value, form):
        return "" if value is None else f"{value:{form}}"

    points = [
        [
            row["layer"],
            str(row["sequence_length"]),
            f"{row['parameters']:,}",
            f"{milliseconds(row):,.2f}",
            number(mebibytes(row), ",.1f"),
            f"{np.median(np.divide(row['milliseconds'], first[row['sequence_length']])):.2f}",
        ]
        for row in table
    ]
    exponents = [
        [name, *(number(fit_exponent(rows, value), ".2f") for value in (milliseconds, mebibytes))]
        for name, rows in group(table).items()
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
    from matplotlib.figure import Figure

    values = {"ms an example": milliseconds, "MiB an example": mebibytes}
    if any(row["mebibytes"] is None for row in table):
        del values["MiB an example"]
    figure = Figure(figsize=(5.5 * len(values), 4.2), layout="constrained")
    for axes, (unit, value) in zip(
        figure.subplots(1, len(values), squeeze=False)[0], values.items(), strict=True
    ):
        for name, rows in group(table).items():
            exponent = fit_exponent(rows, value)
            label = name if exponent is None else f"{name}, exponent {exponent:.2f}"
            lengths = [row["sequence_length"] for row in rows]
            axes.loglog(lengths, [value(row) for row in rows], "o-", label=label)
        axes.set(xlabel="tokens of an example", ylabel=unit)
        axes.set_xticks([], minor=True)
        lengths = sorted({row["sequence_length"] for row in table})
        axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize="small")
    title = "causal" if config.causal else "not causal"
    figure.suptitle(f"A training step of one attention layer, {title}, {backend}")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    command_line.run(main)
