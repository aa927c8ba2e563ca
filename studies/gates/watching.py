"""Looks into a gated encoder, or a plain one, while it is trained."""

import contextlib
import csv

import keras
import numpy as np
from keras import ops

from keras_gimlp.applications.text.gated_attention import GatedAttention
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
    """Writes what gates and attention do to some examples, and how large their gradients are.

    See `studies.gates.diagnosis` for the columns. A continued run goes on in the same file.

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
        self.batches = step  # the optimizer's own count lags behind on JAX
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
        found = look(self.model, self.inputs)
        self.write("a", [{"step": self.step, "layer": i} | x for i, x in enumerate(found)])

    def write(self, mode, rows):
        if distribution.process():
            return
        with open(self.path, mode, newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if mode == "w":
                writer.writeheader()
            writer.writerows(rows)


def look(model, inputs):
    """Returns what the layers of a compiled encoder do to `inputs`: a dictionary a layer."""
    layers = attention_layers(model)
    mask = np.asarray(ops.convert_to_numpy(inputs["padding_mask"]), bool)
    shares = [[] for _ in layers]
    with contextlib.ExitStack() as stack:
        for (attention, _), kept in zip(layers, shares, strict=True):
            stack.enter_context(recorded(attention, kept))
        calls = iter(layers_within.record(model, inputs, [gate for _, gate in layers if gate]))
    return [
        (statistics(next(calls)[0][1][mask]) if gate else {})
        | {"entropy": entropy(kept[0], mask) if kept else ""}
        | gradients(model.optimizer, attention, gate)
        for (attention, gate), kept in zip(layers, shares, strict=True)
    ]


def attention_layers(model):
    """Returns for each layer its attention and its `GateWithInhibition`, `None` in a plain one."""
    gated = layers_within.find(model, GatedAttention)
    if gated:
        return [(layer.attention, layer.gate) for layer in gated]
    # By what such a layer has: DeBERTaV3's is no `MultiHeadAttention`.
    return [(x, None) for x in layers_within.layers_of(model) if hasattr(x, "_masked_softmax")]


@contextlib.contextmanager
def recorded(attention, kept):
    """Lets an attention layer of Keras or KerasHub keep the shares that its softmax gives."""
    softmax = attention._masked_softmax

    def keep(*args, **kwargs):
        y = softmax(*args, **kwargs)
        kept.append(ops.convert_to_numpy(ops.cast(y, "float32")))
        return y

    vars(attention)["_masked_softmax"] = keep  # past what Keras tracks
    try:
        yield
    finally:
        del vars(attention)["_masked_softmax"]


def statistics(values):
    """Returns the columns of the gates of a layer, of their values at all tokens."""
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


def gradients(optimizer, attention, gate):
    """Returns the root mean squares of the gradients of a layer, as AdamW estimates them."""
    projections = attention._query_dense, attention._key_dense
    groups = {
        "gradient_gate": gate.trainable_variables if gate else [],
        "gradient_attention": [x for layer in projections for x in layer.trainable_variables],
    }
    return {name: root_mean_square(optimizer, variables) for name, variables in groups.items()}


def root_mean_square(optimizer, variables):
    """Returns AdamW's estimate for some variables, `""` if none was trained yet.

    The averages start at zero, which the division makes up for.
    """
    steps = int(ops.convert_to_numpy(optimizer.iterations))
    places = {id(x): i for i, x in enumerate(optimizer._trainable_variables)}
    squares = [
        ops.convert_to_numpy(optimizer._velocities[places[id(x)]]).ravel()
        for x in variables
        if id(x) in places
    ]
    if not (squares and steps):
        return ""
    return float(np.sqrt(np.concatenate(squares).mean() / (1 - optimizer.beta_2**steps)))
