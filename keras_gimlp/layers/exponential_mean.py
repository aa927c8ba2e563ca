"""Means whose weights are exponentials, also of exponents that float32 has no exponential of."""

import keras
from keras import ops

from keras_gimlp.backend.layer_normalization import widen

NONE = -1e30  # an exponent of no weight, which other than infinity has differences
# The exponents of a weight are at most 0. Two products of their exponentials together hold all that
# counts down to -160 of both, of which float32 holds -87 to 88: one of the positions above `SPLIT`,
# in units of up to e^-75, and one of those below. More than 75 would leave too little for the sums.
SPLIT = -80.0
NEAR, FAR = 75.0, 10.0  # added to the exponents of the keys, `NEAR` at the most
FAINT = 50.0  # in units of e^-50 or more, what lies below `SPLIT` is lost in the digits of the rest
LEAST = 1.2e-38  # the smallest number of float32 with all its digits, whose inverse is finite


def exponential_mean(weigh, keys, values, positions=None, lowest=0.0, mask=None):
    """Returns means over positions with the weights `exp(key + position)`, in float32 at least.

        mean_t = sum_s exp(keys_s + positions_ts) values_s / sum_s exp(keys_s + positions_ts)

    The mean of nothing is 0. Weights are exact where, within an example, no key of a head is more
    than 160 below its largest, nor a position; beyond that, they may count as nothing. Gradients
    are finite down to about 130.

    Args:
        weigh: Function that sums over positions. It takes the exponentials of `positions`, in their
            structure, and a tensor of shape `(batch, ..., channels)`.
        keys: Tensor of shape `(batch, ..., heads)`.
        values: Tensor of shape `(batch, ..., channels)`, of which every head has as many.
        positions: Exponents that are at most 0, in any structure of tensors. Defaults to `None`: 0
            for all.
        lowest: The smallest exponent of `positions` that is not `NONE`, or less; of a shape that
            broadcasts to the keys. Defaults to 0.
        mask: Optional boolean tensor of shape `(batch, ...)`, false where a position has no weight.
    """
    keys, values = hide(widen(keys), mask), widen(values)
    axes = tuple(range(1, len(keys.shape) - 1))
    # The largest key is a factor of both sums. Hidden twice, for an example with nothing else.
    largest = ops.stop_gradient(ops.amax(keys, axis=axes, keepdims=True))
    keys = hide(keys - largest, mask)
    channels = values.shape[-1]

    # Sums in units in which they are 1 at least: gradients go through them in the same units, and
    # those of much smaller ones would be lost.
    lift = ops.clip(
        -ops.amin(ops.where(keys > NONE / 2, keys, 0.0), axis=axes, keepdims=True) - lowest,
        0.0,
        NEAR,
    )
    lift = ops.stop_gradient(lift)

    def sums(weights, positions):
        weighted = spread(weights, channels) * values
        return weigh(positions, ops.concatenate([weighted, weights], axis=-1))

    if positions is None:
        total = sums(ops.exp(keys + lift), None)
    else:
        near = keras.tree.map_structure(lambda p: ops.exp(ops.where(p < SPLIT, NONE, p)), positions)
        far = keras.tree.map_structure(
            lambda p: ops.exp(ops.where(p < SPLIT, p - SPLIT, NONE)), positions
        )
        faint = ops.where(lift > FAINT, ops.exp(SPLIT - FAR + lift), 0.0)
        total = sums(ops.exp(keys + lift), near) + sums(faint * ops.exp(keys + FAR), far)
    # Sliced, since PyTorch cannot trace `ops.split` at a number.
    weighted, weights = total[..., :channels], total[..., channels:]
    weights = ops.where(weights > LEAST, weights, 1.0)
    # Both sums in units of the weights, whose square is in the derivative of a quotient.
    unit = ops.stop_gradient(1 / weights)
    return weighted * spread(unit, channels) / spread(weights * unit, channels)


def hide(exponents, mask):
    if mask is None:
        return exponents
    return ops.where(ops.expand_dims(ops.cast(mask, "bool"), -1), exponents, NONE)


def spread(x, channels):
    """Repeats what each head has for its channels."""
    heads = x.shape[-1]
    if heads == channels:
        return x
    # `ops.repeat` makes a constant of an unknown batch where PyTorch is traced.
    x = ops.expand_dims(x, -1) * ops.ones((channels // heads,), x.dtype)
    return ops.reshape(x, (*ops.shape(x)[:-2], channels))
