"""The examples that a model is quantized with, and its score."""

import dataclasses
import pathlib
import random
from collections.abc import Callable, Iterator

import numpy as np

from keras_gimlp import applications
from recipes import glue, image_classification
from recipes.trained import record

EXAMPLES = 320  # at most
BATCH = 32
PHOTOS = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
SIZE = 224  # where a model takes any


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The data that a model is quantized with.

    Attributes:
        examples: Function that returns an iterator over batches of examples, dictionaries of the
            model's inputs: always the same.
        score: `score(compute)` returns scores between 0 and 1 on all test examples, by name, where
            `compute` goes from such a dictionary to the list of the model's outputs.
    """

    examples: Callable[[], Iterator[dict]]
    score: Callable[[Callable], dict]


def load(model, config, signature):
    """Returns the `Calibration` that a model is to be quantized with, or ends the program.

    `config` are the options of `recipes.export`, which say where the model came from.
    """
    if config.photos:
        return photos(config, signature)
    path = config.preset or config.weights
    trained = record.config_of_run(path)
    if trained is None:
        raise SystemExit(
            "int8 is calibrated on the data of the run that trained the model, in whose folder "
            "--weights or --preset must lie, or on a folder of --photos."
        )
    if "image_size" in trained:
        return images(record.options(trained, image_classification.Config))
    if "task" in trained:
        return texts(record.options(trained, glue.Config), model, signature)
    raise SystemExit(
        f"int8 is for models of image_classification and glue. {path} is of another recipe."
    )


def images(config):
    """Returns the `Calibration` of a run of `recipes.image_classification`."""
    from recipes.images import datasets, models

    data = datasets.load(config.data, config.data_dir, config.train_split, config.test_split)
    preprocess = models.preprocessing(config, data.channels)
    batch = min(BATCH, data.train_size)
    config = dataclasses.replace(config, batch_size=batch)
    drawn = shuffled(data.train, config.shuffle_buffer)
    size = min(EXAMPLES, data.train_size) // batch * batch
    plain = dataclasses.replace(data, test=drawn, test_size=size)  # nothing is augmented

    def examples():
        for x, *_ in datasets.test_batches(plain, config, preprocess).take(size // batch):
            yield {"images": np.asarray(x)}

    def score(compute):
        right = total = 0.0
        for x, labels, weights in datasets.test_batches(data, config, preprocess):
            (outputs,) = compute({"images": np.asarray(x)})
            right += float(np.sum(weights * (outputs.argmax(-1) == np.argmax(labels, -1))))
            total += float(np.sum(weights))
        return {"accuracy": right / total}

    return Calibration(examples, score)


def photos(config, signature):
    """Returns the `Calibration` of a folder of photos, without scores."""
    folder = pathlib.Path(config.photos).expanduser()
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTOS)
    shape = signature.inputs[0].shape
    if signature.by_name or shape[-1] != 3 or not paths:
        raise SystemExit(
            f"--photos must be a folder of photos ({', '.join(PHOTOS)}), for a model of images of "
            f"3 channels. Received: {config.photos}"
        )
    height, width = (SIZE if isinstance(n, str) else n for n in shape[1:3])
    transform = record.transform_of(config) or applications.image_transform()
    transform = dataclasses.replace(transform, height=height, width=width)
    drawn = random.Random(0).sample(paths, min(EXAMPLES, len(paths)))

    def examples():
        from PIL import Image

        for start in range(0, len(drawn), BATCH):
            batch = []
            for path in drawn[start : start + BATCH]:
                with Image.open(path) as photo:
                    batch.append(transform(photo))
            yield {"images": np.stack(batch)}

    return Calibration(examples, lambda compute: {})


def texts(config, model, signature):
    """Returns the `Calibration` of a run of `recipes.glue`."""
    from recipes.text import glue_tasks

    data = glue_tasks.load(config)

    def batches(examples):
        for x in examples.batch(BATCH).map(lambda *pair: model.preprocessor(*pair)[0]):
            yield {y.name: np.asarray(x[y.name], y.dtype) for y in signature.inputs}

    def examples():
        return batches(shuffled(data.train, data.size))

    def score(compute):
        outputs = {
            split: np.concatenate([compute(x)[0] for x in batches(test)])
            for split, test in data.tests.items()
        }
        return data.score(outputs)

    return Calibration(examples, score)


def shuffled(examples, buffer):
    """Returns some examples of a `tf.data.Dataset`, the same each time."""
    return examples.shuffle(buffer, seed=0, reshuffle_each_iteration=False).take(EXAMPLES)
