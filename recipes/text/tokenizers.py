"""New vocabularies, and the places of tokens in words."""

import functools
import io
import json
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

from recipes import language

with language():
    import keras_hub
    import sentencepiece
    import tokenizers


# Each of these returns arguments of a tokenizer. All runs of a study have the same texts.
@functools.lru_cache(maxsize=1)
def word_pieces(texts, vocabulary_size):
    vocabulary = keras_hub.tokenizers.compute_word_piece_vocabulary(
        tf.data.Dataset.from_tensor_slices(list(texts)),
        vocabulary_size=vocabulary_size,
        lowercase=True,
        reserved_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    )
    return {"vocabulary": vocabulary, "lowercase": True}


@functools.lru_cache(maxsize=1)
def byte_pairs(texts, vocabulary_size):
    trained = tokenizers.ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(
        texts, vocab_size=vocabulary_size, special_tokens=special, show_progress=False
    )
    with tempfile.TemporaryDirectory() as folder:
        vocabulary, merges = map(pathlib.Path, trained.save_model(folder))
        lines = merges.read_text("utf-8").splitlines()
        return {"vocabulary": json.loads(vocabulary.read_text("utf-8")), "merges": lines}


@functools.lru_cache(maxsize=1)
def sentence_pieces(texts, vocabulary_size):
    return {"proto": sentence_piece_model(texts, vocabulary_size)}


def sentence_piece_model(texts, vocabulary_size):
    """Returns a serialized SentencePiece model with the special tokens of DeBERTaV3 and gMLP."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=vocabulary_size,
        hard_vocab_limit=False,  # a small text has fewer pieces
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        pad_piece="[PAD]",
        bos_piece="[CLS]",
        eos_piece="[SEP]",
        unk_piece="[UNK]",
        control_symbols="[MASK]",
        minloglevel=2,
    )
    return model.getvalue()


def words_to_tokens(tokenizer, words):
    """Returns for every word its tokens, and for these the characters where each begins and ends.

    Words are separated by whitespace, as in the tokenizers themselves. Where the tokens do not
    spell the word (several unknown parts, replaced characters), each stands for the whole word.
    """
    distinct = sorted(set(words))
    if not distinct:
        return [], []
    # Byte-pair encoding marks a word within a sentence by the space before it.
    spaced = isinstance(tokenizer, keras_hub.tokenizers.BytePairTokenizer)
    rows = tokenizer([f" {word}" if spaced else word for word in distinct])
    rows = rows if isinstance(rows, list) else rows.to_list()  # ragged with TensorFlow
    by_word = {
        word: (ids, find_places(tokenizer, word, ids))
        for word, ids in zip(distinct, rows, strict=True)
    }
    return [by_word[word][0] for word in words], [by_word[word][1] for word in words]


def find_places(tokenizer, word, ids):
    """Returns where in a word each of its tokens begins and ends."""
    # Without the marks of the tokenizers for the beginning of a word or its middle.
    tokens = [tokenizer.id_to_token(i).removeprefix("##").lstrip("▁Ġ") for i in ids]
    lengths = [len(token) for token in tokens]
    unknown = [n for n, token in enumerate(tokens) if token in ("[UNK]", "<unk>")]
    if len(unknown) == 1:
        lengths[unknown[0]] = 0
        lengths[unknown[0]] = len(word) - sum(lengths)
    if sum(lengths) != len(word) or min(lengths, default=0) < 0:
        return [(0, len(word))] * len(ids)
    ends = np.cumsum(lengths).tolist()
    return [(end - length, end) for end, length in zip(ends, lengths, strict=True)]
