"""The examples that a model is quantized with, and its score."""

import dataclasses
import pathlib
import random
from collections.abc import Callable, Iterator

import numpy as np

from keras_gimlp import applications
from recipes import glue
from recipes.images import configurations
from recipes.program import files
from recipes.trained import record

EXAMPLES = 320  # at most
BATCH = 32
PHOTOS = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
SIZE = 224  # where a model takes any


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What a model is quantized with.

    Attributes:
        examples: Function that returns an iterator over batches of examples, dictionaries of the
            model's inputs: always the same.
        score: Function from one that computes the model, from such a dictionary to a list of
            outputs, to a dictionary of scores between 0 and 1 on all test examples.
    """

    examples: Callable[[], Iterator[dict]]
    score: Callable[[Callable], dict]


def load(model, source, of):
    """Returns the `Calibration` that a model is to be quantized with, or ends the program.

    Args:
        model: The Keras model.
        source: The configuration of the recipe, which says where the model came from.
        of: Its `Signature`.
    """
    if source.photos:
        return photos(source, of)
    path = pathlib.Path(source.preset or source.weights or "").expanduser().parent / "config.json"
    if not path.exists():
        raise SystemExit(
            "int8 is calibrated on the data of the run that trained the model, in whose folder "
            "--weights or --preset must lie, or on a folder of --photos."
        )
    config = files.read_json(path).get("config", {})
    if "image_size" in config:
        return images(record.options(config, configurations.Config), of)
    if "task" in config:
        return texts(record.options(config, glue.Config), model, of)
    raise SystemExit(
        f"int8 is for models of image_classification and glue. {path} is of another recipe."
    )


def images(config, of):
    """Returns the `Calibration` of a run of `recipes.image_classification`."""
    from recipes.images import datasets, models

    data = datasets.load(config.data, config.data_dir, config.train_split, config.test_split)
    preprocess = models.preprocessing(config, data.channels)
    batch = min(BATCH, data.train_size)
    config = dataclasses.replace(config, batch_size=batch)
    drawn = shuffled(data.train, config.shuffle_buffer)
    size = min(EXAMPLES, data.train_size) // batch * batch
    plain = dataclasses.replace(data, test=drawn, test_size=size)  # nothing is augmented
    (name,) = (x.name for x in of.inputs)

    def examples():
        for x, *_ in datasets.test_batches(plain, config, preprocess).take(size // batch):
            yield {name: np.asarray(x)}

    def score(compute):
        right = total = 0.0
        for x, labels, weights in datasets.test_batches(data, config, preprocess):
            (outputs,) = compute({name: np.asarray(x)})
            right += float(np.sum(weights * (outputs.argmax(-1) == np.argmax(labels, -1))))
            total += float(np.sum(weights))
        return {"accuracy": right / total}

    return Calibration(examples, score)


def photos(source, of):
    """Returns the `Calibration` of a folder of photos, which says nothing of scores."""
    folder = pathlib.Path(source.photos).expanduser()
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTOS)
    given = of.inputs[0]
    if of.kinds is not None or given.shape[-1] != 3 or not found:
        raise SystemExit(
            f"--photos must be a folder of photos ({', '.join(PHOTOS)}), for a model of images of "
            f"3 channels. Received: {source.photos}"
        )
    height, width = (SIZE if isinstance(n, str) else n for n in given.shape[1:3])
    transform = record.transform_of(source) or applications.image_transform()
    transform = dataclasses.replace(transform, height=height, width=width)
    drawn = random.Random(0).sample(found, min(EXAMPLES, len(found)))

    def examples():
        from PIL import Image

        for start in range(0, len(drawn), BATCH):
            batch = []
            for path in drawn[start : start + BATCH]:
                with Image.open(path) as photo:
                    batch.append(transform(photo))
            yield {given.name: np.stack(batch)}

    return Calibration(examples, lambda compute: {})


def texts(config, model, of):
    """Returns the `Calibration` of a run of `recipes.glue`."""
    from recipes.text import glue_tasks

    data = glue_tasks.load(config)

    def batches(examples):
        for x in examples.batch(BATCH).map(lambda *pair: model.preprocessor(*pair)[0]):
            yield {given.name: np.asarray(x[given.name], given.dtype) for given in of.inputs}

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
