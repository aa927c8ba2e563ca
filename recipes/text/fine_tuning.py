"""The training of the fine-tuning recipes: the same for every model, inhibition and seed."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from recipes.program import machine
from recipes.training import distribution, optimizers, runs, streams

WIDTH_STEP = 32  # tokens; batches are as wide as their longest example, rounded up to this


def optimizer(task, config, size):
    """Returns AdamW whose learning rate rises and falls linearly over the whole run."""
    batches = config.epochs * streams.count_steps(config, size)
    updates = optimizers.count_updates(config, batches)
    warmup_steps = round(config.warmup_fraction * updates)
    schedule = optimizers.LinearDecay(config.learning_rate, warmup_steps, updates)
    return optimizers.adamw(task, schedule, config)


@contextlib.contextmanager
def run(job, task, encoder, size):
    """Opens the run of a job, gives the function that trains its task, and saves the task.

    It gives `fit(examples, score)`, from a `tf.data.Dataset` of the `size` training examples in a
    fixed order and a function from the task to its scores on all test examples, a dictionary.
    Further arguments are those of `training_batches`, and `watching`, callbacks that report
    nothing.
    """
    config = job.config
    steps = streams.count_steps(config, size)
    with runs.open_run(job.folder, config) as opened:
        first_epoch = opened.restore(task)
        job.describe(task, size, steps, first_epoch)

        def fit(examples, score, watching=(), **kwargs):
            if first_epoch < config.epochs:
                opened.fit(
                    task,
                    training_batches(task, examples, size, config, first_epoch, **kwargs),
                    epochs=config.epochs,
                    steps=steps,
                    unit="examples",
                    per_step=config.batch_size,
                    extra=[*watching, Score(score)],
                )

        yield fit
        job.finish(opened, task, encoder)


def training_batches(task, examples, size, config, first_epoch, prepare=None, token_labels=False):
    """Returns the batches of the epochs from `first_epoch` on, as one stream.

    `prepare` goes from a batch of examples to the inputs and labels of the task; with `None` they
    are that. With `token_labels`, there is a label for every token.
    """
    examples = streams.epochs(
        examples,
        streams.count_steps(config, size) * config.batch_size,
        shuffle_buffer=size,
        seed=config.seed,
        first_epoch=first_epoch,
        epochs=config.epochs,
    )
    examples = distribution.own(examples, config.batch_size)
    batches = examples.batch(distribution.own_size(config.batch_size), drop_remainder=True)
    if prepare is not None:
        batches = batches.map(prepare, num_parallel_calls=machine.cores())

    def narrow(x, y):
        # TensorFlow's replicas build a model from the sum of their inputs, which no mask may be.
        x = {name: tf.cast(value, "int32") for name, value in x.items()}
        x, width = trim(x, task)
        return x, y[..., :width] if token_labels else y

    return streams.ready(batches.map(narrow, num_parallel_calls=machine.cores()))


def trim(x, task):
    """Cuts off columns of padding, down to a few widths that are compiled for.

    It cuts nothing if the task takes one length only, as gMLP with dense spatial weights does, or
    if other processes hold other parts of the batch.

    Returns:
        The inputs, and their width.
    """
    fixed = task.input["padding_mask"].shape[-1]
    if fixed is not None or distribution.processes() > 1:
        return x, x["padding_mask"].shape[-1]
    mask = tf.cast(x["padding_mask"], tf.int32)
    longest = tf.reduce_max(tf.reduce_sum(mask, axis=-1))
    width = tf.minimum(-(-longest // WIDTH_STEP) * WIDTH_STEP, tf.shape(mask)[-1])
    return {name: value[..., :width] for name, value in x.items()}, width


class Score(keras.callbacks.Callback):
    """Adds the scores on the test examples to the report of each epoch."""

    def __init__(self, score):
        super().__init__()
        self.score = score

    def on_epoch_end(self, epoch, logs=None):
        logs.update({f"val_{name}": value for name, value in self.score(self.model).items()})


def predict(task, batches):
    """Yields the output of `task` for each example in a data set of batches of inputs, as an array.

    Unlike Keras' `predict`, it takes batches of different widths, and outputs may depend on these.
    """
    for x in streams.ready(batches):
        yield from distribution.predict_on_batch(task, trim(x, task)[0])


def report_truncated(encoder, texts, sequence_length):
    """Prints how many examples are longer than the inputs of the model, if any.

    `texts` is a `tf.data.Dataset` of the tuples of texts that make up an example.
    """
    packer = encoder.packer(sequence_length)

    def count_tokens(*texts):
        counts = [tf.cast(encoder.tokenizer(text).row_lengths(), tf.int32) for text in texts]
        between = (len(texts) - 1) * len(packer.sep_value)
        return sum(counts) + len(packer.start_value) + between + len(packer.end_value)

    batches = texts.batch(1024).map(count_tokens, num_parallel_calls=machine.cores())
    lengths = np.concatenate(list(streams.ready(batches).as_numpy_iterator()))
    longer = int((lengths > sequence_length).sum())
    if longer:
        print(
            f"{longer:,} of {len(lengths):,} training examples are longer than --sequence_length "
            f"{sequence_length} and were truncated; the longest has {lengths.max():,} tokens."
        )
