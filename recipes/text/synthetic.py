"""Small synthetic data for the language recipes, so that each runs offline in under a minute.

Every task can be learned, but not guessed: a model that does not learn stays at chance level.
"""

import numpy as np

DETERMINERS = ("the", "a", "this", "every")
ADJECTIVES = ("old", "small", "quiet", "green", "heavy", "clever", "broken", "young")
NOUNS = ("fox", "teacher", "river", "garden", "ship", "child", "window", "dog", "song", "letter")
VERBS = ("sees", "follows", "opens", "forgets", "carries", "finds", "loves", "hears")
PEOPLE = ("Anna", "Boris", "Clara", "David", "Elena", "Felix", "Greta", "Henry", "Irene", "Jakob")
PLACES = ("Athens", "Bergen", "Cairo", "Dublin", "Essen", "Florence", "Geneva", "Hanoi", "Izmir")
COLORS = ("red", "blue", "white", "black", "yellow", "brown", "purple", "orange")


def sentence(rng):
    """Returns the words of a sentence that follows a small grammar."""

    def noun_phrase():
        return [rng.choice(DETERMINERS), rng.choice(ADJECTIVES), rng.choice(NOUNS)]

    return [str(word) for word in (*noun_phrase(), rng.choice(VERBS), *noun_phrase())]


def acceptability(count, seed):
    """Sentences, half of them with words in a wrong order (label 0), as in CoLA."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for i in range(count):
        words = sentence(rng)
        if i % 2 == 0:
            words[:4] = words[3], words[2], words[0], words[1]
        texts.append(" ".join(words) + " .")
        labels.append(i % 2)
    return texts, np.array(labels)


def similarity(count, seed):
    """Pairs of sentences, scored 0 to 5 by how many of the last three words agree, as in STS-B."""
    rng = np.random.default_rng(seed)
    first, second, scores = [], [], []
    for _ in range(count):
        words, others = sentence(rng), sentence(rng)
        equal = rng.random(3) < 0.5
        others[-3:] = np.where(equal, words[-3:], others[-3:])
        first.append(" ".join(words))
        second.append(" ".join(others))
        scores.append(5 / 3 * sum(a == b for a, b in zip(words[-3:], others[-3:], strict=True)))
    return first, second, np.array(scores, "float32")


def entities(count, seed):
    """Sentences with names of people and places: pairs of words and tags, as in CoNLL-2003."""
    rng = np.random.default_rng(seed)
    sentences = []
    for _ in range(count):
        words = sentence(rng)
        tags = ["O"] * len(words)
        for names, kind in ((PEOPLE, "PER"), (PLACES, "LOC")):
            if rng.random() < 0.7:
                name = [str(word) for word in rng.choice(names, rng.integers(1, 3))]
                place = rng.choice([i for i, tag in enumerate([*tags, "O"]) if tag[0] != "I"])
                words[place:place] = name
                tags[place:place] = [f"B-{kind}", *[f"I-{kind}"] * (len(name) - 1)]
        sentences.append((words, tags))
    return sentences


def continuations(count, seed):
    """Beginnings of sentences, four continuations, one of them grammatical, and its number.

    As in SWAG.
    """
    rng = np.random.default_rng(seed)
    examples = []
    for _ in range(count):
        words = sentence(rng)
        right = int(rng.integers(4))
        ends = []
        for i in range(4):
            a, b, c = sentence(rng)[-3:]
            ends.append(" ".join((a, b, c) if i == right else ((b, a, c), (a, c, b))[i % 2]))
        examples.append((" ".join(words[:4]), ends, right))
    return examples


def questions(count, seed, unanswerable=0.0):
    """Questions about short texts on people, places and colors, as in SQuAD.

    Dictionaries with `id`, `context`, `question` and `answers`: pairs of a text and the character
    at which it begins, none for a fraction `unanswerable` of the questions.
    """
    rng = np.random.default_rng(seed)
    kinds = {
        "Who lives alone?": (PEOPLE, "{} lives alone ."),
        "Where is the house?": (PLACES, "The house is in {} ."),
        "What color is the door?": (COLORS, "The door is {} ."),
    }
    examples = []
    for i in range(count):
        names = {question: str(rng.choice(some)) for question, (some, _) in kinds.items()}
        asked = str(rng.choice(list(kinds)))
        missing = rng.random() < unanswerable
        told = [
            form.format(names[question])
            for question, (_, form) in kinds.items()
            if not (missing and question == asked)
        ]
        context = " ".join(told[n] for n in rng.permutation(len(told)))
        answers = [] if missing else [(names[asked], context.index(names[asked]))]
        examples.append({"id": str(i), "context": context, "question": asked, "answers": answers})
    return examples
