"""Windows of tokens for questions about texts, and answers as pieces of the text."""

import dataclasses
import heapq
import re

import numpy as np

from recipes.text import tokenizers

CANDIDATES = 20  # the best first and last tokens of a window, from which answers are made


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows of the texts of questions, in the order of the questions.

    Attributes:
        x: The inputs of the model, arrays of `(windows, tokens)`.
        question: For every window, the number of its question.
        first: For every window, the place of its first token of the text.
        begin: For every window, the number of that token in the text.
        end: For every window, the number of the token after its last one.
        characters: For every question, where each token of the text begins and ends, `(tokens, 2)`.
        shortened: How many questions were too long.
    """

    x: dict
    question: np.ndarray
    first: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    characters: list
    shortened: int

    def __len__(self):
        return len(self.question)


def windows(encoder, questions, *, sequence_length, question_length, stride):
    """Returns the windows of all questions: each question followed by a part of its text.

    A window has `sequence_length` tokens in all, of which a question takes at most
    `question_length`; the rest is cut off. Consecutive windows begin `stride` tokens apart.
    """
    contexts = dict.fromkeys(x.context for x in questions)
    tokens = dict(zip(contexts, tokenized(encoder.tokenizer, contexts), strict=True))
    asked = tokenized(encoder.tokenizer, [x.question for x in questions])
    packer = encoder.packer(sequence_length)
    before = len(packer.start_value) + len(packer.sep_value)  # the question's, and those between
    room_for_both = sequence_length - before - len(packer.end_value)
    segments, places = ([], []), []
    for number, (x, (asked_ids, _)) in enumerate(zip(questions, asked, strict=True)):
        asked_ids = asked_ids[:question_length]
        ids, _ = tokens[x.context]
        room = room_for_both - len(asked_ids)
        for begin in range(0, max(len(ids), 1), stride):
            end = min(begin + room, len(ids))
            segments[0].append(asked_ids)
            segments[1].append(ids[begin:end])
            places.append((number, before + len(asked_ids), begin, end))
            if end == len(ids):
                break
    return Windows(
        encoder.pack(segments, sequence_length),
        *np.array(places, "int32").reshape(-1, 4).T,
        characters=[tokens[x.context][1] for x in questions],
        shortened=sum(len(ids) > question_length for ids, _ in asked),
    )


def tokenized(tokenizer, texts):
    """Returns for every text its token ids, and the place of each token in it."""
    words = [list(re.finditer(r"\S+", text)) for text in texts]
    flat = [match.group() for matches in words for match in matches]
    parts = iter(zip(*tokenizers.words_to_tokens(tokenizer, flat), strict=True))
    rows = []
    for matches in words:
        ids, characters = [], []
        for match in matches:
            tokens, places = next(parts)
            ids += tokens
            characters += [(match.start() + a, match.start() + b) for a, b in places]
        rows.append((ids, np.array(characters, "int32").reshape(-1, 2)))
    return rows


def labels(windows, questions):
    """Returns the places of the first and the last token of the answers, `(windows, 2)`.

    Of several answers the first counts. The places are 0, the token at the beginning, where the
    window does not contain the whole answer.
    """
    places = np.zeros((len(windows), 2), "int32")
    for i, number in enumerate(windows.question):
        if not questions[number].answers:
            continue
        text, start = questions[number].answers[0]
        begins, ends = windows.characters[number].T
        inside = np.flatnonzero((ends > start) & (begins < start + len(text)))
        begin, end = windows.begin[i], windows.end[i]
        if len(inside) and begin <= inside[0] and inside[-1] < end:
            places[i] = windows.first[i] - begin + inside[[0, -1]]
    return places


def best_answers(windows, questions, outputs, answer_length):
    """Returns for every question its best answer, its score, and the score of no answer.

    The score of an answer, of at most `answer_length` tokens, is the sum of the scores of its first
    and its last token; the score of no answer is the smallest sum of the token at the beginning.
    `outputs` are those for the windows, `(2, tokens)` each.
    """
    answers = [("", -np.inf, np.inf) for _ in questions]
    for i, output in enumerate(outputs):
        number = windows.question[i]
        best, score, nothing = answers[number]
        nothing = min(nothing, float(output[:, 0].sum()))
        first = windows.first[i]
        scores = output[:, first : first + windows.end[i] - windows.begin[i]].astype("float64")
        candidates = [
            heapq.nlargest(CANDIDATES, range(len(row)), row.__getitem__) for row in scores
        ]
        for a in candidates[0]:
            for b in candidates[1]:
                if a <= b < a + answer_length and scores[0, a] + scores[1, b] > score:
                    score = float(scores[0, a] + scores[1, b])
                    places = windows.characters[number][windows.begin[i] + np.array([a, b])]
                    best = questions[number].context[places[0, 0] : places[1, 1]]
        answers[number] = best, score, nothing
    return answers
