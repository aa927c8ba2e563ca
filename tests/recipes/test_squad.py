"""SQuAD: windows, answers as pieces of the text, scores as the official script counts them."""

import itertools

import numpy as np
import pytest

from recipes.text import encoders, spans, squad_data, squad_scores, synthetic
from tests.applications.text.test_tasks import SIZES
from tests.conftest import once

pytestmark = once

CONTEXT = "Jānis (born 1951, in Rīga) won  the U.S. Open\nin 1979.  He didn't play it again."


@pytest.fixture(scope="module", params=["BERT", "RoBERTa", "DeBERTaV3"])
def encoder(request):
    texts = [x["context"] for x in synthetic.questions(200, seed=0)]
    texts += [CONTEXT, "Who won the U.S. Open?"]
    tokenizer = encoders.KINDS[request.param].new_tokenizer(texts, 120)
    sizes = SIZES | {"vocabulary_size": tokenizer.vocabulary_size()}
    backbone = encoders.KINDS[request.param].backbone(**sizes)
    return encoders.TextEncoder(request.param, backbone, tokenizer)


def question(context, answer, number=0, title="title"):
    answers = () if answer is None else ((answer, context.index(answer)),)
    return squad_data.Question(str(number), title, context, "Who won the U.S. Open?", answers)


def certain(windows, labels):
    """Outputs of a model that is certain of the labels, and of no answer where they are 0."""
    outputs = np.zeros((len(windows), 2, windows.x["token_ids"].shape[1]), "float32")
    np.put_along_axis(outputs, labels[..., None], 5.0, axis=-1)
    return outputs


@pytest.mark.parametrize("sequence_length", [40, 100])
def test_windows_hold_all_of_the_text_and_every_answer_comes_back(encoder, sequence_length):
    answers = ["Jānis", "1951", "Rīga", "U.S. Open", "didn't", "again"]
    questions = [question(CONTEXT, answer, i) for i, answer in enumerate(answers)]
    windows = spans.windows(
        encoder, questions, sequence_length=sequence_length, question_length=14, stride=8
    )
    tokens = len(windows.characters[0])
    for number in range(len(questions)):
        mine = windows.question == number
        ranges = zip(windows.begin[mine], windows.end[mine], strict=True)
        assert set(itertools.chain(*(range(*r) for r in ranges))) == set(range(tokens))
    labels = spans.labels(windows, questions)
    found = spans.best_answers(windows, questions, certain(windows, labels), answer_length=40)
    for answer, (text, score, _) in zip(answers, found, strict=True):
        assert score == 10
        # A word of unknown characters has one place in the text: the whole of it.
        assert answer in text
        assert len(text) <= len(answer) + len("(,.")


def test_a_window_is_what_the_encoders_preprocessor_makes_of_a_pair(encoder):
    questions = [question(CONTEXT, "1951")]
    windows = spans.windows(
        encoder, questions, sequence_length=100, question_length=100, stride=100
    )
    preprocessor = encoder.kind.preprocessor(encoder.tokenizer, sequence_length=100)
    # A text begins without the space that tells words apart within it.
    space = " " if encoder.model == "RoBERTa" else ""
    pair = ([space + questions[0].question], [space + " ".join(CONTEXT.split())])
    expected, _ = preprocessor(pair, [0])
    for name, value in windows.x.items():
        np.testing.assert_array_equal(value, np.asarray(expected[name]))


def test_questions_that_are_too_long_are_cut_off_and_counted(encoder):
    questions = [question(CONTEXT, "1951")]
    windows = spans.windows(encoder, questions, sequence_length=100, question_length=2, stride=50)
    assert windows.shortened == 1
    assert windows.first[0] == 2 + 1 + len(encoder.packer(100).sep_value)


def test_an_answer_that_a_window_does_not_hold_is_labelled_with_the_first_token(encoder):
    questions = [question(CONTEXT, "again"), question(CONTEXT, None, 1)]
    windows = spans.windows(encoder, questions, sequence_length=40, question_length=14, stride=8)
    labels = spans.labels(windows, questions)
    last = (windows.question == 0) & (windows.end == len(windows.characters[0]))
    assert (labels[last] > 0).all()
    assert (labels[windows.question == 1] == 0).all()


def test_the_best_answer_is_the_best_span_of_all(encoder):
    rng = np.random.default_rng(0)
    questions = [question(CONTEXT, "1951")]
    windows = spans.windows(encoder, questions, sequence_length=40, question_length=14, stride=8)
    outputs = rng.normal(size=(len(windows), 2, 40)).astype("float32")
    ((text, score, nothing),) = spans.best_answers(windows, questions, outputs, answer_length=5)
    best = max(
        (outputs[w, 0, first + a] + outputs[w, 1, first + b], begin + a, begin + b)
        for w, (first, begin, end) in enumerate(
            zip(windows.first, windows.begin, windows.end, strict=True)
        )
        for a in range(end - begin)
        for b in range(a, min(a + 5, end - begin))
    )
    characters = windows.characters[0]
    assert score == pytest.approx(best[0], rel=1e-5)
    assert text == CONTEXT[characters[best[1], 0] : characters[best[2], 1]]
    assert nothing == pytest.approx(outputs[:, :, 0].sum(1).min(), rel=1e-5)


@pytest.mark.parametrize(
    ("answer", "truths", "exact", "f1"),
    [
        ("The  Denver Broncos!", ["Denver Broncos"], 1, 1),
        ("an apple", ["Apple pie", "apple"], 1, 1),
        ("in the year 1066", ["1066"], 0, 2 * (1 / 3) * 1 / (1 / 3 + 1)),
        ("a b b", ["b b c"], 0, 2 * (2 / 2) * (2 / 3) / (2 / 2 + 2 / 3)),
        ("Paris", ["London"], 0, 0),
        ("", [], 1, 1),
        ("London", [], 0, 0),
        ("", ["London"], 0, 0),
        ("the", ["a"], 1, 1),
    ],
)
def test_scores_are_those_of_the_official_script(answer, truths, exact, f1):
    assert squad_scores.best(squad_scores.exact, answer, truths) == exact
    assert squad_scores.best(squad_scores.f1, answer, truths) == pytest.approx(f1)


def test_best_threshold_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, nothing = rng.random(9), rng.integers(0, 2, 9).astype(float)
        differences = rng.integers(-3, 4, 9).astype(float)  # with equal ones among them
        every = [
            np.where(differences <= threshold, scores, nothing).mean()
            for threshold in (-np.inf, *differences)
        ]
        best, threshold = squad_scores.best_threshold(scores, nothing, differences)
        assert best == pytest.approx(max(every))
        assert np.where(differences <= threshold, scores, nothing).mean() == pytest.approx(best)


def test_no_answer_is_given_where_its_score_exceeds_by_the_threshold():
    questions = [question(CONTEXT, "1951"), question(CONTEXT, None, 1)]
    found = [("1951", 3.0, 1.0), ("again", 3.0, 4.0)]
    assert squad_scores.score(questions, found, 0.0)[1] == {"0": "1951", "1": ""}
    assert squad_scores.score(questions, found, 1.0)[1] == {"0": "1951", "1": "again"}
    assert squad_scores.score(questions, found, -3.0)[1] == {"0": "", "1": ""}
    scores, _ = squad_scores.score(questions, found, -3.0)
    assert (scores["em"], scores["f1"], scores["best_f1"]) == (0.5, 0.5, 1.0)
    # Where every question has an answer, one is always given.
    assert squad_scores.score(questions[:1], found[:1], -9.0)[1] == {"0": "1951"}


def test_articles_are_held_out_whole():
    questions = [question(CONTEXT, "1951", i, title=f"title {i % 7}") for i in range(50)]
    train, test = squad_data.divide(questions, 0.3)
    assert len(train) + len(test) == 50
    assert len({x.title for x in test}) == 2
    assert not {x.title for x in train} & {x.title for x in test}
    with pytest.raises(SystemExit, match="leaves none of the 7 articles"):
        squad_data.divide(questions, 0.99)
