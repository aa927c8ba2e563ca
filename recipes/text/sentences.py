"""Sentences with and without masks, as a text model takes them."""

import numpy as np

MASK = "[MASK]"


def encode(tokenizer, text, names, length=None):
    """Returns the inputs `names` of a model for a text, `[CLS] text [SEP]`, in a batch of its own.

    `[MASK]` in the text is one token. The tokens are padded to `length`, `None` for none.
    """
    first, *others = text.split(MASK)
    ids = [tokenizer.start_token_id, *tokens(tokenizer, first)]
    for part in others:
        ids += [tokenizer.mask_token_id, *tokens(tokenizer, part, after_word=True)]
    ids = np.array([[*ids, tokenizer.end_token_id]], "int32")
    if length is not None:
        if ids.shape[1] > length:
            raise SystemExit(
                f"The text has {ids.shape[1]} tokens, the model takes {length}: {text!r}"
            )
        ids = np.pad(
            ids, [(0, 0), (0, length - ids.shape[1])], constant_values=tokenizer.pad_token_id
        )
    x = {
        "token_ids": ids,
        "padding_mask": (ids != tokenizer.pad_token_id).astype("int32"),
        "segment_ids": np.zeros_like(ids),
        "mask_positions": np.flatnonzero(ids[0] == tokenizer.mask_token_id)[None],
    }
    return {name: x[name] for name in names}


def tokens(tokenizer, text, after_word=False):
    """Returns the tokens of a part of a text, which may follow a word without a space."""

    def ids(text):
        return np.asarray(tokenizer(text.rstrip())).tolist()

    if after_word and not text[:1].isspace():
        return ids(f"a{text}")[len(ids("a")) :]
    return ids(text)


def name_of(tokenizer, number):
    """Returns a token without its mark of a word's beginning or middle."""
    return tokenizer.id_to_token(int(number)).removeprefix("##").lstrip("▁Ġ")
