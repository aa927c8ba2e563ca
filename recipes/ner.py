"""Fine-tunes encoders to find named entities, with and without the gate with inhibition.

    python -m recipes.ner                                                   generated sentences
    python -m recipes.ner --config conll2003 --weights PRESET --seeds 5
    python -m recipes.ner --config files --train_file F --test_file F --weights PRESET

A file has one token per line, its tag (IOB2: O, B-TYPE, I-TYPE) in the last column, and a blank
line after each sentence. A word carries its label on its first token. Precision, recall and F1 are
those of whole entities, as seqeval counts them, over all test sentences after the last epoch. A
sentence is cut off at the first word that does not fit into the model; the words from there on
count as O.

`gimlp_conll2003` is the set-up of "giMLPs" (arXiv:2208.00929) as far as it is known, 20 epochs;
its result was not found. Our own results are in `recipes/README.md`.
"""

import dataclasses

from recipes.program import command_line
from recipes.text import options

PROGRAM = "python -m recipes.ner"


@dataclasses.dataclass(frozen=True)
class Config(options.FineTuning):
    """The options of this recipe, after those of all fine-tuning recipes."""

    # generated, conll2003 (TensorFlow Datasets), or files.
    data: str = "generated"
    # File to train on (--data files).
    train_file: str | None = None
    # File to test on (--data files).
    test_file: str | None = None
    # Split to test on (conll2003): dev or test, or a slice of one such as test[:50%].
    test_split: str = "test"


BASE = Config(**options.PRETRAINED)
GIMLP = Config(**options.PRETRAINED | options.GIMLP | {"epochs": 20})
CONFIGURATIONS = command_line.named(
    {
        "generated": Config(),
        "conll2003": dataclasses.replace(BASE, data="conll2003"),
        "files": dataclasses.replace(BASE, data="files"),
        "gimlp_conll2003": dataclasses.replace(GIMLP, data="conll2003"),
    }
)


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    from recipes.text import entities, fine_tuning
    from recipes.training import devices

    devices.prepare_training(config)
    sentences, test_sentences = entities.load(config)
    tags = entities.list_tags(sentences, test_sentences)
    study = fine_tuning.Study("ner", config)
    for job in study.missing():
        train(job, sentences, test_sentences, tags)
    study.print_table()


def train(job, sentences, test_sentences, tags):
    """Trains and scores one encoder: one setting with one seed."""
    import tensorflow as tf

    from keras_gimlp import applications
    from recipes.text import encoders, entities, fine_tuning
    from recipes.training import runs, streams

    config = job.config
    encoder = encoders.load(config, job.setting, (" ".join(words) for words, _ in sentences))
    task = applications.TokenClassifier(encoder.backbone, num_classes=len(tags))
    x, places, cut = entities.pack(encoder, sentences, config.sequence_length)
    test_x, test_places, test_cut = entities.pack(encoder, test_sentences, config.sequence_length)
    size = len(sentences)
    steps = streams.count_steps(config, size)
    task.compile(
        optimizer=fine_tuning.optimizer(task, config, steps), jit_compile=config.compilation
    )
    batches = tf.data.Dataset.from_tensor_slices(test_x).batch(config.batch_size)

    def score(task):
        outputs = fine_tuning.predict(task, batches)
        found = [
            ["O" if place is None else tags[output[place].argmax()] for place in sentence]
            for output, sentence in zip(outputs, test_places, strict=True)
        ]
        return entities.score(test_sentences, found)

    with runs.open_run(job.folder, config) as run:
        first_epoch = run.restore(task)
        job.describe(task, size, steps, first_epoch)
        for words, what in ((cut, "training"), (test_cut, "test")):
            if words:
                print(
                    f"{words:,} words of the {what} sentences do not fit into --sequence_length "
                    f"{config.sequence_length}, and were cut off."
                )
        if first_epoch < config.epochs:
            labels = entities.label(sentences, places, tags, config.sequence_length)
            history = task.fit(
                fine_tuning.training_batches(
                    task,
                    tf.data.Dataset.from_tensor_slices((x, labels)),
                    size,
                    config,
                    first_epoch,
                    token_labels=True,
                ),
                **fine_tuning.fit_arguments(run, config, steps, first_epoch, score),
            )
            run.check(history)
        job.finish(run, task, encoder)


if __name__ == "__main__":
    command_line.run(main)
