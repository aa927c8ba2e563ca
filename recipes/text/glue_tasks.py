"""The tasks of GLUE: their data, and the scores of the benchmark."""

import dataclasses

import numpy as np
import tensorflow as tf
from sklearn import metrics

from recipes.program import command_line
from recipes.text import synthetic
from recipes.training import streams


def matthews(labels, outputs):
    return {"matthews": metrics.matthews_corrcoef(labels, np.argmax(outputs, -1))}


def accuracy(labels, outputs):
    return {"accuracy": metrics.accuracy_score(labels, np.argmax(outputs, -1))}


def accuracy_and_f1(labels, outputs):
    return accuracy(labels, outputs) | {"f1": metrics.f1_score(labels, np.argmax(outputs, -1))}


def correlations(labels, outputs):
    """Pearson's and Spearman's; 0 where all outputs are equal, which says nothing."""
    from scipy import stats

    scores = np.ravel(outputs)
    if np.ptp(scores) == 0:
        return {"pearson": 0.0, "spearman": 0.0}
    return {
        "pearson": stats.pearsonr(labels, scores).statistic,
        "spearman": stats.spearmanr(labels, scores).statistic,
    }


@dataclasses.dataclass(frozen=True)
class Task:
    """A task: the features that hold its texts, and how it is scored. No classes: regression."""

    texts: tuple[str, ...]
    classes: int | None
    scores: object
    splits: tuple[str, ...] = ("validation",)


PAIR = ("sentence1", "sentence2")
MATCHED = ("validation_matched", "validation_mismatched")
TASKS = {
    "cola": Task(("sentence",), 2, matthews),
    "sst2": Task(("sentence",), 2, accuracy),
    "mrpc": Task(PAIR, 2, accuracy_and_f1),
    "stsb": Task(PAIR, None, correlations),
    "qqp": Task(("question1", "question2"), 2, accuracy_and_f1),
    "mnli": Task(("premise", "hypothesis"), 3, accuracy, MATCHED),
    "qnli": Task(("question", "sentence"), 2, accuracy),
    "rte": Task(PAIR, 2, accuracy),
    "wnli": Task(PAIR, 2, accuracy),
    "generated": Task(("sentence",), 2, matthews),
    "generated_pairs": Task(PAIR, None, correlations),
}


@dataclasses.dataclass(frozen=True)
class Data:
    """The examples of a task in a fixed order: pairs of a tuple of texts and a label.

    `size` is the number of training examples; `tests` has the test examples by split.
    """

    task: Task
    train: tf.data.Dataset
    size: int
    tests: dict[str, tf.data.Dataset]

    def training_texts(self):
        """Yields all training texts."""
        for texts, _ in self.train.as_numpy_iterator():
            yield from (text.decode() for text in texts)

    def score(self, outputs):
        """Returns the scores of the outputs on all test examples, arrays by split."""
        named = {}
        for split, examples in self.tests.items():
            several = f"_{split.removeprefix('validation_')}" if len(self.tests) > 1 else ""
            scores = self.task.scores(labels_of(examples), outputs[split])
            named |= {f"{name}{several}": float(value) for name, value in scores.items()}
        return named

    def predictions(self, outputs):
        """Returns labels and predictions for all test examples by split, each numbers in one line.

        A prediction is a class, or the output where there are no classes.
        """
        lines = {}
        for split, examples in self.tests.items():
            x = np.argmax(outputs[split], -1) if self.task.classes else np.ravel(outputs[split])
            lines[split] = {"labels": in_a_line(labels_of(examples)), "predictions": in_a_line(x)}
        return lines


def labels_of(examples):
    """Returns the labels of a data set of texts and labels, as an array."""
    return np.array([label for _, label in examples.as_numpy_iterator()])


def in_a_line(values):
    """Returns numbers with spaces between them."""
    return " ".join(f"{value:.6g}" for value in values)


def load(config):
    """Returns the data of the task that a configuration of `recipes.glue` asks for."""
    task = TASKS[command_line.one_of(config.task, TASKS, "task")]
    if config.task.startswith("generated"):
        make = synthetic.acceptability if task.classes else synthetic.similarity
        train, test = (
            tf.data.Dataset.from_tensor_slices((tuple(texts), labels))
            for *texts, labels in (make(2000, seed=0), make(300, seed=1))
        )
        return Data(task, train, int(train.cardinality()), {"generated": test})

    builder = streams.prepared(f"glue/{config.task}", config.data_dir)

    def examples(split):
        return streams.split_of(builder, split).map(
            lambda example: (tuple(example[name] for name in task.texts), example["label"])
        )

    size = streams.count_examples(builder, config.train_split)
    tests = {}
    for split in config.test_split or task.splits:
        tests[split] = examples(split)
        _, label = next(tests[split].as_numpy_iterator())
        if label < 0:
            raise SystemExit(
                f"The split {split!r} of glue/{config.task} has no labels, so nothing can be "
                f"tested on it. The labeled ones are train, {', '.join(task.splits)}."
            )
    return Data(task, examples(config.train_split), size, tests)
