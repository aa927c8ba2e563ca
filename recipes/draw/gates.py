"""The effect of inhibition on a gate: its values with and without it, over an example."""

import dataclasses
import re

import numpy as np
from keras import ops

from keras_gimlp.layers import GateWithInhibition, Inhibition
from recipes.draw import PictureError, figures
from recipes.program import layers_within

GATES = 4  # drawn, unless others are named
BINS = 60


@dataclasses.dataclass(frozen=True)
class Gate:
    """The values of a gate for one example, `(..., channels)`, and `without` inhibition.

    Of a giCycleMLP that subtracts, they are what is left. `passed` is the share of values above the
    threshold, `rest` the gate where nothing passes: 1 if the paper's `+ 1` is part of it, or 0.
    """

    name: str
    values: np.ndarray
    without: np.ndarray
    passed: float
    rest: float


def draw(model, inputs, words=None, blocks=None):
    """Draws the values of gates as histograms, and their means over the channels as maps.

    Args:
        model: giCycleMLP, giBERT, giRoBERTa or giDeBERTaV3, or a task on it.
        inputs: One example as the model takes it, in a batch of its own.
        words: The words of a text's tokens. Defaults to `None`, an image.
        blocks: Numbers of the gates; an encoder that gates queries and keys has two a layer.
            Defaults to `None`, at most four from the first to the last.

    Returns:
        A `Figure`: histograms of the gate, and as a line without inhibition; below, maps of the
        gate over the image or, of all gates, over the words.
    """
    gates = gates_of(model, inputs)
    chosen = figures.choose(gates, blocks or figures.spread(len(gates), GATES), "blocks")
    columns = len(chosen) + (words is None)
    height = 3.4 + 2.0 if words is None else 3.2 + 0.22 * len(gates) + 0.9
    figure = figures.new(height, f"What inhibition leaves of the gates of {figures.name_of(model)}")
    upper, lower = figure.subfigures(2, 1, height_ratios=[3, height - 3])
    panels = upper.subplots(1, len(chosen), sharey=True, squeeze=False)[0]
    for axes, gate in zip(panels, chosen, strict=True):
        draw_histogram(axes, gate)
    panels[0].set_ylabel("share of the values")
    upper.legend(
        *panels[0].get_legend_handles_labels(),
        fontsize="small",
        loc="outside lower center",
        ncols=2,
    )
    if words is not None:
        draw_words(lower, gates, words)
        return figure
    first, *panels = lower.subplots(1, columns, squeeze=False)[0]
    figures.show_image(first, np.asarray(inputs)[0])
    first.set_title("image", fontsize="small")
    for axes, gate in zip(panels, chosen, strict=True):
        image = figures.show_signed(axes, gate.values.mean(-1), center=gate.rest)
        figures.no_ticks(axes)
        axes.set_title(f"{gate.name}, mean", fontsize="small")
        bar = lower.colorbar(image, ax=axes, location="bottom", fraction=0.06, pad=0.03)
        bar.ax.tick_params(labelsize="x-small")
    return figure


def draw_histogram(axes, gate):
    both = np.concatenate([gate.values.ravel(), gate.without.ravel()])
    edges = np.linspace(both.min(), max(both.max(), both.min() + 1e-6), BINS + 1)
    for values, label, style in (
        (gate.values, "with", {"color": "tab:red", "alpha": 0.6}),
        (gate.without, "without", {"color": "black", "histtype": "step"}),
    ):
        shares = np.full(values.size, 1 / values.size)
        axes.hist(values.ravel(), edges, weights=shares, label=f"{label} inhibition", **style)
    axes.set_yscale("log")
    axes.set_title(f"{gate.name}\n{gate.passed:.1%} above the threshold", fontsize="small")
    axes.set_xlabel("value", fontsize="small")
    axes.tick_params(labelsize="small")


def draw_words(figure, gates, words):
    """Draws all gates, one a row, over the words of a text."""
    axes = figure.subplots()
    rest = gates[0].rest
    table = np.stack([gate.values.mean(-1) for gate in gates])
    image = figures.show_signed(axes, table, center=rest, aspect="auto")
    axes.set_title("mean over the channels", fontsize="small")
    axes.set_xticks(range(len(words)), words, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(gates)), [gate.name for gate in gates], fontsize="small")
    figure.colorbar(image, ax=axes, label="mean")


def gates_of(model, inputs):
    """Returns the `Gate`s of a model for one example, in the order in which they stand in it."""
    check(model)
    layers = layers_within.find(model, GateWithInhibition)
    if not layers:  # giCycleMLP that subtracts
        alone = layers_within.find(model, Inhibition)
        calls = layers_within.record(model, inputs, alone)
        return [
            Gate(x.name, left[0], scores[0], passed(left), 0.0)
            for x, ((scores, left),) in zip(alone, calls, strict=True)
        ]
    gates = []
    calls = layers_within.record(model, inputs, [x.inhibit for x in layers])
    for names, layer, pairs in zip(names_of(model, layers), layers, calls, strict=True):
        for name, (scores, left) in zip(names, pairs, strict=True):
            values, without = (
                ops.convert_to_numpy(layer.activation(ops.convert_to_tensor(x[0]))) + layer.residual
                for x in (left, scores)
            )
            gates.append(Gate(name, values, without, passed(left), float(layer.residual)))
    return gates


def names_of(model, layers):
    """Returns the names of every layer's gates: in an encoder, of its queries and its keys."""
    # By an attribute of such a layer: its class needs KerasHub.
    attentions = [x for x in layers_within.layers_of(model) if hasattr(x, "gate_query")]
    attention_of = {id(x.gate): x for x in attentions if hasattr(x, "gate")}
    for layer in layers:
        attention = attention_of.get(id(layer))
        if attention is None:
            yield [layer.name.removesuffix("_gate")]
            continue
        number = re.search(r"(\d+)/gated_attention/", layer.weights[0].path).group(1)
        sides = {"query": attention.gate_query, "key": attention.gate_key}
        yield [f"layer {number}, {side}" for side, has in sides.items() if has]


def check(model):
    """Raises `PictureError` if a model has no gates."""
    if not layers_within.find(model, Inhibition):
        raise PictureError(
            f"{figures.name_of(model)} has no gates with inhibition: giCycleMLP, giBERT, "
            "giRoBERTa and giDeBERTaV3 have them."
        )


def passed(left):
    return float((left > 0).mean())
