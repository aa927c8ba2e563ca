"""Exact match and F1 of answers, as the official scripts of SQuAD v1.1 and v2.0 count them."""

import collections
import re
import string

import numpy as np

ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalized(answer):
    """Returns an answer in lower case, without punctuation, articles and spare whitespace."""
    text = "".join(c for c in answer.lower() if c not in string.punctuation)
    return " ".join(ARTICLES.sub(" ", text).split())


def exact(answer, truth):
    return float(normalized(answer) == normalized(truth))


def f1(answer, truth):
    """Returns the harmonic mean of precision and recall of the words."""
    words, true_words = normalized(answer).split(), normalized(truth).split()
    if not words or not true_words:
        return float(words == true_words)
    common = sum((collections.Counter(words) & collections.Counter(true_words)).values())
    return 2 * common / (len(words) + len(true_words))


def best(score, answer, truths):
    """Returns the score against the nearest of the true answers; without any, `""` is true."""
    # Answers of articles or punctuation alone are none, unless there is no other.
    truths = [truth for truth in truths if normalized(truth)] or [""]
    return max(score(answer, truth) for truth in truths)


def best_threshold(scores, unanswered_scores, differences):
    """Returns the best mean score over all thresholds below which questions are answered.

    Args:
        scores: Score of each question if it is answered.
        unanswered_scores: Score of each question if it is not.
        differences: For each question, the score of no answer minus that of its answer. It is
            answered where this is at most the threshold.

    Returns:
        A tuple: the mean score, and the threshold.
    """
    order = np.argsort(differences, kind="stable")
    gains = np.array(scores)[order] - np.array(unanswered_scores)[order]
    sums = np.sum(unanswered_scores) + np.concatenate([[0], np.cumsum(gains)])
    thresholds = np.concatenate([[-np.inf], np.array(differences)[order]])
    # Of questions with equal differences, all are answered or none.
    possible = np.append(thresholds[:-1] != thresholds[1:], True)
    winner = np.argmax(np.where(possible, sums, -np.inf))
    return float(sums[winner] / len(scores)), float(thresholds[winner])
