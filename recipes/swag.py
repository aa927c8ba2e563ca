"""Fine-tunes encoders to choose the right continuation, with the gate with inhibition and without.

    python -m recipes.swag                                                  generated sentences
    python -m recipes.swag --config swag --data_dir DIR --weights PRESET --seeds 5
    python -m recipes.swag --config piqa_files --data_dir DIR --weights PRESET

SWAG is read from `train.csv` and `val.csv` of its authors: TensorFlow Datasets has no SWAG. PIQA is
there (`piqa`). Two more come from files of which a fixed half trains and the other half tests:
`piqa_files` (`*.jsonl` and `*labels.lst`) and `copa_files` (Balanced COPA's XML, in which the two
items of a pair stay in one half).

`gimlp_swag` is the set-up of "giMLPs" (arXiv:2208.00929) as far as it is known: 10 epochs, at which
the authors report a gain of 0.1 points. Results of our own are in `recipes/README.md`.
"""

import csv
import dataclasses
import json
import pathlib
from xml.etree import ElementTree

import numpy as np
import tensorflow as tf

from keras_gimlp import applications
from recipes.common import command_line, streams
from recipes.text import fine_tuning, synthetic

PROGRAM = "python -m recipes.swag"


@dataclasses.dataclass(frozen=True)
class Config(fine_tuning.FineTuning):
    """The options of this recipe, before those of all language recipes."""

    # generated, piqa (TensorFlow Datasets), or files in --data_dir: swag, piqa_files, copa_files.
    data: str = "generated"


BASE = Config(**fine_tuning.PRETRAINED | {"batch_size": 16})
GIMLP = dataclasses.replace(BASE, **fine_tuning.GIMLP, inhibition=(0.3, 0.9))
SETS = ("swag", "piqa", "piqa_files", "copa_files")
CONFIGURATIONS = command_line.named(
    {
        "generated": Config(epochs=3),
        **{name: dataclasses.replace(BASE, data=name) for name in SETS},
        "gimlp_swag": dataclasses.replace(GIMLP, data="swag"),
    }
)


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    train, test = SOURCES[command_line.one_of(config.data, SOURCES, "data set")](config)
    fine_tuning.study(
        "swag",
        config,
        fine_tuning.settings_of(config),
        [text for context, choices, _ in train for text in (context, *choices)],
        lambda encoder: prepare(encoder, config, train, test),
    )


def generated(config):
    """Returns generated training and test examples: triples of context, choices and label."""
    return synthetic.continuations(1000, seed=0), synthetic.continuations(300, seed=1)


def piqa(config):
    """Returns PIQA from TensorFlow Datasets, tested on its validation set."""
    import tensorflow_datasets as tfds

    builder = tfds.builder("piqa", data_dir=config.data_dir)
    streams.prepare(builder)
    return tuple(
        [
            (x["goal"].decode(), [x[name].decode() for name in ("sol1", "sol2")], int(x["label"]))
            for x in builder.as_dataset(split=split).as_numpy_iterator()
        ]
        for split in ("train", "validation")
    )


def swag(config):
    """Returns SWAG from the files of its authors, tested on the validation set."""
    return tuple(read_swag(file_in(config, name)) for name in ("train.csv", "val.csv"))


def piqa_files(config):
    """Returns two halves of PIQA's labelled validation file."""
    return halves(read_piqa(file_in(config, "*.jsonl"), file_in(config, "*labels.lst")))


def copa_files(config):
    """Returns two halves of Balanced COPA, each with whole pairs."""
    return halves(read_copa(file_in(config, "*.xml")))


SOURCES = {
    "generated": generated,
    "swag": swag,
    "piqa": piqa,
    "piqa_files": piqa_files,
    "copa_files": copa_files,
}


def halves(groups):
    """Divides groups of examples at random, the same in every run."""
    order = np.random.default_rng(0).permutation(len(groups))
    half = len(groups) // 2
    return tuple(
        [example for i in part for example in groups[i]] for part in (order[:half], order[half:])
    )


def file_in(config, pattern):
    """Returns the one file in the data folder of that name."""
    found = sorted(pathlib.Path(config.data_dir).glob(pattern)) if config.data_dir else []
    if len(found) != 1:
        raise SystemExit(
            f"--data {config.data} needs --data_dir, a folder with one file {pattern}. Received: "
            f"--data_dir {config.data_dir}, with {len(found)} of them"
        )
    return found[0]


def read_swag(path):
    """Returns the examples of a file of SWAG."""
    found = []
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        for row in rows:
            try:
                ends = [f"{row['sent2']} {row[f'ending{i}']}" for i in range(4)]
                found.append((row["sent1"], ends, label(row["label"], 4)))
            except (KeyError, TypeError, ValueError) as error:
                raise SystemExit(
                    f"{path}, line {rows.line_num}: expected sent1, sent2, ending0 to ending3 and "
                    f"a label 0 to 3 ({error!r})"
                ) from error
    return not_empty(found, path)


def read_piqa(path, labels_path):
    """Returns the examples of a file of PIQA and its labels, each as a group of one."""
    lines = path.read_text(encoding="utf-8").splitlines()
    labels = labels_path.read_text().split()
    if len(lines) != len(labels):
        raise SystemExit(f"{path} has {len(lines)} lines, {labels_path} has {len(labels)} labels.")
    found = []
    for number, (line, text) in enumerate(zip(lines, labels, strict=True), 1):
        try:
            item = json.loads(line)
            found.append([(item["goal"], [item["sol1"], item["sol2"]], label(text, 2))])
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise SystemExit(
                f"{path}, line {number}: expected a JSON object with goal, sol1 and sol2, and a "
                f"label 0 or 1 ({error!r})"
            ) from error
    return not_empty(found, path)


def read_copa(path):
    """Returns the pairs of examples in a file of Balanced COPA."""
    try:
        pairs = {}
        for item in ElementTree.parse(path).getroot().findall("item"):
            # Of a pair, the second number is the first plus 1,000.
            connector = {"cause": "because", "effect": "so"}[item.get("asks-for")]
            context = f"{item.findtext('p').strip()} {connector}"
            choices = [item.findtext(name).strip() for name in ("a1", "a2")]
            right = label(int(item.get("most-plausible-alternative")) - 1, 2)
            pairs.setdefault(int(item.get("id")) % 1000, []).append((context, choices, right))
    except (ElementTree.ParseError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise SystemExit(f"{path} is not a file of COPA: {error!r}") from error
    return not_empty(list(pairs.values()), path)


def label(text, choices):
    number = int(text)
    if not 0 <= number < choices:
        raise ValueError(f"label {number}")
    return number


def not_empty(examples, path):
    if not examples:
        raise SystemExit(f"{path} holds no example.")
    return examples


def prepare(encoder, config, train, test):
    """Returns the task for one encoder; see `fine_tuning.Prepared`."""
    preprocessor = encoder.kind("TextClassifierPreprocessor")(
        encoder.tokenizer, sequence_length=config.sequence_length
    )
    choices = len(train[0][1])

    def batch(context, ends, label):
        pairs = (tf.repeat(context, choices), tf.reshape(ends, (-1,)))
        x, label = preprocessor(pairs, label)
        shape = (-1, choices, config.sequence_length)
        return {name: tf.reshape(value, shape) for name, value in x.items()}, label

    def examples(found):
        columns = zip(*found, strict=True)
        return tf.data.Dataset.from_tensor_slices(tuple(map(np.array, columns)))

    labels = np.array([right for *_, right in test])
    batches = examples(test).batch(config.batch_size).map(lambda *x: batch(*x)[0])

    def score(model):
        outputs = np.concatenate(list(fine_tuning.predictions(model, batches)))
        return {"accuracy": float(np.mean(outputs.argmax(-1) == labels))}

    # As pairs of texts, of which the longest counts.
    context, ends = zip(
        *[(context, end) for context, ends, _ in train for end in ends], strict=True
    )
    pairs = tf.data.Dataset.from_tensor_slices(
        ((np.array(context), np.array(ends)), [0] * len(ends))
    )
    return fine_tuning.Prepared(
        task=applications.MultipleChoice(encoder.backbone, num_choices=choices),
        examples=examples(train),
        size=len(train),
        batch=batch,
        score=score,
        notes=fine_tuning.truncated(encoder.tokenizer, pairs, config.sequence_length),
    )


if __name__ == "__main__":
    main()
