"""Fine-tunes encoders on the tasks of GLUE, with and without the gate with inhibition.

    python -m recipes.glue                                              generated sentences
    python -m recipes.glue --config rte --weights PRESET --data_dir DIR --seeds 5

The plain encoder is the baseline in the same study. The scores are those of the benchmark, computed
on the whole validation set after the last epoch; no epoch is picked. By default new encoders learn
2,000 generated sentences offline, within a minute; no score of these is kept.

From a pretrained BERT of 6 layers (all-MiniLM-L6-v2), three seeds of 3 epochs each, bfloat16,
PyTorch on one core of an AMD EPYC; in brackets giBERT with an inhibition of 0.3:

* `cola`: a Matthews correlation of 27.5 ± 3.4 (26.5 ± 0.5), 4.4 (6.0) minutes a run,
* `stsb`: a Pearson correlation of 86.5 ± 0.7 (86.3 ± 0.5), 13 (18) minutes,
* `rte`: an accuracy of 57.2 ± 2.0 (56.8 ± 1.9), 5.5 (6.8) minutes,
* `mrpc`: an F1 of 86.2 ± 1.4 (85.7 ± 0.8), 5.9 (7.5) minutes.

The learning rates of these, and all other results, are in `studies/gates`.

`gimlp_TASK` are the set-ups of giDeBERTaV3-large in "giMLPs" (arXiv:2208.00929): 10 epochs; batch
size, learning rate and schedule are those in the authors' logs. They report CoLA 76.5, SST-2 96.9,
MRPC 93.1, STS-B 93.2, QQP 93.2, MNLI 91.1 / 91.1, QNLI 96.0, RTE 92.1; in the same table
DeBERTaV3-large is ahead on MNLI and RTE. Not reproduced yet. Their maximum of the inhibition is
taken over the batch (`--scope batch`).

`gmlp_sst2` and `gmlp_mnli` are the set-ups of gMLP in "Pay Attention to MLPs" (arXiv:2105.08050,
Appendix A), for an encoder of `recipes.mlm_pretraining`: gMLP-base reaches 94.2 and 83.7 / 84.1.
Not reproduced yet.
"""

import dataclasses

from recipes.program import command_line
from recipes.text import fine_tuning_options as options

PROGRAM = "python -m recipes.glue"
GLUE = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")


@dataclasses.dataclass(frozen=True)
class Config(options.FineTuning):
    """The options of this recipe, after the options of all fine-tuning recipes."""

    # cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli (TensorFlow Datasets), generated or
    # generated_pairs.
    task: str = "generated"
    # Splits to test on, or slices of them such as validation[:50%]. None: the labeled ones of the
    # task.
    test_split: tuple[str, ...] | None = None


BASE = Config(**options.PRETRAINED)
GIMLP = dataclasses.replace(BASE, **options.GIMLP, inhibition=(0.1, 0.3, 0.9))
GMLP = dataclasses.replace(BASE, **options.GMLP)
CONFIGURATIONS = command_line.named(
    {
        "generated": Config(epochs=5),
        "generated_pairs": Config(task="generated_pairs"),
        **{task: dataclasses.replace(BASE, task=task) for task in GLUE},
        **{f"gimlp_{task}": dataclasses.replace(GIMLP, task=task) for task in GLUE},
        **{f"gmlp_{task}": dataclasses.replace(GMLP, task=task) for task in ("sst2", "mnli")},
    }
)


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    from recipes.text import glue_tasks
    from recipes.text.study import Study
    from recipes.training import devices

    devices.prepare_training(config)
    data = glue_tasks.load(config)
    study = Study("glue", config)
    for job in study.missing():
        train(job, data)
    study.print_table()


def train(job, data, watch=None):
    """Trains and scores one encoder: one setting with one seed.

    `watch` goes from the inputs of the first test batch to callbacks of the training.
    """
    import numpy as np

    from keras_gimlp import applications
    from recipes.text import encoders, fine_tuning

    config = job.config
    encoder = encoders.load(config, job.setting, data.training_texts())
    preprocessor = encoder.preprocessor(config.sequence_length)
    if data.task.classes:
        task = encoder.kind.classifier(
            backbone=encoder.backbone, num_classes=data.task.classes, preprocessor=None
        )
    else:
        task = applications.TextRegressor(encoder.backbone)
    task.compile(
        optimizer=fine_tuning.optimizer(task, config, data.size), jit_compile=config.compilation
    )

    def tokenize(examples):
        return examples.batch(config.batch_size).map(lambda *x: preprocessor(*x)[0])

    tests = {split: tokenize(examples) for split, examples in data.tests.items()}

    def outputs(task):
        return {split: np.stack([*fine_tuning.predict(task, x)]) for split, x in tests.items()}

    def score(task):
        return data.score(outputs(task))

    texts = data.train.map(lambda texts, label: texts)
    fine_tuning.report_truncated(encoder, texts, config.sequence_length)
    watching = [] if watch is None else watch(next(iter(next(iter(tests.values())))))
    with fine_tuning.run(job, task, encoder, data.size) as fit:
        fit(data.train, score, watching, prepare=preprocessor)
        job.keep_predictions(data.predictions(outputs(task)))
        task.preprocessor = preprocessor  # the preset takes texts


if __name__ == "__main__":
    command_line.run(main)
