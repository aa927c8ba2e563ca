"""Sources of images, the order in which they come, and what is done to them."""

import dataclasses
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from recipes.image_classification import Config
from recipes.images import datasets
from recipes.training import devices, streams
from tests.conftest import everywhere, once

pytestmark = once

CONFIG = Config(epochs=3, batch_size=4, image_size=8, crop_padding=0, shuffle_buffer=10)


@pytest.fixture(autouse=True)
def seeded(fresh_state):
    devices.set_seed(0)


def numbered(count=10, size=8, channels=1):
    """Images of one value each, which is their number and their label."""
    images = np.ones((count, size, size, channels), "uint8")
    images *= np.arange(count, dtype="uint8")[:, None, None, None]
    dataset = tf.data.Dataset.from_tensor_slices((images, np.arange(count)))
    return datasets.ImageData(
        class_names=tuple(map(str, range(count))),
        channels=channels,
        train=dataset,
        test=dataset,
        train_size=count,
        test_size=count,
        decode=lambda image: image,
    )


def epochs(config=CONFIG, first_epoch=0, data=None, steps=2):
    """Returns the labels of every batch that is left to train on."""
    data = data or numbered()
    batches = datasets.training_batches(data, config, lambda x: x, first_epoch, steps)
    return [labels.numpy().argmax(-1).tolist() for _, labels in batches]


def write_folder(root, classes=("cat", "dog"), images=10, size=(6, 9)):
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(images):
            pixels = np.full((*size, 3), 50 * label + i, "uint8")
            tf.io.write_file(str(root / name / f"{i}.png"), tf.io.encode_png(pixels))


def test_every_epoch_has_its_own_order_without_repetition():
    batches = epochs()
    assert len(batches) == 6
    orders = [batches[i] + batches[i + 1] for i in (0, 2, 4)]
    assert all(len(set(order)) == 8 for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_seed_decides_the_order():
    assert epochs() == epochs()
    assert epochs() != epochs(dataclasses.replace(CONFIG, seed=1))


def test_a_continued_run_gets_the_batches_that_were_left():
    assert epochs(first_epoch=1) == epochs()[2:]
    assert epochs(first_epoch=3) == []


def test_a_continued_run_augments_as_the_uninterrupted_one():
    config = dataclasses.replace(CONFIG, crop_padding=2, flip=True)
    data = numbered()
    data = dataclasses.replace(data, train=data.train.map(lambda x, y: (x + noise(y), y)))
    whole = list(datasets.training_batches(data, config, lambda x: x, 0, 2))
    rest = list(datasets.training_batches(data, config, lambda x: x, 2, 2))
    for (images, labels), (expected, expected_labels) in zip(rest, whole[4:], strict=True):
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(labels, expected_labels)


def noise(label):
    seed = tf.stack([label, label])
    return tf.cast(tf.random.stateless_uniform((8, 8, 1), seed, 0, 9, tf.int32), tf.uint8)


def test_the_whole_test_set_comes_once_and_in_order():
    batches = datasets.test_batches(numbered(), CONFIG, lambda x: x / 2)
    images, labels, weights = map(np.stack, zip(*batches.as_numpy_iterator(), strict=True))
    assert labels.argmax(-1).ravel()[:10].tolist() == list(range(10))
    np.testing.assert_array_equal(images[..., 0, 0, 0].ravel()[:10], np.arange(10) / 2)
    # The last batch is full, and what fills it counts nothing. The others have a mean of 1.
    np.testing.assert_allclose(weights.ravel(), [1.2] * 10 + [0] * 2)


def test_digits_hold_out_a_fifth_with_every_class():
    data = datasets.digits()
    assert (data.train_size, data.test_size) == (1437, 360)
    labels = np.bincount([int(label) for _, label in data.test])
    assert labels.min() >= 34
    images = np.stack([image for image, _ in data.train])
    assert images.shape == (1437, 8, 8, 1)
    assert images.max() == 255


def test_folder_of_classes_is_split_with_every_class_in_both_parts(tmp_path):
    write_folder(tmp_path)
    data = datasets.folder(tmp_path)
    assert data.class_names == ("cat", "dog")
    assert (data.train_size, data.test_size) == (16, 4)
    assert sorted(int(label) for _, label in data.test) == [0, 0, 1, 1]
    for path, label in data.train.concatenate(data.test):
        assert int(data.decode(path)[0, 0, 0]) // 50 == int(label)


def test_folder_with_splits_uses_them(tmp_path):
    write_folder(tmp_path / "train")
    write_folder(tmp_path / "val", images=3)
    data = datasets.folder(str(tmp_path))
    assert (data.train_size, data.test_size) == (20, 6)


def test_folder_that_cannot_be_used_is_explained(tmp_path):
    with pytest.raises(SystemExit, match="--data folder needs --data_dir"):
        datasets.load("folder", None, "train", None)
    with pytest.raises(SystemExit, match="must hold two or more folders, one per class"):
        datasets.folder(tmp_path)
    write_folder(tmp_path / "train")
    (tmp_path / "train" / "bird").mkdir()
    write_folder(tmp_path / "val", classes=("cat", "cow"))
    with pytest.raises(SystemExit, match="these are empty: bird"):
        datasets.folder(tmp_path)
    (tmp_path / "train" / "bird").rmdir()
    with pytest.raises(SystemExit, match="must hold the same classes.*: cow, dog"):
        datasets.folder(tmp_path)


def test_folder_with_too_few_images_to_hold_some_out_is_explained(tmp_path):
    write_folder(tmp_path, images=1)
    with pytest.raises(SystemExit, match="2 images of 2 classes are too few to hold a fifth out"):
        datasets.folder(tmp_path)


def test_unknown_data_set_names_the_nearest():
    with pytest.raises(SystemExit, match="no data set named 'cifar_10'. Did you mean cifar10"):
        datasets.load("cifar_10", None, "train", None)


def test_data_set_without_a_network_is_explained_at_once(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nothing listens
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with pytest.raises(SystemExit, match="could not be downloaded .*point --data_dir at"):
        datasets.load("cifar10", str(tmp_path), "train", None)
    assert sum(waits) < 5


def test_data_set_that_cannot_be_had_says_where_to_point(tmp_path, monkeypatch):
    def fail(builder):
        raise ConnectionError("no route\nand more")

    monkeypatch.setattr(streams, "check_reachable", lambda builder: None)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(
        SystemExit,
        match="'cifar10/.*' is not prepared in .* could not be downloaded "
        "\\(ConnectionError: no route\\).*point --data_dir at the folder that holds cifar10",
    ):
        datasets.load("cifar10", str(tmp_path), "train", None)


def write_tfds(root, label):
    """Prepares a data set `shapes` of ten images as TensorFlow Datasets lays it out."""
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3)).astype("uint8")
    dataset = tf.data.Dataset.from_tensor_slices({"image": images, "label": np.arange(10) % 2})
    tfds.dataset_builders.store_as_tfds_dataset(
        name="shapes",
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {"image": tfds.features.Image(shape=(8, 8, 3)), "label": label}
        ),
        split_datasets={"train": dataset, "test": dataset},
        data_dir=root,
    )


def test_prepared_data_set_is_read_by_name(tmp_path):
    write_tfds(tmp_path, tfds.features.ClassLabel(names=["a", "b"]))
    data = datasets.load("shapes", str(tmp_path), "train", None)
    assert data.class_names == ("a", "b")
    assert (data.train_size, data.test_size, data.channels) == (10, 10, 3)
    for image, _ in data.test:
        assert data.decode(image).shape == (8, 8, 3)
    with pytest.raises(SystemExit, match="no split of shapes named 'tests'. Did you mean test"):
        datasets.load("shapes", str(tmp_path), "train", "tests")


def test_slices_of_splits_are_read(tmp_path):
    write_tfds(tmp_path, tfds.features.ClassLabel(names=["a", "b"]))
    data = datasets.load("shapes", str(tmp_path), "train[:80%]", "train[80%:]+test[:1]")
    assert (data.train_size, data.test_size) == (8, 3)
    assert len(list(data.train)) == 8
    assert len(list(data.test)) == 3
    for split, message in (
        ("train[:80", r"'train\[:80' is no split of shapes, nor a slice of one such as"),
        ("train[:x%]", "is no split of shapes, nor a slice of one"),
        ("train[:0%]", r"The split 'train\[:0%\]' of shapes is empty"),
        ("tran[:80%]", "no split of shapes named 'tran'. Did you mean train"),
    ):
        with pytest.raises(SystemExit, match=message):
            datasets.load("shapes", str(tmp_path), split, None)


def test_data_set_without_class_labels_is_refused(tmp_path):
    write_tfds(tmp_path, tfds.features.Scalar(np.int64))
    with pytest.raises(SystemExit, match="must have the features `image` and `label`"):
        datasets.load("shapes", str(tmp_path), "train", None)


def test_test_images_keep_their_proportions():
    image = np.zeros((20, 40, 1), "float32")
    image[:, 10:30] = 200.0  # the middle square
    result = datasets.resize_and_crop(tf.constant(image), 10).numpy()
    assert result.shape == (10, 10, 1)
    np.testing.assert_allclose(result[:, 1:-1], 200, atol=15)
    half = datasets.resize_and_crop(tf.constant(image), 10, crop=0.5).numpy()
    np.testing.assert_allclose(half, 200, atol=1e-3)


def test_images_of_the_right_size_are_not_touched(rng):
    image = rng.integers(0, 256, (8, 8, 3)).astype("uint8")
    np.testing.assert_allclose(datasets.resize_and_crop(tf.constant(image), 8), image, atol=1e-3)


@pytest.mark.parametrize(
    "fields",
    [
        {"resized_crop": True},
        {"crop_padding": 2},
        {"flip": True},
        {"random_erasing": 1.0},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_augmentation_changes_images_and_keeps_their_shape_and_range(rng, fields):
    config = dataclasses.replace(CONFIG, image_size=16, batch_size=8, epochs=1, **fields)
    images = rng.integers(0, 256, (8, 16, 16, 3)).astype("uint8")
    data = dataclasses.replace(
        numbered(8, size=16, channels=3),
        train=tf.data.Dataset.from_tensor_slices((images, np.arange(8))),
    )
    ((batch, labels),) = datasets.training_batches(data, config, lambda x: x, 0, 1)
    assert batch.shape == (8, 16, 16, 3)
    assert batch.dtype == "float32"
    assert 0 <= batch.numpy().min() <= batch.numpy().max() <= 255
    originals = images[labels.numpy().argmax(-1)]
    assert np.abs(batch.numpy() - originals).max() > 1


@everywhere
@pytest.mark.parametrize("fields", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_mixing_mixes_images_and_labels_alike(fields):
    config = dataclasses.replace(CONFIG, batch_size=10, epochs=4, image_size=64, **fields)
    kinds = set()
    for images, labels in datasets.training_batches(numbered(size=64), config, lambda x: x, 0, 1):
        images, labels = images.numpy(), labels.numpy()
        np.testing.assert_allclose(labels.sum(-1), 1, rtol=1e-5)
        assert (labels.max(-1) < 1).any()
        # The value of a pixel is its label, so both mixtures keep their mean. Keras' CutMix weighs
        # the labels by the box before it is rounded to pixels, which is at most one row and one
        # column of pixels between values that differ by at most 9.
        rounding = 9 * (64 + 64 + 1) / 64**2
        np.testing.assert_allclose(images.mean((1, 2, 3)), labels @ np.arange(10), atol=rounding)
        kinds.add("mixup" if (images.std((1, 2, 3)) < 1e-3).all() else "cutmix")
    assert kinds <= set(fields)


@pytest.mark.slow
def test_rand_augment_changes_images_and_computes_in_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    config = dataclasses.replace(CONFIG, rand_augment_ops=1, mixup=0.2, epochs=1, batch_size=10)
    data = numbered(channels=3)
    ((images, labels),) = datasets.training_batches(data, config, lambda x: x, 0, 1)
    assert images.dtype == labels.dtype == "float32"
    assert 0 <= images.numpy().min() <= images.numpy().max() <= 255
    assert np.abs(images.numpy().mean((1, 2, 3)) - labels.numpy() @ np.arange(10)).max() > 1
