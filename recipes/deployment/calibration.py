"""The examples that a model is quantized with, and its score: those of the run that trained it."""

import dataclasses
import importlib
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from recipes.common import files

EXAMPLES = 320  # of the training set, at most
BATCH = 32


@dataclasses.dataclass(frozen=True)
class RunData:
    """Data of a run.

    Attributes:
        examples: Function that returns an iterator over batches of training examples, dictionaries
            of the model's inputs.
        score: Function from one that computes the model, from such a dictionary to a list of
            outputs, to a dictionary of scores on all test examples, the first the main one.
    """

    examples: Callable[[], Iterator[dict]]
    score: Callable[[Callable], dict]


def load(model, path, of):
    """Returns the `RunData` of a model in the folder of its run, or ends the program.

    Args:
        model: The Keras model.
        path: Path of its file or preset.
        of: Its `Signature`.
    """
    record = pathlib.Path(path).expanduser().parent / "config.json"
    if not record.exists():
        raise SystemExit(
            "int8 is calibrated on the data of the run that trained the model, and tested there: "
            f"--weights or --preset must lie in the folder of a run. There is no {record}"
        )
    config = files.read_json(record).get("config", {})
    if "image_size" in config:
        return images(options(config, "recipes.images.configurations"), of)
    if "task" in config:
        return texts(options(config, "recipes.glue"), model, of)
    raise SystemExit(
        f"int8 is for models of image_classification and glue. {record} is of another recipe."
    )


def options(config, module):
    """Returns the options of a run from its record."""
    cls = importlib.import_module(module).Config
    names = {field.name for field in dataclasses.fields(cls)}
    found = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k in names}
    return cls(**found)


def images(config, of):
    """Returns the `RunData` of a run of `recipes.image_classification`."""
    from recipes.images import datasets, models

    data = datasets.load(config.data, config.data_dir, config.train_split, config.test_split)
    preprocess = models.preprocessing(config, data.channels)
    config = dataclasses.replace(config, batch_size=BATCH)
    drawn = data.train.shuffle(config.shuffle_buffer, seed=0).take(EXAMPLES)
    size = min(EXAMPLES, data.train_size) // BATCH * BATCH
    plain = dataclasses.replace(data, test=drawn, test_size=size)  # nothing is augmented
    (name,) = (x.name for x in of.inputs)

    def examples():
        for x, *_ in datasets.test_batches(plain, config, preprocess).take(size // BATCH):
            yield {name: np.asarray(x)}

    def score(compute):
        right = total = 0.0
        for x, labels, weights in datasets.test_batches(data, config, preprocess):
            (outputs,) = compute({name: np.asarray(x)})
            right += float(np.sum(weights * (outputs.argmax(-1) == np.argmax(labels, -1))))
            total += float(np.sum(weights))
        return {"accuracy": right / total}

    return RunData(examples, score)


def texts(config, model, of):
    """Returns the `RunData` of a run of `recipes.glue`."""
    from recipes.text import glue_tasks

    data = glue_tasks.load(config)

    def batches(examples):
        for x in examples.batch(BATCH).map(lambda *pair: model.preprocessor(*pair)[0]):
            yield {given.name: np.asarray(x[given.name], given.dtype) for given in of.inputs}

    def examples():
        return batches(data.train.shuffle(data.size, seed=0).take(EXAMPLES))

    def score(compute):
        outputs = {
            split: np.concatenate([compute(x)[0] for x in batches(test)])
            for split, test in data.tests.items()
        }
        return data.score(outputs)

    return RunData(examples, score)
