"""Masks for masked language modelling, and the batches of masked examples.

Which example comes next, and where it is masked, are functions of the seed and of the example's
number in the run. So a continued run starts anywhere at once, and sees the same.
"""

import tensorflow as tf

from recipes.program import machine
from recipes.training import distribution, streams


def masks(sequence_length, mask_rate):
    """Returns how many tokens of an example are to be predicted."""
    return max(round(mask_rate * (sequence_length - 2)), 1)


def masking(tokenizer, sequence_length, mask_rate, seed, names):
    """Returns the function that masks the example of a number.

    Of the tokens between the special ones, a share of `mask_rate` is to be predicted. Of these 80 %
    are replaced by `[MASK]`, 10 % by a token at random, and 10 % are left. `names` are the
    encoder's inputs.
    """
    count = masks(sequence_length, mask_rate)
    words = sorted(set(range(tokenizer.vocabulary_size())) - set(tokenizer.special_token_ids))
    words = tf.constant(words, tf.int32)

    def mask(number, ids):
        ids = tf.ensure_shape(ids, (sequence_length,))
        seeds = tf.random.split(tf.stack([tf.constant(seed, tf.int64), number]), 3)
        scores = tf.random.stateless_uniform((sequence_length - 2,), seeds[0])
        positions = tf.sort(tf.math.top_k(scores, count).indices) + 1
        chance = tf.random.stateless_uniform((count,), seeds[1])
        others = tf.random.stateless_uniform((count,), seeds[2], maxval=len(words), dtype=tf.int32)
        truth = tf.gather(ids, positions)
        shown = tf.where(chance < 0.9, tf.gather(words, others), truth)
        shown = tf.where(chance < 0.8, tokenizer.mask_token_id, shown)
        x = {
            "token_ids": tf.tensor_scatter_nd_update(ids, positions[:, None], shown),
            "padding_mask": tf.ones_like(ids),
            "segment_ids": tf.zeros_like(ids),
            "mask_positions": positions,
        }
        return {name: x[name] for name in (*names, "mask_positions")}, truth

    return mask


def training_batches(examples, mask, *, seed, batch_size, first_step):
    """Returns the batches from `first_step` on, as one stream: pass after pass over all examples.

    `examples` are `tokens.Examples`, `mask` is the function of `masking`. Each pass has a new
    order.
    """
    size = len(examples)

    def place(number):
        order = tf.stack([tf.constant(seed, tf.int64), number // size])
        return number, tf.random.experimental.index_shuffle(number % size, order, size - 1)

    numbers = tf.data.Dataset.counter(first_step * batch_size)
    return masked_batches(numbers.map(place), examples, mask, batch_size)


def test_batches(examples, mask, batch_size):
    """Returns all examples in order, masked in the same places at every test, with weights.

    See `streams.whole_batches`.
    """
    numbers = tf.data.Dataset.range(len(examples)).map(lambda number: (number, number))
    weighted = streams.whole_batches(numbers, len(examples), batch_size)
    batches = masked_batches(weighted, examples, mask, batch_size)
    # Keras warns of a data set whose end comes unforeseen.
    count = -(-len(examples) // batch_size)
    return batches.apply(tf.data.experimental.assert_cardinality(count))


def masked_batches(numbers, examples, mask, batch_size):
    """Returns masked batches of examples.

    `numbers` is a `tf.data.Dataset` of the number in the run, the number of the example, and in
    tests its weight. `batch_size` is that of all devices together.
    """
    size = distribution.own_size(batch_size)

    def read(number, place, *weight):
        return number, tf.numpy_function(examples.__getitem__, [place], tf.int32), *weight

    def masked(number, ids, *weight):
        x, y = mask(number, ids)
        return x, y, *(tf.fill(tf.shape(y), value) for value in weight)

    return streams.ready(
        distribution.own(numbers, batch_size)
        .batch(size)
        .map(read, num_parallel_calls=machine.cores())
        .unbatch()
        .map(masked, num_parallel_calls=machine.cores())
        .batch(size, drop_remainder=True)
    )
