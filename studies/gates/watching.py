"""Looks into a gated or plain encoder while it is trained."""

import csv

import keras
import numpy as np
from keras import ops

from keras_gimlp.layers import GateWithInhibition
from recipes.program import files, layers_within
from recipes.training import distribution

QUANTILES = (5, 50, 95)
COLUMNS = (
    "step",
    "layer",
    "gate_mean",
    "gate_least",
    *(f"gate_{q}" for q in QUANTILES),
    "gate_greatest",
    "entropy",
    "gradient_gate",
    "gradient_attention",
)


class GateWatch(keras.callbacks.Callback):
    """Writes statistics of gates, attention and gradients for some examples.

    See `studies.gates.diagnosis` for the columns. A continued run continues the file.

    Args:
        inputs: Batch of inputs of the task.
        every: Integer, steps between two looks. The first is before the first step.
        path: Path of the `.csv` file.
    """

    def __init__(self, inputs, every, path):
        super().__init__()
        self.inputs = inputs
        self.every = every
        self.path = path

    def on_train_begin(self, logs=None):
        step = self.step
        rows = []
        if step:
            rows = [row for row in files.read_rows(self.path) if int(row["step"]) <= step]
        self.write("w", rows)
        self.batches = step  # on JAX, the count of the optimizer lags behind
        if not step:
            self.look()

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        if self.batches % self.every == 0:
            if hasattr(self.model, "jax_state_sync"):
                self.model.jax_state_sync()
            self.look()

    @property
    def step(self):
        return int(ops.convert_to_numpy(self.model.optimizer.iterations))

    def look(self):
        """Adds one row a layer to the file."""
        layers = look(self.model, self.inputs)
        self.write("a", [{"step": self.step, "layer": i} | row for i, row in enumerate(layers)])

    def write(self, mode, rows):
        if distribution.process():
            return
        with open(self.path, mode, newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if mode == "w":
                writer.writeheader()
            writer.writerows(rows)


def look(model, inputs):
    """Returns the columns of a compiled encoder or task for some inputs: a dictionary a layer."""
    encoder = getattr(model, "backbone", model)
    blocks = [layer for layer in encoder.layers if layers_within.find(layer, keras.layers.Softmax)]
    softmaxes = [layers_within.find(block, keras.layers.Softmax)[0] for block in blocks]
    gates = [next(iter(layers_within.find(block, GateWithInhibition)), None) for block in blocks]
    watched = [*softmaxes, *filter(None, gates)]
    calls = zip(watched, layers_within.record(model, inputs, watched), strict=True)
    # Without dropout, Keras' attention calls no softmax.
    outputs = {layer: pairs[0][1] for layer, pairs in calls if pairs}
    mask = np.asarray(ops.convert_to_numpy(inputs["padding_mask"]), bool)
    return [
        (statistics(outputs[gate][mask]) if gate else {})
        | {"entropy": entropy(outputs[softmax], mask) if softmax in outputs else ""}
        | gradients(model.optimizer, block, gate)
        for block, softmax, gate in zip(blocks, softmaxes, gates, strict=True)
    ]


def statistics(values):
    """Returns the columns of the gates of a layer, given their values at all tokens."""
    return {
        "gate_mean": values.mean(),
        "gate_least": values.min(),
        "gate_greatest": values.max(),
        **{f"gate_{q}": np.percentile(values, q) for q in QUANTILES},
    }


def entropy(shares, mask):
    """Returns the mean entropy of attention, `(batch, heads, to, from)`, from 0 to 1."""
    lengths = mask.sum(-1)
    nats = -(shares * np.log(np.maximum(shares, 1e-12))).sum(-1).mean(1)  # (batch, to)
    return (nats / np.log(np.maximum(lengths, 2))[:, None])[mask].mean()


def gradients(optimizer, block, gate):
    """Returns the root mean squares of the gradients of a layer, as AdamW estimates them."""
    groups = {
        "gradient_gate": gate.trainable_variables if gate else [],
        "gradient_attention": [
            variable
            for variable in block.trainable_variables
            if {"query", "key"} & set(variable.path.split("/"))
        ],
    }
    return {name: root_mean_square(optimizer, variables) for name, variables in groups.items()}


def root_mean_square(optimizer, variables):
    """Returns AdamW's estimate for some variables, `""` without any or before the first step.

    The averages start at 0; the division by `1 - beta_2^steps` corrects that.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # float16 scales the loss
    steps = int(ops.convert_to_numpy(optimizer.iterations))
    if not (variables and steps):
        return ""
    averages = {x.name: x for x in optimizer.variables}
    names = [f"{x.path.replace('/', '_')}_velocity" for x in variables]
    squares = np.concatenate([ops.convert_to_numpy(averages[name]).ravel() for name in names])
    return float(np.sqrt(squares.mean() / (1 - optimizer.beta_2**steps)))
