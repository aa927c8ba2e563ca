"""Means whose weights are exponentials, with the largest exponent subtracted."""

from keras import ops

from keras_gimlp.backend.layer_normalization import widen

NONE = -1e30  # the exponent of a weight of 0: unlike infinity, it has differences
# The largest exponential is e^10 instead of 1: the largest weight of a mean is a product of two, of
# which one may be e^-80 of its largest, and float32 has to hold the weights far below it too.
LIFT = 10.0
LEAST = 1e-31  # e^(LIFT - 80); less counts as nothing, since its gradients overflow float32


def exponential_mean(weigh, keys, values, mask=None):
    """Returns means over positions with the weights `exp(key + position)`, in float32 at least.

        mean_t = sum_s exp(keys_s + positions_ts) values_s / sum_s exp(keys_s + positions_ts)

    It is always finite, and exact to 1e-5 if the keys of a head differ by up to 80 in an example,
    and the positions by up to 80. The mean of nothing is 0.

    Args:
        weigh: Function from a tensor of shape `(batch, ..., channels)` to its sums over positions
            with the weights `exp(positions)`, as `exponential` gives them.
        keys: Tensor of shape `(batch, ..., heads)`.
        values: Tensor of shape `(batch, ..., channels)`, the same number for every head.
        mask: Optional boolean tensor of shape `(batch, ...)`, false where a position has no weight.
    """
    keys, values = widen(keys), widen(values)
    if mask is not None:
        keys = ops.where(ops.expand_dims(ops.cast(mask, "bool"), -1), keys, NONE)
    axes = tuple(range(1, len(keys.shape) - 1))
    weights = exponential(keys, ops.amax(keys, axis=axes, keepdims=True))
    channels = values.shape[-1]
    total = weigh(ops.concatenate([spread(weights, channels) * values, weights], axis=-1))
    # Sliced, since PyTorch cannot trace `ops.split` at a number.
    weighted, weights = total[..., :channels], total[..., channels:]
    weights = ops.where(weights > LEAST, weights, 1.0)
    # Both in units of the weights, since the derivative of a quotient divides by their square.
    unit = ops.stop_gradient(1 / weights)
    return weighted * spread(unit, channels) / spread(weights * unit, channels)


def exponential(exponents, largest):
    """Returns `exp(exponents - largest + LIFT)`, and 0 where the exponent is `NONE`."""
    largest = ops.maximum(largest, NONE / 2)  # where all are `NONE`
    return ops.exp(exponents - ops.stop_gradient(largest - LIFT))


def spread(x, channels):
    """Repeats the value of each head for all of its channels."""
    heads = x.shape[-1]
    if heads == channels:
        return x
    # `ops.repeat` makes a constant of an unknown batch where PyTorch is traced.
    x = ops.expand_dims(x, -1) * ops.ones((channels // heads,), x.dtype)
    return ops.reshape(x, (*ops.shape(x)[:-2], channels))
