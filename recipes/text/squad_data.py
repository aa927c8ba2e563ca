"""Questions about texts: generated ones, and SQuAD."""

import dataclasses

import numpy as np

from recipes.program import command_line
from recipes.text import synthetic
from recipes.training import streams


@dataclasses.dataclass(frozen=True)
class Question:
    """A question about the text `context` of the article `title`.

    `answers` are pairs of a text and the character of `context` at which it begins; without any,
    the text does not answer the question.
    """

    id: str
    title: str
    context: str
    question: str
    answers: tuple[tuple[str, int], ...]


def load(config):
    """Returns the training and the test questions."""
    sources = ("generated", "generated_v2", "v1.1", "v2.0")
    kind = command_line.one_of(config.data, sources, "data set")
    if kind.startswith("generated"):
        unanswerable = 0.3 if kind == "generated_v2" else 0.0
        train, test = (
            [Question(title="", **x) for x in synthetic.questions(n, seed, unanswerable)]
            for n, seed in ((1500, 0), (300, 1))
        )
    elif config.held_out:
        train, test = divide(read_squad(config, config.train_split), config.held_out)
    else:
        train, test = read_squad(config, config.train_split), read_squad(config, config.test_split)
    if config.train_questions is not None:
        order = np.random.default_rng(0).permutation(len(train))[: config.train_questions]
        train = [train[i] for i in order]
    return train, test


def read_squad(config, split):
    """Returns the questions of a split of SQuAD in TensorFlow Datasets."""
    builder = streams.prepared(f"squad/{config.data}", config.data_dir)

    def question(x):
        starts = x["answers"]["answer_start"]
        texts = [text.decode() for text in x["answers"]["text"]]
        if x.get("is_impossible", False):
            texts, starts = [], []
        return Question(
            **{name: x[name].decode() for name in ("id", "title", "context", "question")},
            answers=tuple((text, int(a)) for text, a in zip(texts, starts, strict=True)),
        )

    return [question(x) for x in streams.split_of(builder, split).as_numpy_iterator()]


def divide(questions, held_out):
    """Divides questions by article, equally in every run, so that no text is on both sides."""
    titles = sorted({x.title for x in questions})
    order = np.random.default_rng(0).permutation(len(titles))
    tested = {titles[i] for i in order[: max(round(held_out * len(titles)), 1)]}
    if len(tested) == len(titles):
        raise SystemExit(f"--held_out leaves none of the {len(titles)} articles to train on.")
    return (
        [x for x in questions if x.title not in tested],
        [x for x in questions if x.title in tested],
    )
