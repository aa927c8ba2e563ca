"""Texts with several continuations, of which one is right: generated ones, SWAG, PIQA and COPA.

An example is a triple: the text, the list of its continuations, and the number of the right one.
"""

import csv
import json
import pathlib
from xml.etree import ElementTree

import numpy as np

from recipes.program import command_line
from recipes.text import synthetic
from recipes.training import streams


def load(config):
    """Returns the training and the test examples."""
    return SOURCES[command_line.one_of(config.data, SOURCES, "data set")](config)


def generated(config):
    """Returns generated training and test examples."""
    return synthetic.continuations(1000, seed=0), synthetic.continuations(300, seed=1)


def piqa(config):
    """Returns PIQA from TensorFlow Datasets."""
    builder = streams.prepared("piqa", config.data_dir)

    def read(split):
        return [
            (x["goal"].decode(), [x[name].decode() for name in ("sol1", "sol2")], int(x["label"]))
            for x in streams.split_of(builder, split).as_numpy_iterator()
        ]

    return read(config.train_split), read(config.test_split)


def swag(config):
    """Returns SWAG from the files of its authors, tested on the validation set."""
    return tuple(read_swag(find_file(config, name)) for name in ("train.csv", "val.csv"))


def piqa_files(config):
    """Returns two halves of PIQA's labelled validation file."""
    return halve(read_piqa(find_file(config, "*.jsonl"), find_file(config, "*labels.lst")))


def copa_files(config):
    """Returns two halves of Balanced COPA, each with whole pairs."""
    return halve(read_copa(find_file(config, "*.xml")))


SOURCES = {
    "generated": generated,
    "swag": swag,
    "piqa": piqa,
    "piqa_files": piqa_files,
    "copa_files": copa_files,
}


def halve(groups):
    """Divides groups of examples at random, equally in every run."""
    order = np.random.default_rng(0).permutation(len(groups))
    half = len(groups) // 2
    return tuple(
        [example for i in part for example in groups[i]] for part in (order[:half], order[half:])
    )


def find_file(config, pattern):
    """Returns the only file in the data folder whose name matches a pattern."""
    files = sorted(pathlib.Path(config.data_dir).glob(pattern)) if config.data_dir else []
    if len(files) != 1:
        raise SystemExit(
            f"--data {config.data} needs --data_dir, a folder with one file {pattern}. Received: "
            f"--data_dir {config.data_dir}, with {len(files)} of them"
        )
    return files[0]


def read_swag(path):
    """Returns the examples of a file of SWAG."""
    examples = []
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        for row in rows:
            try:
                ends = [f"{row['sent2']} {row[f'ending{i}']}" for i in range(4)]
                examples.append((row["sent1"], ends, parse_label(row["label"], 4)))
            except (KeyError, TypeError, ValueError) as error:
                raise SystemExit(
                    f"{path}, line {rows.line_num}: expected sent1, sent2, ending0 to ending3 and "
                    f"a label 0 to 3 ({error!r})"
                ) from error
    return check_not_empty(examples, path)


def read_piqa(path, labels_path):
    """Returns the examples of a file of PIQA and its labels, each as a group of one."""
    lines = path.read_text(encoding="utf-8").splitlines()
    labels = labels_path.read_text().split()
    if len(lines) != len(labels):
        raise SystemExit(f"{path} has {len(lines)} lines, {labels_path} has {len(labels)} labels.")
    examples = []
    for number, (line, text) in enumerate(zip(lines, labels, strict=True), 1):
        try:
            item = json.loads(line)
            examples.append([(item["goal"], [item["sol1"], item["sol2"]], parse_label(text, 2))])
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise SystemExit(
                f"{path}, line {number}: expected a JSON object with goal, sol1 and sol2, and a "
                f"label 0 or 1 ({error!r})"
            ) from error
    return check_not_empty(examples, path)


def read_copa(path):
    """Returns the pairs of examples in a file of Balanced COPA."""
    try:
        pairs = {}
        for item in ElementTree.parse(path).getroot().findall("item"):
            # Of a pair, the second number is the first plus 1,000.
            connector = {"cause": "because", "effect": "so"}[item.get("asks-for")]
            context = f"{item.findtext('p').strip()} {connector}"
            choices = [item.findtext(name).strip() for name in ("a1", "a2")]
            right = parse_label(int(item.get("most-plausible-alternative")) - 1, 2)
            pairs.setdefault(int(item.get("id")) % 1000, []).append((context, choices, right))
    except (ElementTree.ParseError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise SystemExit(f"{path} is not a COPA file: {error!r}") from error
    return check_not_empty(list(pairs.values()), path)


def parse_label(text, choices):
    number = int(text)
    if not 0 <= number < choices:
        raise ValueError(f"label {number}")
    return number


def check_not_empty(examples, path):
    if not examples:
        raise SystemExit(f"{path} contains no examples.")
    return examples
