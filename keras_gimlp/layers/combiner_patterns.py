"""What a token attends to in Combiner: other tokens, or summaries of spans.

In the shapes, B is the batch, H heads, R rows and C columns of the grid in which the tokens stand,
D the channels of a head, and T the number of what a token attends to. In `"fixed"` a row is a
segment; in `"logsparse"` all tokens stand in one row. Masks have the shape (B, 1, R, C).

Nothing here has N x N elements, where N = R C is the number of tokens.
"""

import functools
import typing

from keras import ops

from keras_gimlp.backend.layer_normalization import widen

# Which keys a query sees: those of its own row, those of its own column, or one of each row.
# The axes of keys and values, of which `j` is the one that is attended to.
ROW, COLUMN, EVERY_ROW = "bhrjd", "bhjcd", "bhjd"
LOWEST = -1e9  # the score of what is not allowed: finite, so that no gradient is NaN
# The same in a maximum of queries or keys, in float16 too. Finite, since what gets a zero instead
# is multiplied by zero in exported files.
NO_MAXIMUM = -6e4


class Terms(typing.NamedTuple):
    """Tokens or spans that each token attends to."""

    scores: typing.Any  # (B, H, R, C, T)
    allowed: typing.Any  # booleans that broadcast to the scores, or None: all
    weigh: typing.Callable  # from weights, like the scores, to the sum of the values times those


def attend(q, k, v, axes, allowed=None):
    """Returns the terms of queries of shape (B, H, R, C, D)."""
    scores = ops.einsum(f"bhrcd,{axes}->bhrcj", q, k)
    return Terms(scores, allowed, lambda w: ops.einsum(f"bhrcj,{axes}->bhrcd", w, v))


def expectation(*terms):
    """Returns the expected values under one softmax over all terms, of shape (B, H, R, C, D).

    The softmax is computed in float32 at least. What has no term that is allowed gets zeros.
    """
    scores = [widen(t.scores) for t in terms]
    scores = [
        s if t.allowed is None else ops.where(t.allowed, s, LOWEST)
        for t, s in zip(terms, scores, strict=True)
    ]
    scores = ops.concatenate(scores, axis=-1)
    # Of a softmax over one term, which is all there is to one token, Keras would warn.
    weights = ops.ones_like(scores) if scores.shape[-1] == 1 else ops.softmax(scores)
    weights = ops.cast(weights, terms[0].scores.dtype)
    parts, start = [], 0
    for t in terms:  # sliced, since `ops.split` takes no number that is a tensor
        stop = start + ops.shape(t.scores)[-1]
        parts.append(t.weigh(weights[..., start:stop]))
        start = stop
    mixed = functools.reduce(ops.add, parts)
    if any(t.allowed is None for t in terms):
        return mixed
    some = [ops.any(t.allowed, axis=-1, keepdims=True) for t in terms]
    return ops.where(functools.reduce(ops.logical_or, some), mixed, 0.0)


# Booleans


def both(*conditions):
    """Returns where all conditions hold, of which `None` holds everywhere."""
    conditions = [condition for condition in conditions if condition is not None]
    return functools.reduce(ops.logical_and, conditions) if conditions else None


def pairs(compare, n):
    """Returns for `n` positions which others each may see, of shape (n, n)."""
    positions = ops.arange(n)
    return compare(ops.expand_dims(positions, 1), positions)


def over_row(mask):
    """Returns a mask for terms of each token's own row: (..., R, C) becomes (..., R, 1, C)."""
    return None if mask is None else ops.expand_dims(mask, -2)


def over_column(mask):
    """Returns a mask for terms of each token's own column: (..., R, C) becomes (..., 1, C, R)."""
    return None if mask is None else ops.expand_dims(ops.swapaxes(mask, -1, -2), -3)


def any_in_row(mask):
    """Returns which rows have a token, of shape (B, 1, R, 1)."""
    return None if mask is None else ops.any(mask, axis=-1, keepdims=True)


# Summaries


def only(mask, x, otherwise):
    """Returns tokens of shape (B, H, R, C, D), and another value in the place of masked ones."""
    return x if mask is None else ops.where(ops.expand_dims(mask, -1), x, otherwise)


def maximum_of_rows(x, mask):
    """Returns the maximum over each row, of shape (B, H, R, 1, D): zeros if it has no token."""
    maximum = ops.amax(only(mask, x, NO_MAXIMUM), axis=3, keepdims=True)
    return only(any_in_row(mask), maximum, 0.0)


def maximum_before(x, axis):
    """Returns at each position the maximum over those before it, `NO_MAXIMUM` at the first."""
    size = x.shape[axis]
    cut = (*(slice(None),) * axis, slice(size))

    def delay(x, steps):
        widths = [(0, 0)] * len(x.shape)
        widths[axis] = (steps, 0)
        return ops.pad(x, widths, constant_values=NO_MAXIMUM)[cut]

    x, seen = delay(x, 1), 1
    while seen < size - 1:
        x, seen = ops.maximum(x, delay(x, seen)), 2 * seen
    return x


def maximum_of_others(x):
    """Returns at each token the maximum over the other tokens of its row."""
    before = maximum_before(x, axis=3)
    after = ops.flip(maximum_before(ops.flip(x, axis=3), axis=3), axis=3)
    return ops.maximum(before, after)


def summarize_rows(q, k, v, mask):
    """Returns the key and the value that stand for each row, of shape (B, H, R, 1, D).

    The key is the maximum of the keys. The value is what the maximum of the queries attends to.
    """
    terms = attend(maximum_of_rows(q, mask), k, v, ROW, over_row(mask))
    return maximum_of_rows(k, mask), expectation(terms)


# Patterns, each from queries, keys, values and mask to all terms of a token. All but `fixed` are
# causal.


def up_to_itself(q, k, v, mask):
    """Returns the terms of the tokens of a row from its first to the token itself."""
    return attend(q, k, v, ROW, both(pairs(ops.greater_equal, q.shape[3]), over_row(mask)))


def fixed(q, k, v, mask, causal):
    keys, values = summarize_rows(q, k, v, mask)
    segment = up_to_itself(q, k, v, mask) if causal else attend(q, k, v, ROW, over_row(mask))
    others = pairs(ops.greater if causal else ops.not_equal, ops.shape(q)[2])
    return segment, attend(
        q,
        ops.squeeze(keys, 3),
        ops.squeeze(values, 3),
        EVERY_ROW,
        both(ops.expand_dims(others, 1), over_column(any_in_row(mask))),
    )


def logsparse(q, k, v, mask):
    itself = Terms(
        ops.sum(q * k, axis=-1, keepdims=True),
        None if mask is None else ops.expand_dims(mask, -1),
        lambda w: w * v,
    )
    sizes = [2**level for level in range((q.shape[3] - 1).bit_length())]
    return itself, *(block_before(q, k, v, mask, size) for size in sizes)


def block_before(q, k, v, mask, size):
    """Returns the terms of every second block of `size` tokens: the block before it, summarized.

    The token at position p is in such a block if p has the bit of `size`. These are the blocks that
    make up the binary form of p, so together they cover all tokens before p, each once.
    """
    columns = q.shape[3]

    def blocks(x):  # first and second of each pair: (B, H, C / (2 size), size, D)
        shape = (-1, x.shape[1], columns // (2 * size), 2 * size, x.shape[-1])
        return ops.split(ops.reshape(x, shape), 2, axis=3)

    def line(first, second):  # (B, H, 1, C, D)
        x = ops.concatenate([first, second], axis=3)
        return ops.reshape(x, (-1, x.shape[1], 1, columns, x.shape[-1]))

    def second_alone(x):
        return line(ops.zeros_like(x), x)

    second = ops.expand_dims(ops.arange(columns) // size % 2 == 1, -1)  # (C, 1)
    if mask is None:
        first_mask, allowed = None, second
    else:
        first_mask = ops.squeeze(blocks(ops.expand_dims(mask, -1))[0], -1)
        seen = ops.repeat(ops.expand_dims(any_in_row(first_mask), -1), size, axis=3)
        allowed = both(second, line(seen, seen))
    (q_1, q_2), (k_1, _), (v_1, _) = (blocks(x) for x in (q, k, v))
    terms = attend(q_2, *summarize_rows(q_1, k_1, v_1, first_mask), ROW)
    return Terms(
        second_alone(terms.scores), allowed, lambda w: second_alone(terms.weigh(blocks(w)[1]))
    )


def axial_vertical(q, k, v, mask):
    rows, columns = q.shape[2:4]
    above = both(ops.expand_dims(pairs(ops.greater, rows), 1), over_column(mask))  # (.., R, C, R)
    column = attend(q, k, v, COLUMN, above)
    # At each token, the tokens above it in its column in one.
    some = ops.any(above, axis=-1)
    q_above, k_above = (
        only(some, maximum_before(only(mask, x, NO_MAXIMUM), axis=2), 0.0) for x in (q, k)
    )
    v_above = expectation(attend(q_above, k, v, COLUMN, above))
    others = attend(q, k_above, v_above, ROW, both(pairs(ops.not_equal, columns), over_row(some)))
    return up_to_itself(q, k, v, mask), column, others


def axial_horizontal(q, k, v, mask):
    rows, columns = ops.shape(q)[2], q.shape[3]
    above = ops.expand_dims(pairs(ops.greater, rows), 1)  # (R, 1, R)
    column = attend(q, k, v, COLUMN, both(above, over_column(mask)))
    # At each token, the other tokens of its row in one.
    others = both(ops.expand_dims(pairs(ops.not_equal, columns), 0), over_row(mask))
    some = ops.any(others, axis=-1)
    q_others, k_others = (
        only(some, maximum_of_others(only(mask, x, NO_MAXIMUM)), 0.0) for x in (q, k)
    )
    v_others = expectation(attend(q_others, k, v, ROW, others))
    rows_above = attend(q, k_others, v_others, COLUMN, both(above, over_column(some)))
    return up_to_itself(q, k, v, mask), column, rows_above


def axial_rowmajor(q, k, v, mask):
    rows, columns = ops.shape(q)[2], q.shape[3]
    above = ops.expand_dims(pairs(ops.greater, rows), 1)  # (R, 1, R)
    # At each token, its whole row in one.
    k_row = ops.repeat(maximum_of_rows(k, mask), columns, axis=3)
    v_row = expectation(attend(only(mask, q, 0.0), k, v, ROW, over_row(mask)))
    rows_above = attend(q, k_row, v_row, COLUMN, both(above, over_column(any_in_row(mask))))
    return up_to_itself(q, k, v, mask), rows_above


PATTERNS = {
    "fixed": fixed,
    "logsparse": logsparse,
    "axial_vertical": axial_vertical,
    "axial_horizontal": axial_horizontal,
    "axial_rowmajor": axial_rowmajor,
}
