"""Fine-tunes encoders to find answers in texts, with and without the gate with inhibition.

    python -m recipes.squad                                                generated questions
    python -m recipes.squad --config v1 --weights PRESET --data_dir DIR --seeds 5
    python -m recipes.squad --config v2 --weights PRESET --data_dir DIR

SQuAD v1.1 and v2.0 come from TensorFlow Datasets. A text that is longer than the model's input is
read in overlapping windows. An answer is a piece of the original text, character by character.
Exact match (EM) and F1 are counted as in the official script, over all test questions after the
last epoch; the answers are in `predictions.json`, which that script can read. In v2.0 a question is
left unanswered where the score of no answer exceeds the score of the best answer by more than
`--null_threshold`; `best_f1` is the F1 at the threshold that is best on the same questions, as the
official script reports it.

By default new encoders learn 1,500 generated questions offline; no score of these, and no run on
SQuAD, is kept.

`gimlp_v1` and `gimlp_v2` are the set-ups of giDeBERTaV3-large in "giMLPs" (arXiv:2208.00929): 10
epochs; batch size, learning rate and schedule are those in the authors' logs of other tasks. They
report an F1 / EM of 95.8 / 89.5 and 91.6 / 89.0. `gmlp_v1` and `gmlp_v2` are those of gMLP in "Pay
Attention to MLPs" (arXiv:2105.08050, Appendix A), for an encoder of `recipes.mlm_pretraining`:
gMLP-base reaches an F1 of 86.7 and 70.1 there. Not reproduced yet.
"""

import dataclasses

from recipes.program import command_line
from recipes.program.command_line import Count, Rate
from recipes.text import fine_tuning_options as options

PROGRAM = "python -m recipes.squad"


@dataclasses.dataclass(frozen=True)
class Config(options.FineTuning):
    """The options of this recipe, after the options of all fine-tuning recipes."""

    # generated, generated_v2 (some questions have no answer), v1.1 or v2.0 (TensorFlow Datasets).
    data: str = "generated"
    # Split to test on, or a slice of one such as validation[:50%].
    test_split: str = "validation"
    # Test instead on this fraction of the articles of the training split, which are left out of
    # the training. For machines that have only one split.
    held_out: Rate = 0.0
    # Maximum number of training questions, drawn at random. None: all.
    train_questions: Count | None = None
    # Maximum tokens of a question; the rest is cut off.
    question_length: Count = 64
    # Tokens between the beginnings of two consecutive windows.
    stride: Count = 128
    # Maximum tokens of an answer.
    answer_length: Count = 30
    # Score difference above which no answer is given (v2.0).
    null_threshold: float = 0.0


GENERATED = Config(epochs=5, sequence_length=48, question_length=16, stride=16)
BASE = Config(**options.PRETRAINED | {"sequence_length": 384, "epochs": 2})
GIMLP = dataclasses.replace(BASE, **options.GIMLP)
# 8,000 steps, 1,000 of them warm-up.
GMLP = Config(
    **options.PRETRAINED
    | options.GMLP
    | {"sequence_length": 512, "epochs": 8, "steps_per_epoch": 1000, "learning_rate": 5e-5},
    warmup_fraction=0.125,
)
CONFIGURATIONS = command_line.named(
    {
        "generated": GENERATED,
        "generated_v2": dataclasses.replace(GENERATED, data="generated_v2"),
        "v1": dataclasses.replace(BASE, data="v1.1"),
        "v2": dataclasses.replace(BASE, data="v2.0"),
        "gmlp_v1": dataclasses.replace(GMLP, data="v1.1"),
        "gmlp_v2": dataclasses.replace(GMLP, data="v2.0"),
        "gimlp_v1": dataclasses.replace(GIMLP, data="v1.1"),
        "gimlp_v2": dataclasses.replace(GIMLP, data="v2.0"),
    }
)


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    check(config)
    from recipes.text import squad_data
    from recipes.text.study import Study
    from recipes.training import devices

    devices.prepare_training(config)
    questions, test_questions = squad_data.load(config)
    study = Study("squad", config)
    for job in study.missing():
        train(job, questions, test_questions)
    study.print_table()


def check(config):
    """Ends the program if the options do not fit together."""
    room = config.sequence_length - config.question_length - 4  # special tokens, at most 4
    if room < 1:
        raise SystemExit(
            "--sequence_length must leave room for the text beside --question_length and 4 special "
            f"tokens. Received: {config.sequence_length} and {config.question_length}"
        )
    if config.stride > room:
        raise SystemExit(
            f"--stride must be at most {room}, the tokens of the shortest window, or those between "
            f"two windows would not be read. Received: {config.stride}"
        )


def train(job, questions, test_questions):
    """Trains and scores one encoder: one setting with one seed."""
    import tensorflow as tf

    from keras_gimlp import applications
    from recipes.program import files
    from recipes.text import encoders, fine_tuning, spans, squad_scores
    from recipes.training import distribution

    config = job.config
    texts = (text for x in questions for text in (x.context, x.question))
    encoder = encoders.load(config, job.setting, texts)
    task = applications.SpanExtractor(encoder.backbone)

    def read(questions):
        return spans.windows(
            encoder,
            questions,
            sequence_length=config.sequence_length,
            question_length=config.question_length,
            stride=config.stride,
        )

    windows, test_windows = read(questions), read(test_questions)
    size = len(windows)
    task.compile(
        optimizer=fine_tuning.optimizer(task, config, size), jit_compile=config.compilation
    )
    batches = tf.data.Dataset.from_tensor_slices(test_windows.x).batch(config.batch_size)

    answers = {}

    def score(task):
        outputs = fine_tuning.predict(task, batches)
        best = spans.best_answers(test_windows, test_questions, outputs, config.answer_length)
        scores, texts = squad_scores.score(test_questions, best, config.null_threshold)
        answers.update(texts)
        return scores

    print(f"{size:,} windows of {len(questions):,} questions.")
    if windows.shortened:
        print(
            f"{windows.shortened:,} training questions are longer than --question_length "
            f"{config.question_length} tokens and were cut off."
        )
    examples = (windows.x, spans.labels(windows, questions))
    with fine_tuning.run(job, task, encoder, size) as fit:
        fit(tf.data.Dataset.from_tensor_slices(examples), score)
        if not answers:  # the last epoch was scored before this start of the run
            score(task)
        if distribution.process() == 0:
            files.write_json(job.folder / "predictions.json", answers)


if __name__ == "__main__":
    command_line.run(main)
