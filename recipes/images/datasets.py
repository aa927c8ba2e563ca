"""Images with class labels: three sources, one `tf.data` pipeline.

Crops and flips are functions of the seed and of the image's number in the run, so that a continued
run draws the same. RandAugment, RandomErasing, MixUp and CutMix are Keras', and are not.
"""

import dataclasses
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from recipes.program import machine
from recipes.training import distribution, streams

IMAGE_FILES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
HELD_OUT = 0.2  # fraction of the images that tests, where a source has no split of its own


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A source of images. Both sets hold pairs of an encoded image and a label, in fixed order."""

    class_names: tuple[str, ...]
    channels: int
    train: tf.data.Dataset
    test: tf.data.Dataset
    train_size: int
    test_size: int
    decode: Callable  # to uint8 pixels of shape (height, width, channels)


def load(data, data_dir, train_split, test_split):
    """Returns the data set named `data`: `"digits"`, `"folder"`, or a name of TensorFlow Datasets.

    `data_dir` of `"folder"` has one folder of images per class, or `train` and `val` (or
    `validation`, `test`) with such folders in them. `test_split` is `None` for `validation`, or
    else `test`.
    """
    if data == "digits":
        return digits()
    if data == "folder":
        return folder(data_dir)
    return tensorflow_datasets(data, data_dir, train_split, test_split)


def digits():
    """The 1,797 handwritten digits of 8 x 8 pixels in scikit-learn; a fifth is held out."""
    images, labels = load_digits(return_X_y=True)
    images = np.round(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype("uint8")
    return _held_out(images, labels, tuple("0123456789"), channels=1, decode=lambda image: image)


def folder(root):
    """A folder of class folders, with or without `train` and `val` folders above them."""
    if root is None or not pathlib.Path(root).is_dir():
        raise SystemExit(
            "--data folder needs --data_dir, a folder with one folder of images per class. "
            f"Received: --data_dir {root}"
        )
    root = pathlib.Path(root)
    test_roots = [root / name for name in ("val", "validation", "test") if (root / name).is_dir()]
    if not (root / "train").is_dir() or not test_roots:
        files, labels, names = _labeled_files(root)
        return _held_out(files, labels, names, channels=3, decode=_read_image)
    files, labels, names = _labeled_files(root / "train")
    test_files, test_labels, test_names = _labeled_files(test_roots[0])
    if names != test_names:
        raise SystemExit(
            f"{root / 'train'} and {test_roots[0]} must hold the same classes. These are in only "
            f"one of them: {', '.join(sorted(set(names) ^ set(test_names)))}"
        )
    return _from_arrays(files, labels, test_files, test_labels, names, 3, _read_image)


def tensorflow_datasets(data, data_dir, train_split, test_split):
    """A data set of TensorFlow Datasets that has images and class labels, by name."""
    import tensorflow_datasets as tfds

    builder = streams.prepared(data, data_dir, ("digits", "folder"))
    features = dict(builder.info.features)
    if not isinstance(features.get("image"), tfds.features.Image) or not isinstance(
        features.get("label"), tfds.features.ClassLabel
    ):
        raise SystemExit(
            f"The data set {data!r} must have the features `image` and `label`, a class label. It "
            f"has {', '.join(features)}."
        )
    test_split = test_split or ("validation" if "validation" in builder.info.splits else "test")
    train_size, test_size = (streams.count_examples(builder, x) for x in (train_split, test_split))
    train, test = (
        builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()}).map(
            lambda example: (example["image"], example["label"])
        )
        for split in (train_split, test_split)
    )
    return ImageData(
        class_names=tuple(features["label"].names),
        channels=features["image"].shape[-1],
        train=train,
        test=test,
        train_size=train_size,
        test_size=test_size,
        decode=features["image"].decode_example,
    )


def training_batches(data, config, preprocess, first_epoch, steps_per_epoch):
    """Returns all batches of the epochs from `first_epoch` on, as one stream.

    `preprocess` goes from float pixels in [0, 255] to the inputs of the model.
    """
    per_epoch = steps_per_epoch * config.batch_size
    augment = augmentation(config, data.channels)
    mix = mixing(config)

    def prepare(number, example):
        image, label = example
        seed = tf.stack([tf.constant(config.seed, tf.int64), number])
        image = augment(data.decode(image), seed)
        return image, tf.one_hot(label, len(data.class_names))

    examples = streams.epochs(
        data.train,
        per_epoch,
        shuffle_buffer=config.shuffle_buffer,
        seed=config.seed,
        first_epoch=first_epoch,
        epochs=config.epochs,
    )
    numbers = tf.data.Dataset.counter(first_epoch * per_epoch)
    return streams.ready(
        distribution.own(tf.data.Dataset.zip((numbers, examples)), config.batch_size)
        .map(prepare, num_parallel_calls=machine.cores())
        .batch(distribution.own_size(config.batch_size), drop_remainder=True)
        .map(mix, num_parallel_calls=machine.cores())
        .map(lambda images, labels: (preprocess(images), labels))
    )


def test_batches(data, config, preprocess):
    """Returns the whole test set in order, in full batches with the weights of the examples."""

    def prepare(image, label, weight):
        image = resize_and_crop(data.decode(image), config.image_size, config.test_crop)
        image = tf.ensure_shape(image, (config.image_size, config.image_size, data.channels))
        return image, tf.one_hot(label, len(data.class_names)), weight

    examples = streams.whole_batches(data.test, data.test_size, config.batch_size)
    return streams.ready(
        distribution.own(examples, config.batch_size)
        .map(prepare, num_parallel_calls=machine.cores())
        .batch(distribution.own_size(config.batch_size), drop_remainder=True)
        .map(lambda images, labels, weights: (preprocess(images), labels, weights))
    )


def augmentation(config, channels):
    """Returns the function from one image of any size, and a seed, to one augmented image."""
    size = config.image_size
    kwargs = {"value_range": (0, 255), "seed": config.seed, "dtype": "float32"}
    layers = []
    if config.rand_augment_ops:
        factor = config.rand_augment_factor
        layers.append(
            keras.layers.RandAugment(num_ops=config.rand_augment_ops, factor=factor, **kwargs)
        )
    if config.random_erasing:
        layers.append(keras.layers.RandomErasing(factor=(config.random_erasing,) * 2, **kwargs))

    def augment(image, seed):
        crop_seed, flip_seed = tf.unstack(tf.random.split(seed, 2))
        if config.resized_crop:
            image = random_resized_crop(image, size, crop_seed)
        else:
            image = resize_and_crop(image, size)
        if config.crop_padding:
            padding = [[config.crop_padding] * 2] * 2 + [[0, 0]]
            image = tf.image.stateless_random_crop(
                tf.pad(image, padding), (size, size, channels), crop_seed
            )
        if config.flip:
            image = tf.image.stateless_random_flip_left_right(image, flip_seed)
        image = tf.ensure_shape(image, (size, size, channels))
        for layer in layers:
            image = layer(image, training=True)
        return image

    return augment


def mixing(config):
    """Returns the function that mixes a batch by MixUp or CutMix, each for half of the batches."""
    kwargs = {"seed": config.seed, "dtype": "float32"}
    layers = [keras.layers.MixUp(config.mixup, **kwargs)] if config.mixup else []
    if config.cutmix:
        layers.append(keras.layers.CutMix((config.cutmix, config.cutmix), **kwargs))

    def apply(layer, images, labels):
        mixed = layer({"images": images, "labels": labels}, training=True)
        return mixed["images"], mixed["labels"]

    def mix(images, labels):
        if not layers:
            return images, labels
        first, last = (
            lambda layer=x: apply(layer, images, labels) for x in (layers[0], layers[-1])
        )
        return first() if len(layers) == 1 else tf.cond(tf.random.uniform(()) < 0.5, first, last)

    return mix


def random_resized_crop(image, size, seed):
    """Cuts out 8 to 100 % of the area, 3:4 to 4:3 wide, and resizes it to `size` pixels."""
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(image),
        bounding_boxes=tf.zeros((1, 0, 4)),
        seed=seed,
        area_range=(0.08, 1.0),
        aspect_ratio_range=(3 / 4, 4 / 3),
        use_image_if_no_bounding_boxes=True,
    )
    return _resize(tf.slice(image, begin, extent), (size, size))


def resize_and_crop(image, size, crop=1.0):
    """Resizes the shorter side to `size / crop` pixels and cuts out the middle `size` pixels."""
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    scale = round(size / crop) / tf.minimum(height, width)
    shape = tf.cast(tf.round([scale * tf.cast(n, scale.dtype) for n in (height, width)]), tf.int32)
    return tf.image.resize_with_crop_or_pad(_resize(image, shape), size, size)


def _resize(image, shape):
    image = tf.image.resize(tf.cast(image, tf.float32), shape, method="bicubic", antialias=True)
    return tf.clip_by_value(image, 0.0, 255.0)  # bicubic overshoots


def _labeled_files(root):
    """Returns the image files below `root`, their labels, and the names of the classes."""
    names = tuple(sorted(path.name for path in root.iterdir() if path.is_dir()))
    files = [
        (str(path), label)
        for label, name in enumerate(names)
        for path in sorted((root / name).rglob("*"))
        if path.suffix.lower() in IMAGE_FILES
    ]
    empty = set(range(len(names))) - {label for _, label in files}
    if len(names) < 2 or empty:
        there = f"these are empty: {', '.join(names[i] for i in sorted(empty))}" if empty else names
        raise SystemExit(
            f"{root} must hold two or more folders, one per class, with images "
            f"({', '.join(IMAGE_FILES)}) in each. Found: {there}"
        )
    paths, labels = zip(*files, strict=True)
    return np.array(paths), np.array(labels), names


def _read_image(path):
    image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    image.set_shape((None, None, 3))  # which decode_image leaves unknown
    return image


def _held_out(inputs, labels, class_names, channels, decode):
    """Holds out the same examples in every run, so that results can be compared."""
    try:
        train, test, train_labels, test_labels = train_test_split(
            inputs, labels, test_size=HELD_OUT, random_state=0, stratify=labels
        )
    except ValueError as error:
        raise SystemExit(
            f"{len(inputs)} images of {len(class_names)} classes are too few to hold a fifth out "
            f"with every class in both parts: {error}"
        ) from error
    return _from_arrays(train, train_labels, test, test_labels, class_names, channels, decode)


def _from_arrays(train, train_labels, test, test_labels, class_names, channels, decode):
    return ImageData(
        class_names=class_names,
        channels=channels,
        train=tf.data.Dataset.from_tensor_slices((train, train_labels)),
        test=tf.data.Dataset.from_tensor_slices((test, test_labels)),
        train_size=len(train),
        test_size=len(test),
        decode=decode,
    )
