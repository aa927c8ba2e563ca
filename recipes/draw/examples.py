"""The images and texts to draw, as a model takes them."""

import dataclasses

import numpy as np

from recipes.draw import PictureError, figures
from recipes.trained import record


@dataclasses.dataclass(frozen=True)
class Examples:
    """The inputs of a model, and their captions.

    Images are an array; texts are a list of dictionaries, each with a batch of one, with their
    tokens as `words`. `labels` are numbers of the true classes, `name` names the number of a class,
    or token.
    """

    inputs: np.ndarray | list
    words: list | None = None
    labels: list | None = None
    name: object = "class {}".format

    @property
    def first(self):
        return self.inputs[:1] if self.words is None else self.inputs[0]


def load(model, config):
    """Returns the `Examples` that the options of `recipes.draw` ask for."""
    if isinstance(model.input, dict):
        return texts(model, config)
    return photos(model, config) if config.images else of_run(config)


def texts(model, config):
    """Returns the texts of `--texts`."""
    from recipes.text import sentences

    if not config.texts:
        raise PictureError(f"{figures.name_of(model)} takes texts: --texts.")
    if "mask_positions" in model.input:
        for text in config.texts:
            if sentences.MASK not in text:
                raise PictureError(f"There is no {sentences.MASK} in the text: {text!r}")
    tokenizer = tokenizer_of(model, config)
    length = model.input["token_ids"].shape[-1]
    inputs = [sentences.encode(tokenizer, x, model.input, length) for x in config.texts]
    words = []
    for x in inputs:
        ids = x["token_ids"][0]
        count = int((ids != tokenizer.pad_token_id).sum())
        words.append([sentences.name_of(tokenizer, i) for i in ids[:count]])
    if "mask_positions" not in model.input:
        return Examples(inputs, words)
    return Examples(inputs, words, name=lambda n: f"[MASK]: {sentences.name_of(tokenizer, n)}")


def tokenizer_of(model, config):
    """Returns the tokenizer of a task, or that of the preset where the model has none."""
    import keras_hub

    preprocessor = getattr(model, "preprocessor", None)
    if preprocessor is not None:
        return preprocessor.tokenizer
    if not config.preset:
        raise PictureError(
            f"{figures.name_of(model)} has no tokenizer: name a --preset, which has one."
        )
    try:
        return keras_hub.models.Tokenizer.from_preset(config.preset)
    except (ValueError, OSError) as error:
        raise SystemExit(f"--preset has no tokenizer: {error}") from error


def of_run(config):
    """Returns the test images `--examples` of the run in whose folder the model lies."""
    from recipes import image_classification
    from recipes.images import datasets, models

    trained = run_of(config)
    if trained is None:
        raise PictureError(
            "The model is not in the folder of a run, which knows its data: name --images."
        )
    run = record.options(trained, image_classification.Config)
    data_dir = config.data_dir or run.data_dir
    data = datasets.load(run.data, data_dir, run.train_split, run.test_split)
    wrong = [n for n in config.examples if n >= data.test_size]
    if wrong:
        raise PictureError(
            f"--examples must be among 0 to {data.test_size - 1}. Received: {wrong[0]}"
        )
    preprocess = models.preprocessing(run, data.channels)
    images, labels = [], []
    for n in config.examples:
        ((image, label),) = data.test.skip(n).take(1)
        pixels = datasets.resize_and_crop(data.decode(image), run.image_size, run.test_crop)
        images.append(np.asarray(preprocess(np.asarray(pixels))))
        labels.append(int(label))
    return Examples(np.stack(images), None, labels, lambda n: data.class_names[n])


def run_of(config):
    """Returns the configuration of the image run in whose folder the model lies, or `None`."""
    trained = record.config_of_run(config.weights)
    return trained if trained and "image_size" in trained else None


def photos(model, config):
    """Returns the photos of `--images`, scaled as the model expects it."""
    from PIL import Image

    from keras_gimlp import applications

    *size, channels = model.input_shape[1:]
    if channels != 3:
        raise PictureError(
            f"--images are of 3 channels, {figures.name_of(model)} takes {channels}."
        )
    transform = record.transform_of(config) or applications.image_transform()
    height, width = (n or 224 for n in size)
    transform = dataclasses.replace(transform, height=height, width=width)
    images = []
    for path in config.images:
        try:
            with Image.open(path) as photo:
                images.append(transform(photo))
        except OSError as error:
            raise SystemExit(f"--images cannot be read: {error}") from error
    return Examples(np.stack(images))
