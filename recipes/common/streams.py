"""What the data pipelines of all recipes share."""

import tensorflow as tf


def epochs(examples, per_epoch, *, shuffle_buffer, seed, first_epoch, epochs):
    """Returns the shuffled examples of the epochs from `first_epoch` on, as one stream.

    One stream, and not a data set that `fit` reads anew in each epoch: so the order of every epoch
    depends on the seed and on its number alone, and not on how many were read before it in this
    process. `devices.set_seed` comes first.

    Args:
        examples: A `tf.data.Dataset` in a fixed order.
        per_epoch: Integer, examples taken in an epoch.
        shuffle_buffer: Integer, examples among which the next one is drawn.
        seed: Integer, seed of the run.
        first_epoch: Integer, 0 in a new run.
        epochs: Integer, the number of the last epoch plus 1.
    """

    def one_epoch(epoch):
        return shuffled(examples, shuffle_buffer, seed, epoch).take(per_epoch)

    return tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch)


def passes(examples, *, shuffle_buffer, seed):
    """Returns the examples in a new order each time they are through, without an end."""
    return tf.data.Dataset.counter().flat_map(
        lambda number: shuffled(examples, shuffle_buffer, seed, number)
    )


def shuffled(examples, shuffle_buffer, seed, number):
    """Returns the examples in the order of one pass, a function of the seed and its number."""
    return examples.shuffle(
        shuffle_buffer,
        # Far apart for different seeds, so that two runs share no order.
        seed=seed * 1_000_003 + number,
        reshuffle_each_iteration=False,
    )


def prepare(builder):
    """Downloads and prepares the data set of a TFDS builder, unless it lies in its folder already.

    Ends the program with the ways out if that fails.
    """
    if builder.is_prepared():
        return
    try:
        builder.download_and_prepare()
    except Exception as error:  # of the network, the disk, or one of the builder's own
        raise SystemExit(
            f"The data set {builder.info.full_name!r} is not prepared in {builder.data_dir}, and "
            f"it could not be downloaded ({type(error).__name__}: {str(error).splitlines()[0]}). "
            f"If it lies elsewhere, point --data_dir at the folder that holds {builder.name}. If "
            "it has to be downloaded by hand, its page in the catalog of TensorFlow Datasets says "
            "from where."
        ) from error
