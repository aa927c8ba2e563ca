"""Text for masked language modelling: read, tokenized, packed, and masked anew each time.

Every mask is a function of the seed and of the example's number in the run, so that a continued run
masks what the uninterrupted run would have masked.
"""

import dataclasses
import pathlib
from pydoc_data.topics import topics

import numpy as np
import tensorflow as tf

from recipes.common import command_line, streams

CACHED_BYTES = 2**30  # texts below this size are tokenized once and kept in memory


@dataclasses.dataclass(frozen=True)
class Text:
    """Training and test texts: data sets of strings, in a fixed order."""

    train: tf.data.Dataset
    test: tf.data.Dataset
    small: bool  # whether its tokens fit into memory


def load(config):
    """Returns the texts that the configuration asks for."""
    if not 0 < config.held_out < 1:
        raise SystemExit(f"--held_out must be between 0 and 1. Received: {config.held_out}")
    if config.files:
        return from_files(config)
    if config.data == "python":
        # The reference of the language, which every Python carries.
        lines = "\n".join(topics[name] for name in sorted(topics)).splitlines()
        return held_out([line for line in lines if line.strip()], config.held_out)
    return from_tfds(config)


def from_files(config):
    """Returns the lines of files of text; without test files the last lines are held out."""
    if config.test_files:
        train, test = (
            [line for path in paths for line in read_lines(path)]
            for paths in (config.files, config.test_files)
        )
        return Text(*map(tf.data.Dataset.from_tensor_slices, (train, test)), small=True)
    return held_out([line for path in config.files for line in read_lines(path)], config.held_out)


def read_lines(path):
    """Returns the lines of a file that are not empty, or ends the program if it is no text."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{path} cannot be read as text: {error}") from error
    if "\0" in text:
        raise SystemExit(f"{path} is not a text: it holds NUL characters.")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise SystemExit(f"{path} is empty.")
    return lines


def held_out(lines, fraction):
    """Divides lines: the last ones, which hold a fraction of the characters, are for testing."""
    ends = np.cumsum([len(line) for line in lines])
    first = int(np.searchsorted(ends, (1 - fraction) * ends[-1], side="right"))
    if not 0 < first < len(lines):
        raise SystemExit(f"A text of {len(lines)} lines is too short to hold {fraction} of it out.")
    parts = (lines[:first], lines[first:])
    return Text(*map(tf.data.Dataset.from_tensor_slices, parts), small=True)


def from_tfds(config):
    """Returns a data set of TensorFlow Datasets that has a feature `text`, by name."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(config.data, data_dir=config.data_dir)
    except tfds.core.DatasetNotFoundError:
        command_line.one_of(config.data, ["python", *tfds.list_builders()], "data set")
        raise
    streams.prepare(builder)
    if "text" not in builder.info.features:
        raise SystemExit(
            f"The data set {config.data!r} has no feature `text`, but "
            f"{', '.join(builder.info.features)}."
        )
    splits = (
        command_line.one_of(split, builder.info.splits, f"split of {config.data}")
        for split in ("train", config.test_split)
    )
    texts = (builder.as_dataset(split=split).map(lambda x: x["text"]) for split in splits)
    return Text(*texts, small=builder.info.dataset_size < CACHED_BYTES)


def packed(texts, tokenizer, sequence_length, cache):
    """Returns examples of exactly `sequence_length` tokens: `[CLS]`, a piece of the text, `[SEP]`.

    The texts follow each other without a gap; what is left over at the end is dropped.
    """

    def tokens(batch):
        return tf.cast(tokenizer(batch).flat_values, tf.int32)

    def framed(ids):
        return tf.concat([[tokenizer.start_token_id], ids, [tokenizer.end_token_id]], axis=0)

    examples = (
        texts.batch(256)
        .map(tokens, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .rebatch(sequence_length - 2, drop_remainder=True)
        .map(framed)
    )
    return examples.cache() if cache else examples


def masks(sequence_length, mask_rate):
    """Returns how many tokens of an example are to be predicted."""
    return max(round(mask_rate * (sequence_length - 2)), 1)


def masking(tokenizer, sequence_length, mask_rate, seed, names):
    """Returns the function that masks the example of a number.

    Of the tokens between the special ones, a share of `mask_rate` is to be predicted. Of these 80 %
    are replaced by `[MASK]`, 10 % by a token at random, and 10 % are left.

    Args:
        tokenizer: A tokenizer with `mask_token_id` and `special_token_ids`.
        sequence_length: Integer, tokens of an example.
        mask_rate: Float between 0 and 1.
        seed: Integer, seed of the masks.
        names: Names of the encoder's inputs.
    """
    count = masks(sequence_length, mask_rate)
    words = sorted(set(range(tokenizer.vocabulary_size())) - set(tokenizer.special_token_ids))
    words = tf.constant(words, tf.int32)

    def mask(number, ids):
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


def training_batches(examples, mask, config, first_step):
    """Returns the batches from a step on, as one stream: pass after pass over the shuffled text."""

    return (
        streams.passes(examples, shuffle_buffer=config.shuffle_buffer, seed=config.seed)
        .enumerate()
        .skip(first_step * config.batch_size)
        .map(mask, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(config.batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def test_batches(examples, mask, batch_size):
    """Returns the whole test text, masked in the same places at every test."""
    batches = (
        examples.enumerate()
        .map(mask, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )
    # Keras warns of a data set whose end comes unforeseen.
    count = sum(1 for _ in batches)
    return batches.apply(tf.data.experimental.assert_cardinality(count))
