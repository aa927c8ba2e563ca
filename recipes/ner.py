"""Fine-tunes encoders to find named entities, with and without the gate with inhibition.

    python -m recipes.ner                                                   generated sentences
    python -m recipes.ner --config conll2003 --weights PRESET --seeds 5
    python -m recipes.ner --config files --train_file F --test_file F --weights PRESET

A file has one token per line, its tag (IOB2: O, B-TYPE, I-TYPE) in the last column, and a blank
line after each sentence. A word carries its label on its first token. Precision, recall and F1
count whole entities, as seqeval does, over all test sentences after the last epoch. A sentence is
cut off at the first word that does not fit into the model; the words from there on count as O.

By default new encoders learn 1,000 generated sentences offline; no score of these, and no run on
CoNLL-2003, is kept.

`gimlp_conll2003` is the set-up of "giMLPs" (arXiv:2208.00929) as far as it is known, 20 epochs;
its result was not found. Not reproduced yet.
"""

import dataclasses

from recipes.program import command_line
from recipes.text import fine_tuning_options as options

PROGRAM = "python -m recipes.ner"


@dataclasses.dataclass(frozen=True)
class Config(options.FineTuning):
    """The options of this recipe, after the options of all fine-tuning recipes."""

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
    from recipes.text import entities
    from recipes.text.study import Study
    from recipes.training import devices

    devices.prepare_training(config)
    sentences, test_sentences = entities.load(config)
    tags = entities.list_tags(sentences, test_sentences)
    study = Study("ner", config)
    for job in study.missing():
        train(job, sentences, test_sentences, tags)
    study.print_table()


def train(job, sentences, test_sentences, tags):
    """Trains and scores one encoder: one setting with one seed."""
    import tensorflow as tf

    from keras_gimlp import applications
    from recipes.text import encoders, entities, fine_tuning

    config = job.config
    encoder = encoders.load(config, job.setting, (" ".join(words) for words, _ in sentences))
    task = applications.TokenClassifier(encoder.backbone, num_classes=len(tags))
    x, places, cut = entities.pack(encoder, sentences, config.sequence_length)
    test_x, test_places, test_cut = entities.pack(encoder, test_sentences, config.sequence_length)
    size = len(sentences)
    task.compile(
        optimizer=fine_tuning.optimizer(task, config, size), jit_compile=config.compilation
    )
    batches = tf.data.Dataset.from_tensor_slices(test_x).batch(config.batch_size)

    def score(task):
        outputs = fine_tuning.predict(task, batches)
        predicted = [
            ["O" if place is None else tags[output[place].argmax()] for place in sentence]
            for output, sentence in zip(outputs, test_places, strict=True)
        ]
        return entities.score(test_sentences, predicted)

    for words, which in ((cut, "training"), (test_cut, "test")):
        if words:
            print(
                f"{words:,} words of the {which} sentences do not fit into --sequence_length "
                f"{config.sequence_length}, and were cut off."
            )
    examples = (x, entities.label(sentences, places, tags, config.sequence_length))
    with fine_tuning.run(job, task, encoder, size) as fit:
        fit(tf.data.Dataset.from_tensor_slices(examples), score, token_labels=True)


if __name__ == "__main__":
    command_line.run(main)
