"""Text to pretrain on: the reference of Python, files, or a data set of TensorFlow Datasets."""

import dataclasses
import pathlib
from pydoc_data.topics import topics

import numpy as np
import tensorflow as tf

from recipes.training import streams


@dataclasses.dataclass(frozen=True)
class Text:
    """Training and test texts: data sets of strings, in a fixed order."""

    train: tf.data.Dataset
    test: tf.data.Dataset


def load(config):
    """Returns the texts that the configuration asks for."""
    if config.files:
        return load_files(config)
    if config.data == "python":
        # The reference of the language, which every Python carries.
        lines = "\n".join(topics[name] for name in sorted(topics)).splitlines()
        return hold_out([line for line in lines if line.strip()], config.held_out)
    return load_tfds(config)


def load_files(config):
    """Returns the lines of text files; without test files the last lines are held out."""
    if config.test_files:
        train, test = (
            [line for path in paths for line in read_lines(path)]
            for paths in (config.files, config.test_files)
        )
        return Text(*map(tf.data.Dataset.from_tensor_slices, (train, test)))
    return hold_out([line for path in config.files for line in read_lines(path)], config.held_out)


def read_lines(path):
    """Returns the lines of a file that are not blank, or ends the program if it is not text."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{path} cannot be read as text: {error}") from error
    if "\0" in text:
        raise SystemExit(f"{path} is not text: it contains NUL characters.")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise SystemExit(f"{path} is empty.")
    return lines


def hold_out(lines, fraction):
    """Splits lines: the last ones, which hold a fraction of the characters, are for testing."""
    ends = np.cumsum([len(line) for line in lines])
    first = int(np.searchsorted(ends, (1 - fraction) * ends[-1], side="right"))
    if not 0 < first < len(lines):
        raise SystemExit(f"A text of {len(lines)} lines is too short to hold {fraction} of it out.")
    return Text(*map(tf.data.Dataset.from_tensor_slices, (lines[:first], lines[first:])))


def load_tfds(config):
    """Returns a data set of TensorFlow Datasets that has a feature `text`, by name."""
    builder = streams.prepared(config.data, config.data_dir, ("python",))
    if "text" not in builder.info.features:
        raise SystemExit(
            f"The data set {config.data!r} has no feature `text`. It has: "
            f"{', '.join(builder.info.features)}."
        )
    splits = (config.train_split, config.test_split)
    return Text(*(streams.split_of(builder, x).map(lambda x: x["text"]) for x in splits))
