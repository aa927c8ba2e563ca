"""Fine-tunes encoders to find named entities, with the gate with inhibition and without.

    python -m recipes.ner                                                   generated sentences
    python -m recipes.ner --config conll2003 --weights PRESET --seeds 5
    python -m recipes.ner --config files --train_file F --test_file F --weights PRESET

A file has one token a line, its tag (IOB2: O, B-TYPE, I-TYPE) in the last column, and an empty
line after each sentence. A word carries its label on its first token. Precision, recall and F1 are
those of whole entities, as seqeval counts them, over all test sentences after the last epoch; words
that do not fit into the model count as O.

`gimlp_conll2003` is the set-up of "giMLPs" (arXiv:2208.00929) as far as it is known, 20 epochs;
its result was not found. Results of our own are in `recipes/README.md`.
"""

import dataclasses
import pathlib
import re

import numpy as np
import tensorflow as tf

from keras_gimlp import applications
from recipes import missing
from recipes.common import command_line, streams
from recipes.text import encoders, fine_tuning, synthetic

try:
    from seqeval import metrics
except ModuleNotFoundError as error:
    raise missing(error) from None

PROGRAM = "python -m recipes.ner"
TAG = re.compile(r"O|[BI]-\S+")


@dataclasses.dataclass(frozen=True)
class Config(fine_tuning.FineTuning):
    """The options of this recipe, before those of all language recipes."""

    # generated, conll2003 (TensorFlow Datasets), or files.
    data: str = "generated"
    # File to train on (--data files).
    train_file: str | None = None
    # File to test on (--data files).
    test_file: str | None = None
    # Split to test on (conll2003): dev or test.
    test_split: str = "test"


BASE = Config(**fine_tuning.PRETRAINED)
GIMLP = Config(**fine_tuning.PRETRAINED | fine_tuning.GIMLP | {"epochs": 20})
CONFIGURATIONS = command_line.named(
    {
        "generated": Config(),
        "conll2003": dataclasses.replace(BASE, data="conll2003"),
        "files": dataclasses.replace(BASE, data="files"),
        "gimlp_conll2003": dataclasses.replace(GIMLP, data="conll2003"),
    }
)


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    train, test = load(config)
    tags = sorted({tag for _, tags in train for tag in tags})
    unknown = {tag for _, tags in test for tag in tags} - set(tags)
    if unknown:
        raise SystemExit(
            f"The test data have tags that the training data have not: {', '.join(sorted(unknown))}"
        )
    if len(tags) < 2:
        raise SystemExit(f"The training data have no entities. Their tags: {', '.join(tags)}")
    fine_tuning.study(
        "ner",
        config,
        fine_tuning.settings_of(config),
        [" ".join(words) for words, _ in train],
        lambda encoder: prepare(encoder, config, train, test, tags),
    )


def load(config):
    """Returns the training and the test sentences, each a pair: its words and their tags."""
    kind = command_line.one_of(config.data, ("generated", "conll2003", "files"), "data set")
    if kind == "generated":
        return synthetic.entities(1000, seed=0), synthetic.entities(300, seed=1)
    if kind == "conll2003":
        return conll2003(config)
    for field in ("train_file", "test_file"):
        if getattr(config, field) is None:
            raise SystemExit(f"--data files needs --{field}")
    return read_file(config.train_file), read_file(config.test_file)


def conll2003(config):
    """Returns the sentences of CoNLL-2003 in TensorFlow Datasets."""
    import tensorflow_datasets as tfds

    builder = tfds.builder("conll2003", data_dir=config.data_dir)
    streams.prepare(builder)
    names = builder.info.features["ner"].feature.names

    def sentences(split):
        command_line.one_of(split, builder.info.splits, "split of conll2003")
        return [
            ([word.decode() for word in example["tokens"]], [names[i] for i in example["ner"]])
            for example in builder.as_dataset(split=split).as_numpy_iterator()
        ]

    return sentences("train"), sentences(config.test_split)


def read_file(path):
    """Returns the sentences of a file of tokens and tags."""
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
        # Some tokens hold spaces where the columns are divided by tabs.
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
        raise SystemExit(f"{path} holds no sentence.")
    return sentences


def prepare(encoder, config, train, test, tags):
    """Returns the task for one encoder; see `fine_tuning.Prepared`."""
    numbers = {tag: i for i, tag in enumerate(tags)}
    x, places, cut = inputs(encoder, [words for words, _ in train], config.sequence_length)
    labels = np.full(x["token_ids"].shape, -1, "int32")
    for row, (sentence, (_, found)) in enumerate(zip(places, train, strict=True)):
        for place, tag in zip(sentence, found, strict=True):
            if place is not None:
                labels[row, place] = numbers[tag]
    test_x, test_places, test_cut = inputs(
        encoder, [words for words, _ in test], config.sequence_length
    )
    batches = tf.data.Dataset.from_tensor_slices(test_x).batch(config.batch_size)

    def score(model):
        outputs = (row for rows in fine_tuning.predictions(model, batches) for row in rows)
        found = [
            ["O" if place is None else tags[output[place].argmax()] for place in sentence]
            for output, sentence in zip(outputs, test_places, strict=True)
        ]
        truth = [true for _, true in test]
        return {
            "f1": float(metrics.f1_score(truth, found)),
            "precision": float(metrics.precision_score(truth, found, zero_division=0)),
            "recall": float(metrics.recall_score(truth, found, zero_division=0)),
        }

    notes = [
        f"{words:,} words of the {kind} sentences do not fit into --sequence_length "
        f"{config.sequence_length} and {effect}."
        for words, kind, effect in (
            (cut, "training", "were left out"),
            (test_cut, "test", "count as O"),
        )
        if words
    ]
    return fine_tuning.Prepared(
        task=applications.TokenClassifier(encoder.backbone, num_classes=len(tags)),
        examples=tf.data.Dataset.from_tensor_slices((x, labels)),
        size=len(labels),
        batch=lambda x, y: (x, y),
        score=score,
        notes=tuple(notes),
        token_labels=True,
    )


def inputs(encoder, sentences, sequence_length):
    """Returns the inputs of the model for sentences of words.

    Returns:
        A tuple: a dictionary of arrays; for every sentence the places of the first tokens of its
        words, `None` for a word that has none or does not fit; and the number of these words.
    """
    words = [word for sentence in sentences for word in sentence]
    tokens = iter(encoders.words_to_tokens(encoder.tokenizer, words)[0])
    rows, places, left_out = [], [], 0
    for sentence in sentences:
        row, found = [], []
        for _ in sentence:
            ids = next(tokens)
            fits = ids and len(row) + len(ids) <= sequence_length - 2
            found.append(1 + len(row) if fits else None)
            left_out += not fits
            row += ids if fits else []
        rows.append([row])
        places.append(found)
    return encoders.pack(encoder, rows, sequence_length), places, left_out


if __name__ == "__main__":
    main()
