"""Sentences with tagged entities: generated ones, CoNLL-2003, and files; and how they are scored.

A sentence is a pair: the list of its words, and the list of their tags (IOB2).
"""

import itertools
import pathlib
import re

import numpy as np

from recipes import language
from recipes.program import command_line
from recipes.text import synthetic, tokenizers
from recipes.training import streams

with language():
    from seqeval import metrics

TAG = re.compile(r"O|[BI]-\S+")


def load(config):
    """Returns the training and the test sentences."""
    kind = command_line.one_of(config.data, ("generated", "conll2003", "files"), "data set")
    if kind == "generated":
        return synthetic.entities(1000, seed=0), synthetic.entities(300, seed=1)
    if kind == "conll2003":
        return read_conll2003(config)
    for field in ("train_file", "test_file"):
        if getattr(config, field) is None:
            raise SystemExit(f"--data files needs --{field}")
    return read_file(config.train_file), read_file(config.test_file)


def read_conll2003(config):
    """Returns the sentences of CoNLL-2003 in TensorFlow Datasets."""
    builder = streams.prepared("conll2003", config.data_dir)
    names = builder.info.features["ner"].feature.names

    def sentences(split):
        return [
            ([word.decode() for word in example["tokens"]], [names[i] for i in example["ner"]])
            for example in streams.split_of(builder, split).as_numpy_iterator()
        ]

    return sentences(config.train_split), sentences(config.test_split)


def read_file(path):
    """Returns the sentences in a file of tokens and tags."""
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{path} cannot be read: {error}") from error
    sentences = [([], [])]
    for number, line in enumerate(lines, 1):
        if line.startswith("-DOCSTART-"):
            continue
        if not line.strip():
            sentences.append(([], []))
            continue
        # Some tokens contain spaces where the columns are divided by tabs.
        columns = [column.strip() for column in line.split("\t" if "\t" in line else None)]
        if len(columns) < 2 or not TAG.fullmatch(columns[-1]):
            raise SystemExit(
                f"{path}, line {number}: expected a token and a tag (O, B-TYPE or I-TYPE). "
                f"Found: {line!r}"
            )
        sentences[-1][0].append(columns[0])
        sentences[-1][1].append(columns[-1])
    sentences = [sentence for sentence in sentences if sentence[0]]
    if not sentences:
        raise SystemExit(f"{path} contains no sentences.")
    return sentences


def list_tags(train, test):
    """Returns the tags of the training sentences, or ends the program if they do not suffice."""
    tags = sorted({tag for _, tags in train for tag in tags})
    unknown = {tag for _, tags in test for tag in tags} - set(tags)
    if unknown:
        raise SystemExit(
            f"The test data have tags that the training data lack: {', '.join(sorted(unknown))}"
        )
    if len(tags) < 2:
        raise SystemExit(f"The training data have no entities. Their tags: {', '.join(tags)}")
    return tags


def pack(encoder, sentences, sequence_length):
    """Returns the inputs of the model for sentences, the places of words, and how many have none.

    A sentence ends at the first word that does not fit, as a truncated text does. A place is that
    of the first token of a word, `None` for a word without tokens or beyond the end.
    """
    room = sequence_length - 2  # beside the special tokens
    every = [word for words, _ in sentences for word in words]
    tokens = iter(tokenizers.words_to_tokens(encoder.tokenizer, every)[0])
    rows, places = [], []
    for words, _ in sentences:
        row, starts = [], []
        full = False
        for ids in itertools.islice(tokens, len(words)):
            full = full or len(row) + len(ids) > room
            starts.append(1 + len(row) if ids and not full else None)
            row += [] if full else ids
        rows.append(row)
        places.append(starts)
    left_out = sum(place is None for starts in places for place in starts)
    return encoder.pack((rows,), sequence_length), places, left_out


def label(sentences, places, tags, sequence_length):
    """Returns the number of each word's tag at its place, -1 elsewhere: `(sentences, tokens)`."""
    numbers = {tag: i for i, tag in enumerate(tags)}
    labels = np.full((len(sentences), sequence_length), -1, "int32")
    for row, starts, (_, tagged) in zip(labels, places, sentences, strict=True):
        for place, tag in zip(starts, tagged, strict=True):
            if place is not None:
                row[place] = numbers[tag]
    return labels


def score(sentences, predicted):
    """Returns the scores of the tags that were predicted for sentences, as seqeval counts them."""
    truth = [tags for _, tags in sentences]
    return {
        "f1": float(metrics.f1_score(truth, predicted)),
        "precision": float(metrics.precision_score(truth, predicted, zero_division=0)),
        "recall": float(metrics.recall_score(truth, predicted, zero_division=0)),
    }
