"""Fine-tunes encoders on the tasks of GLUE, with the gate with inhibition and without.

    python -m recipes.glue                                              generated sentences
    python -m recipes.glue --config rte --weights PRESET --data_dir DIR --seeds 5

The plain encoder is the baseline in the same run. The scores are those of the benchmark, computed
over the whole validation set after the last epoch; none is picked from among the epochs.

`gimlp_TASK` are the set-ups of giDeBERTaV3-large in "giMLPs" (arXiv:2208.00929): 10 epochs; batch,
learning rate and schedule are those in the authors' logs. They report CoLA 76.5, SST-2 96.9, MRPC
93.1, STS-B 93.2, QQP 93.2, MNLI 91.1 / 91.1, QNLI 96.0, RTE 92.1. None is reproduced yet.

`gmlp_sst2` and `gmlp_mnli` are those of gMLP in "Pay Attention to MLPs" (arXiv:2105.08050, Appendix
A), for an encoder of `recipes.mlm_pretraining`: gMLP-base reaches 94.2 and 83.7 / 84.1 there. Not
reproduced yet either.

Results of our own are in `recipes/README.md`.
"""

import dataclasses

import numpy as np
import tensorflow as tf
from scipy import stats
from sklearn import metrics

from keras_gimlp import applications
from recipes.common import command_line, streams
from recipes.text import fine_tuning, synthetic

PROGRAM = "python -m recipes.glue"


def matthews(labels, outputs):
    return {"matthews": metrics.matthews_corrcoef(labels, np.argmax(outputs, -1))}


def accuracy(labels, outputs):
    return {"accuracy": metrics.accuracy_score(labels, np.argmax(outputs, -1))}


def accuracy_and_f1(labels, outputs):
    return accuracy(labels, outputs) | {"f1": metrics.f1_score(labels, np.argmax(outputs, -1))}


def correlations(labels, outputs):
    """Pearson's and Spearman's; 0 where all outputs are equal, which tells nothing."""
    scores = np.ravel(outputs)
    if np.ptp(scores) == 0:
        return {"pearson": 0.0, "spearman": 0.0}
    return {
        "pearson": stats.pearsonr(labels, scores).statistic,
        "spearman": stats.spearmanr(labels, scores).statistic,
    }


@dataclasses.dataclass(frozen=True)
class Task:
    """A task: the features with its texts, and how it is scored. No classes: regression."""

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
class Config(fine_tuning.FineTuning):
    """The options of this recipe, before those of all language recipes."""

    # cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli (TensorFlow Datasets), generated or
    # generated_pairs.
    task: str = "generated"
    # Splits to test on. None: the labelled ones of the task.
    test_split: tuple[str, ...] | None = None


BASE = Config(**fine_tuning.PRETRAINED)
GIMLP = dataclasses.replace(BASE, **fine_tuning.GIMLP, inhibition=(0.1, 0.3, 0.9))
GMLP = dataclasses.replace(BASE, **fine_tuning.GMLP)
GLUE = [task for task in TASKS if not task.startswith("generated")]
CONFIGURATIONS = command_line.named(
    {
        "generated": Config(epochs=5),
        "generated_pairs": Config(task="generated_pairs"),
        **{task: dataclasses.replace(BASE, task=task) for task in GLUE},
        **{f"gimlp_{task}": dataclasses.replace(GIMLP, task=task) for task in GLUE},
        **{f"gmlp_{task}": dataclasses.replace(GMLP, task=task) for task in ("sst2", "mnli")},
    }
)


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    data = load(config)
    fine_tuning.study(
        "glue",
        config,
        fine_tuning.settings_of(config),
        list(data.training_texts()),
        lambda encoder: prepare(encoder, config, data),
    )


@dataclasses.dataclass(frozen=True)
class Data:
    """The examples of a task, pairs of a tuple of texts and a label, training and test sets."""

    task: Task
    train: tf.data.Dataset
    size: int
    tests: dict[str, tf.data.Dataset]

    def training_texts(self):
        """Yields all training texts."""
        for texts, _ in self.train.as_numpy_iterator():
            yield from (text.decode() for text in texts)


def load(config):
    """Returns the data of a task."""
    task = TASKS[command_line.one_of(config.task, TASKS, "task")]
    if config.task.startswith("generated"):
        make = synthetic.acceptability if task.classes else synthetic.similarity
        train, test = (
            tf.data.Dataset.from_tensor_slices((tuple(texts), labels))
            for *texts, labels in (make(2000, seed=0), make(300, seed=1))
        )
        return Data(task, train, 2000, {"generated": test})

    import tensorflow_datasets as tfds

    builder = tfds.builder(f"glue/{config.task}", data_dir=config.data_dir)
    streams.prepare(builder)
    splits = builder.info.splits

    def examples(split):
        return builder.as_dataset(split=split).map(
            lambda example: (tuple(example[name] for name in task.texts), example["label"])
        )

    tests = {}
    for split in config.test_split or task.splits:
        command_line.one_of(split, splits, f"split of glue/{config.task}")
        tests[split] = examples(split)
        _, label = next(tests[split].as_numpy_iterator())
        if label < 0:
            raise SystemExit(
                f"The split {split!r} of glue/{config.task} carries no labels, so nothing can be "
                f"tested on it. The labelled ones are train, {', '.join(task.splits)}."
            )
    return Data(task, examples("train"), splits["train"].num_examples, tests)


def prepare(encoder, config, data):
    """Returns the task for one encoder; see `fine_tuning.Prepared`."""
    task = data.task
    preprocessor = encoder.kind("TextClassifierPreprocessor")(
        encoder.tokenizer, sequence_length=config.sequence_length
    )
    if task.classes:
        model = encoder.kind("TextClassifier")(
            backbone=encoder.backbone, num_classes=task.classes, preprocessor=None
        )
    else:
        model = applications.TextRegressor(encoder.backbone)

    def batch(texts, label):
        return preprocessor(texts, label)

    def inputs(examples):
        batches = examples.batch(config.batch_size).map(lambda *example: batch(*example)[0])
        return batches.prefetch(tf.data.AUTOTUNE)

    tests = {
        split: (np.array([label for _, label in examples.as_numpy_iterator()]), inputs(examples))
        for split, examples in data.tests.items()
    }

    def score(model):
        found = {}
        for split, (labels, batches) in tests.items():
            outputs = np.concatenate(list(fine_tuning.predictions(model, batches)))
            several = f"_{split.removeprefix('validation_')}" if len(tests) > 1 else ""
            scores = task.scores(labels, outputs)
            found |= {f"{name}{several}": float(value) for name, value in scores.items()}
        return found

    return fine_tuning.Prepared(
        task=model,
        examples=data.train,
        size=data.size,
        batch=batch,
        score=score,
        preprocessor=preprocessor,
        notes=fine_tuning.truncated(encoder.tokenizer, data.train, config.sequence_length),
    )


if __name__ == "__main__":
    main()
