"""Fine-tunes encoders to find answers in texts, with the gate with inhibition and without.

    python -m recipes.squad                                                generated questions
    python -m recipes.squad --config v1 --weights PRESET --data_dir DIR --seeds 5
    python -m recipes.squad --config v2 --weights PRESET --data_dir DIR

SQuAD v1.1 and v2.0 come from TensorFlow Datasets. A text longer than the model is read in windows
that overlap. An answer is a piece of the original text, character by character. Exact match (EM)
and F1 are counted as by the official script, over all test questions after the last epoch; the
answers stand in `predictions.json`, which that script reads too. In v2.0 a question is left
unanswered where the score of no answer exceeds that of the best answer by more than
`--null_threshold`; `best_f1` is the F1 at the threshold that is best on the same questions, as the
official script reports it.

`gimlp_v1` and `gimlp_v2` are the set-ups of giDeBERTaV3-large in "giMLPs" (arXiv:2208.00929): 10
epochs; batch, learning rate and schedule are those in the authors' logs of other tasks. They report
an F1 / EM of 95.8 / 89.5 and 91.6 / 89.0. `gmlp_v1` and `gmlp_v2` are those of gMLP in "Pay
Attention to MLPs" (arXiv:2105.08050, Appendix A), for an encoder of `recipes.mlm_pretraining`:
gMLP-base reaches an F1 of 86.7 and 70.1 there. None is reproduced yet. Results of our own are in
`recipes/README.md`.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_gimlp import applications
from recipes.common import command_line, runs, streams
from recipes.text import fine_tuning, spans, squad_scores, synthetic

PROGRAM = "python -m recipes.squad"


@dataclasses.dataclass(frozen=True)
class Config(fine_tuning.FineTuning):
    """The options of this recipe, before those of all language recipes."""

    # generated, generated_v2 (with questions that have no answer), v1.1 or v2.0 (TensorFlow
    # Datasets).
    data: str = "generated"
    # Split to train on.
    train_split: str = "train"
    # Split to test on.
    test_split: str = "validation"
    # Test instead on this fraction of the articles of the training split, which are left out of
    # the training. For machines that have one split alone.
    held_out: float = 0.0
    # Most questions to train on, drawn at random. None: all.
    train_questions: int | None = None
    # Most tokens of a question; what is longer is cut off.
    question_length: int = 64
    # Tokens by which a window begins after the one before.
    stride: int = 128
    # Most tokens of an answer.
    answer_length: int = 30
    # Difference of scores above which no answer is given (v2.0).
    null_threshold: float = 0.0


GENERATED = Config(epochs=5, sequence_length=48, question_length=16, stride=16)
BASE = Config(**fine_tuning.PRETRAINED | {"sequence_length": 384, "epochs": 2})
GIMLP = dataclasses.replace(BASE, **fine_tuning.GIMLP)
# 8,000 steps, 1,000 of them warm-up.
GMLP = Config(
    **fine_tuning.PRETRAINED
    | fine_tuning.GMLP
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
    train, test = load(config)
    fine_tuning.study(
        "squad",
        config,
        fine_tuning.settings_of(config),
        [text for x in train for text in (x.context, x.question)],
        lambda encoder: prepare(encoder, config, train, test),
    )


def check(config):
    """Ends the program if the options do not fit together."""
    room = config.sequence_length - config.question_length - 4  # special tokens, at most 4
    if room < 1 or config.stride < 1:
        raise SystemExit(
            "--sequence_length must leave room for the text beside --question_length and 4 special "
            f"tokens, and --stride must be 1 or more. Received: {config.sequence_length}, "
            f"{config.question_length} and {config.stride}"
        )
    if config.stride > room:
        raise SystemExit(
            f"--stride must be at most {room}, the tokens of the shortest window, or those between "
            f"two windows would not be read. Received: {config.stride}"
        )
    if not 0 <= config.held_out < 1:
        raise SystemExit(f"--held_out must be in [0, 1). Received: {config.held_out}")


def load(config):
    """Returns the training and the test questions."""
    sources = ("generated", "generated_v2", "v1.1", "v2.0")
    kind = command_line.one_of(config.data, sources, "data set")
    if kind.startswith("generated"):
        unanswerable = 0.3 if kind == "generated_v2" else 0.0
        train, test = (
            [spans.Question(title="", **x) for x in synthetic.questions(n, seed, unanswerable)]
            for n, seed in ((1500, 0), (300, 1))
        )
    elif config.held_out:
        train, test = divided(squad(config, config.train_split), config.held_out)
    else:
        train, test = squad(config, config.train_split), squad(config, config.test_split)
    if config.train_questions is not None:
        order = np.random.default_rng(0).permutation(len(train))[: config.train_questions]
        train = [train[i] for i in order]
    return train, test


def squad(config, split):
    """Returns the questions of a split of SQuAD in TensorFlow Datasets."""
    import tensorflow_datasets as tfds

    builder = tfds.builder(f"squad/{config.data}", data_dir=config.data_dir)
    streams.prepare(builder)
    command_line.one_of(split, builder.info.splits, f"split of squad/{config.data}")

    def question(x):
        starts = x["answers"]["answer_start"]
        texts = [text.decode() for text in x["answers"]["text"]]
        if x.get("is_impossible", False):
            texts, starts = [], []
        return spans.Question(
            **{name: x[name].decode() for name in ("id", "title", "context", "question")},
            answers=tuple((text, int(a)) for text, a in zip(texts, starts, strict=True)),
        )

    return [question(x) for x in builder.as_dataset(split=split).as_numpy_iterator()]


def divided(questions, held_out):
    """Divides questions by article, the same in every run, so that no text is on both sides."""
    titles = sorted({x.title for x in questions})
    order = np.random.default_rng(0).permutation(len(titles))
    tested = {titles[i] for i in order[: max(round(held_out * len(titles)), 1)]}
    if len(tested) == len(titles):
        raise SystemExit(f"--held_out leaves none of the {len(titles)} articles to train on.")
    return (
        [x for x in questions if x.title not in tested],
        [x for x in questions if x.title in tested],
    )


def prepare(encoder, config, train, test):
    """Returns the task for one encoder; see `fine_tuning.Prepared`."""
    sizes = {
        name: getattr(config, name) for name in ("sequence_length", "question_length", "stride")
    }
    train_windows, test_windows = (spans.windows(encoder, x, **sizes) for x in (train, test))
    labels = spans.labels(train_windows, train)
    batches = tf.data.Dataset.from_tensor_slices(test_windows.x).batch(config.batch_size)
    answers = {}

    def score(model):
        outputs = (row for rows in fine_tuning.predictions(model, batches) for row in rows)
        found = spans.best_answers(test_windows, test, outputs, config.answer_length)
        scores = compare(test, found, config.null_threshold)
        answers.clear()
        answers.update(scores.pop("answers"))
        return scores

    def write(model, folder):
        if not answers:  # the last epoch was tested before this start of the run
            score(model)
        runs.write_json(folder / "predictions.json", answers)

    notes = [f"{len(train_windows):,} windows of {len(train):,} questions."]
    if train_windows.shortened:
        notes.append(
            f"{train_windows.shortened:,} training questions are longer than --question_length "
            f"{config.question_length} tokens and were cut off."
        )
    return fine_tuning.Prepared(
        task=applications.SpanExtractor(encoder.backbone),
        examples=tf.data.Dataset.from_tensor_slices((train_windows.x, labels)),
        size=len(labels),
        batch=lambda x, y: (x, y),
        score=score,
        notes=tuple(notes),
        write=write,
    )


def compare(questions, found, null_threshold):
    """Returns the scores of the answers that were found, and the answers by the questions' ids.

    Args:
        questions: List of `spans.Question`s.
        found: Their answers; see `spans.best_answers`.
        null_threshold: Float, difference of scores above which no answer is given.
    """
    may_be_none = any(not x.answers for x in questions)
    differences = [nothing - score for _, score, nothing in found]
    answers = {
        x.id: "" if may_be_none and difference > null_threshold else answer
        for x, (answer, *_), difference in zip(questions, found, differences, strict=True)
    }

    def scores(score, given):
        truths = ([text for text, _ in x.answers] for x in questions)
        return [squad_scores.best(score, *pair) for pair in zip(given, truths, strict=True)]

    result = {
        "em": float(np.mean(scores(squad_scores.exact, answers.values()))),
        "f1": float(np.mean(scores(squad_scores.f1, answers.values()))),
        "answers": answers,
    }
    if may_be_none:
        answered = scores(squad_scores.f1, [answer for answer, *_ in found])
        nothing = scores(squad_scores.f1, [""] * len(found))
        result["best_f1"], _ = squad_scores.best_threshold(answered, nothing, differences)
    return result


if __name__ == "__main__":
    main()
