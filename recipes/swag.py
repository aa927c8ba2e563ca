"""Fine-tunes encoders to choose the right continuation, with and without the gate with inhibition.

    python -m recipes.swag                                                  generated sentences
    python -m recipes.swag --config swag --data_dir DIR --weights PRESET --seeds 5
    python -m recipes.swag --config piqa_files --data_dir DIR --weights PRESET

SWAG is read from its authors' `train.csv` and `val.csv`: TensorFlow Datasets lacks it, but has PIQA
(`piqa`). Two more sets come from files, of which a fixed half is for training and the other half
for testing: `piqa_files` (`*.jsonl` and `*labels.lst`) and `copa_files` (Balanced COPA's XML, in
which both items of a pair stay in one half).

By default new encoders learn 1,000 generated sentences offline; no score of these, and no run on
SWAG, PIQA or COPA, is kept.

`gimlp_swag` is the set-up of "giMLPs" (arXiv:2208.00929) as far as it is known: 10 epochs, for
which the authors report a gain of 0.1 points. Not reproduced yet.
"""

import dataclasses

from recipes.program import command_line
from recipes.text import fine_tuning_options as options

PROGRAM = "python -m recipes.swag"


@dataclasses.dataclass(frozen=True)
class Config(options.FineTuning):
    """The options of this recipe, after the options of all fine-tuning recipes."""

    # generated, piqa (TensorFlow Datasets), or files in --data_dir: swag, piqa_files, copa_files.
    data: str = "generated"
    # Split to test on (piqa), or a slice of one such as validation[:50%].
    test_split: str = "validation"


BASE = Config(**options.PRETRAINED | {"batch_size": 16})
GIMLP = dataclasses.replace(BASE, **options.GIMLP, inhibition=(0.3, 0.9))
SETS = ("swag", "piqa", "piqa_files", "copa_files")
CONFIGURATIONS = command_line.named(
    {
        "generated": Config(epochs=3),
        **{name: dataclasses.replace(BASE, data=name) for name in SETS},
        "gimlp_swag": dataclasses.replace(GIMLP, data="swag"),
    }
)


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    from recipes.text import choices
    from recipes.text.study import Study
    from recipes.training import devices

    devices.prepare_training(config)
    examples, test_examples = choices.load(config)
    study = Study("swag", config)
    for job in study.missing():
        train(job, examples, test_examples)
    study.print_table()


def train(job, examples, test_examples):
    """Trains and scores one encoder: one setting with one seed."""
    import numpy as np
    import tensorflow as tf

    from keras_gimlp import applications
    from recipes.text import encoders, fine_tuning

    config = job.config
    texts = (text for context, ends, _ in examples for text in (context, *ends))
    encoder = encoders.load(config, job.setting, texts)
    preprocessor = encoder.preprocessor(config.sequence_length)
    num_choices = len(examples[0][1])
    task = applications.MultipleChoice(encoder.backbone, num_choices=num_choices)
    size = len(examples)
    task.compile(
        optimizer=fine_tuning.optimizer(task, config, size), jit_compile=config.compilation
    )

    def prepare(contexts, ends, labels):
        pairs = (tf.repeat(contexts, num_choices), tf.reshape(ends, (-1,)))
        x, labels = preprocessor(pairs, labels)
        shape = (-1, num_choices, config.sequence_length)
        return {name: tf.reshape(value, shape) for name, value in x.items()}, labels

    def dataset(examples):
        return tf.data.Dataset.from_tensor_slices(tuple(map(np.array, zip(*examples, strict=True))))

    batches = dataset(test_examples).batch(config.batch_size).map(lambda *x: prepare(*x)[0])
    labels = np.array([label for *_, label in test_examples])

    def score(task):
        outputs = np.stack([*fine_tuning.predict(task, batches)])
        return {"accuracy": float(np.mean(outputs.argmax(-1) == labels))}

    pairs = [(context, end) for context, ends, _ in examples for end in ends]
    fine_tuning.report_truncated(encoder, dataset(pairs), config.sequence_length)
    with fine_tuning.run(job, task, encoder, size) as fit:
        fit(dataset(examples), score, prepare=prepare)


if __name__ == "__main__":
    command_line.run(main)
