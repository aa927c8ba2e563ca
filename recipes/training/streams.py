"""The parts of data pipelines that all recipes share."""

import numpy as np
import tensorflow as tf

from recipes.program.command_line import one_of


def epochs(examples, per_epoch, *, shuffle_buffer, seed, first_epoch, epochs):
    """Returns the shuffled examples of the epochs from `first_epoch` on, as one stream.

    With one stream, instead of a data set that `fit` starts again in each epoch, the order of an
    epoch depends only on the seed and on its number, not on how many epochs this process has read
    before. Call `devices.set_seed` first. `examples` are in a fixed order, and `per_epoch` of them
    are taken; each is drawn from among the next `shuffle_buffer`.
    """

    def one_epoch(epoch):
        return shuffled(examples, shuffle_buffer, seed, epoch).take(per_epoch)

    return tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch)


def shuffled(examples, shuffle_buffer, seed, number):
    """Returns the examples in the order of one pass, a function of the seed and its number."""
    return examples.shuffle(
        shuffle_buffer,
        # Far apart for different seeds, so that two runs share no order.
        seed=seed * 1_000_003 + number,
        reshuffle_each_iteration=False,
    )


def whole_batches(examples, size, batch_size):
    """Returns the `size` test examples, pairs of an input and a label, with weights, to be batched.

    Padding examples get weight 0, real ones `total / size`, so that Keras' mean over the padded
    batches is the mean over the `size` examples. `batch_size` is that of all devices together.
    """
    total = -(-size // batch_size) * batch_size
    weights = np.where(np.arange(total) < size, total / size, 0.0).astype("float32")
    return tf.data.Dataset.zip(
        (examples.repeat().take(total), tf.data.Dataset.from_tensor_slices(weights))
    ).map(lambda example, weight: (*example, weight))


def ready(batches):
    """Returns batches that are prepared while the model works on the last ones.

    tf.data does not tune itself: with TensorFlow 2.21, the end of a pass waits now and then for the
    thread that does, as long again as the pass took, up to a minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


def count_steps(options, examples):
    """Returns the number of batches per epoch, or ends the program if there is not even one."""
    if examples < options.batch_size:
        raise SystemExit(
            f"--batch_size must be at most the number of training examples, {examples}. "
            f"Received: {options.batch_size}"
        )
    return min(options.steps_per_epoch or examples, examples // options.batch_size)


def split_of(builder, split):
    """Returns a split of a prepared TFDS `builder`, or a slice of one such as `train[:80%]`.

    Ends the program if there is no such split, or if it is empty.
    """
    count_examples(builder, split)
    return builder.as_dataset(split=split)


def count_examples(builder, split):
    """Returns the number of examples in a split, or in a slice of one; see `split_of`."""
    for part in split.split("+"):
        one_of(part.partition("[")[0].strip(), builder.info.splits, f"split of {builder.name}")
    try:
        examples = builder.info.splits[split].num_examples
    except (AssertionError, KeyError, ValueError) as error:
        raise SystemExit(
            f"{split!r} is no split of {builder.name}, nor a slice of one such as 'train[:80%]'."
        ) from error
    if not examples:
        raise SystemExit(f"The split {split!r} of {builder.name} is empty.")
    return examples


def check_reachable(builder):
    """Raises the error of `requests` if the host of the first download does not answer.

    TFDS itself tries ten times, over minutes.
    """
    import requests

    addresses = [url for url in builder.url_infos or () if url.startswith("http")]
    if addresses:
        requests.head(addresses[0], timeout=10).close()


def prepared(name, data_dir, others=()):
    """Returns the builder of a data set of TFDS, which is downloaded unless it is in `data_dir`.

    Ends the program with the ways out if that fails, or if there is none of this name, nor one of
    the names `others`.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)  # those need the network
        one_of(name, [*others, *known], "data set")
        raise
    if builder.is_prepared():
        return builder
    try:
        check_reachable(builder)
        builder.download_and_prepare()
    except Exception as error:  # of the network, the disk, or one of the builder's own
        raise SystemExit(
            f"The data set {builder.info.full_name!r} is not prepared in {builder.data_dir}, and "
            f"it could not be downloaded ({type(error).__name__}: {str(error).splitlines()[0]}). "
            f"If it is elsewhere, point --data_dir at the folder that holds {builder.name}. If it "
            "has to be downloaded by hand, its page in the catalog of TensorFlow Datasets says how."
        ) from error
    return builder
