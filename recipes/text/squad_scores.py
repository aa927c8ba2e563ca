"""Exact match and F1 of answers, as the official scripts of SQuAD v1.1 and v2.0 count them."""

import collections
import re
import string

import numpy as np

ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalize(answer):
    """Returns an answer in lower case, without punctuation, articles and spare whitespace."""
    text = "".join(c for c in answer.lower() if c not in string.punctuation)
    return " ".join(ARTICLES.sub(" ", text).split())


def exact(answer, truth):
    return float(normalize(answer) == normalize(truth))


def f1(answer, truth):
    """Returns the harmonic mean of precision and recall of the words."""
    words, true_words = normalize(answer).split(), normalize(truth).split()
    if not words or not true_words:
        return float(words == true_words)
    common = sum((collections.Counter(words) & collections.Counter(true_words)).values())
    return 2 * common / (len(words) + len(true_words))


def best(score, answer, truths):
    """Returns the best score against any true answer; if there is none, `""` is true."""
    # Answers of only articles or punctuation do not count, unless there is no other.
    truths = [truth for truth in truths if normalize(truth)] or [""]
    return max(score(answer, truth) for truth in truths)


def best_threshold(scores, unanswered_scores, differences):
    """Returns the best mean score over all thresholds below which questions are answered.

    It is the first of a tuple with its threshold. `scores` and `unanswered_scores` are the scores
    of each question if it is answered, and if not. A question is answered where its difference, the
    score of no answer minus that of its answer, is at most the threshold.
    """
    order = np.argsort(differences, kind="stable")
    gains = np.array(scores)[order] - np.array(unanswered_scores)[order]
    sums = np.sum(unanswered_scores) + np.concatenate([[0], np.cumsum(gains)])
    thresholds = np.concatenate([[-np.inf], np.array(differences)[order]])
    # Of questions with equal differences, all are answered or none.
    possible = np.append(thresholds[:-1] != thresholds[1:], True)
    winner = np.argmax(np.where(possible, sums, -np.inf))
    return float(sums[winner] / len(scores)), float(thresholds[winner])


def score(questions, best_answers, null_threshold):
    """Returns the scores of the answers of `spans.best_answers`, and the answers by questions' ids.

    No answer is given where the difference of scores is above `null_threshold`.
    """
    may_be_none = any(not x.answers for x in questions)
    differences = [nothing - score for _, score, nothing in best_answers]
    answers = {
        x.id: "" if may_be_none and difference > null_threshold else answer
        for x, (answer, *_), difference in zip(questions, best_answers, differences, strict=True)
    }

    def compare(metric, given):
        truths = ([text for text, _ in x.answers] for x in questions)
        return [best(metric, *pair) for pair in zip(given, truths, strict=True)]

    result = {
        "em": float(np.mean(compare(exact, answers.values()))),
        "f1": float(np.mean(compare(f1, answers.values()))),
    }
    if may_be_none:
        answered = compare(f1, [answer for answer, *_ in best_answers])
        nothing = compare(f1, [""] * len(questions))
        result["best_f1"], _ = best_threshold(answered, nothing, differences)
    return result, answers
