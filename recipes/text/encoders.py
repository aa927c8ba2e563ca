"""The encoders of the language recipes, plain and gated, with their tokenizers."""

import dataclasses
import io
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

from keras_gimlp import applications
from keras_gimlp.applications.text.pretrained import load_encoder, load_tokenizer
from recipes import missing

try:
    import keras_hub
    import sentencepiece
    import tokenizers
except ModuleNotFoundError as error:
    raise missing(error) from None

# Here and not where they are used: from then on KerasHub knows our presets.
from keras_gimlp.applications import gMLP_MLM, gMLPTokenizer

# KerasHub's names of the architectures.
PLAIN = {"BERT": "Bert", "RoBERTa": "Roberta", "DeBERTaV3": "DebertaV3"}
GATED = tuple(f"gi{name}" for name in PLAIN)
GMLPS = ("gMLP", "aMLP")
MODELS = (*PLAIN, *GATED, *GMLPS)


@dataclasses.dataclass(frozen=True)
class TextEncoder:
    """An encoder and what KerasHub has for its architecture."""

    model: str
    backbone: Any
    tokenizer: Any

    def kind(self, what):
        """Returns the class for this encoder: `"TextClassifier"`, `"Tokenizer"`, ..."""
        return kind(self.model, what)


def load(config, model, inhibition, activation, texts):
    """Returns the encoder that the configuration asks for, with its tokenizer.

    Args:
        config: A `fine_tuning.FineTuning`.
        model: One of `MODELS`.
        inhibition: Float, inhibition of a gated encoder.
        activation: Name of the activation in the gates.
        texts: Texts of the task, which give a new encoder its vocabulary.
    """
    gates = {}
    if is_gated(model):
        gates = {
            "inhibition": inhibition,
            "activation": activation,
            "gated_layers": config.gated_layers,
            "scope": config.scope,
            "rank": config.rank,
            "trainable": "gates" if config.train == "gates" else True,
        }
    elif config.train == "gates":
        raise SystemExit(f"--train gates needs a gated encoder. Received: --model {model}")
    try:
        if model in GMLPS:
            tokenizer, backbone = load_gmlp(config, model, texts)
        elif config.weights is None:
            tokenizer = new_tokenizer(model, texts, config.vocabulary_size)
            backbone = kind(model, "Backbone")(
                vocabulary_size=tokenizer.vocabulary_size(),
                num_layers=config.num_layers,
                num_heads=config.num_heads,
                hidden_dim=config.hidden_dim,
                intermediate_dim=config.intermediate_dim,
                max_sequence_length=config.sequence_length,
                **gates,
            )
        else:
            tokenizer = load_tokenizer(config.weights, kind(model, "Tokenizer"))
            backbone = (
                kind(model, "Backbone").from_preset(config.weights, **gates)
                if gates
                else load_encoder(config.weights, kind(model, "Backbone"))
            )
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"{model} cannot be built: {error}") from error
    longest = getattr(backbone, "max_sequence_length", config.sequence_length)
    if config.sequence_length > longest:
        raise SystemExit(
            f"{model} of {config.weights} takes at most {longest} tokens. Received: "
            f"--sequence_length {config.sequence_length}"
        )
    fixed = backbone.input["token_ids"].shape[-1]
    if fixed not in (None, config.sequence_length):
        raise SystemExit(
            f"{model} of {config.weights} has dense spatial weights, for exactly {fixed} tokens. "
            f"Received: --sequence_length {config.sequence_length}"
        )
    return TextEncoder(model, backbone, tokenizer)


def load_gmlp(config, model, texts):
    """Returns the tokenizer and the encoder of gMLP or aMLP; see `load`."""
    if config.weights is None:
        tokenizer = new_tokenizer(model, texts, config.vocabulary_size)
        backbone = gMLP_MLM(
            vocabulary_size=tokenizer.vocabulary_size(),
            depth=config.num_layers,
            dim=config.hidden_dim,
            ffn_dim=config.intermediate_dim,
            sequence_length=config.sequence_length,
            attention_dim=config.attention_dim if model == "aMLP" else None,
            dropout=config.dropout,
        )
        return tokenizer, backbone
    tokenizer = load_tokenizer(config.weights, gMLPTokenizer)
    backbone = gMLP_MLM.from_preset(config.weights, dropout=config.dropout)
    found = "gMLP" if backbone.attention_dim is None else "aMLP"
    if found != model:
        raise ValueError(f"the preset {config.weights} is of {found}")
    return tokenizer, backbone


def is_gated(model):
    return model in GATED


def kind(model, what):
    """Returns our class or KerasHub's, such as its `"TextClassifier"`, for a model by name."""
    if model in GMLPS:
        return getattr(applications, "gMLP_MLM" if what == "Backbone" else f"gMLP{what}")
    if is_gated(model):
        return getattr(applications, model if what == "Backbone" else f"{model}{what}")
    return getattr(keras_hub.models, f"{PLAIN[model]}{what}")


def new_tokenizer(model, texts, vocabulary_size):
    """Returns a tokenizer of the model's kind, whose vocabulary comes from `texts`."""
    cls = kind(model, "Tokenizer")
    if model in GMLPS or model.endswith("DeBERTaV3"):
        return cls(proto=sentence_piece(texts, vocabulary_size))
    if model.endswith("RoBERTa"):
        trained = tokenizers.ByteLevelBPETokenizer()
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        trained.train_from_iterator(
            texts, vocab_size=vocabulary_size, special_tokens=special, show_progress=False
        )
        with tempfile.TemporaryDirectory() as folder:
            vocabulary, merges = trained.save_model(folder)
            return cls(vocabulary=vocabulary, merges=merges)
    vocabulary = keras_hub.tokenizers.compute_word_piece_vocabulary(
        tf.data.Dataset.from_tensor_slices(texts),
        vocabulary_size=vocabulary_size,
        lowercase=True,
        reserved_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    )
    return cls(vocabulary=vocabulary, lowercase=True)


def sentence_piece(texts, vocabulary_size):
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
    """Returns for every word its tokens, and where in the word each of them begins and ends.

    Words are told apart by the whitespace around them, as the tokenizers themselves do. Where the
    tokens spell another text than the word (several unknown parts, characters replaced by others),
    each of them stands for the whole word.

    Args:
        tokenizer: A KerasHub tokenizer.
        words: List of words without whitespace.

    Returns:
        Two lists with one entry a word: the ids, and as many pairs (begin, end) of characters.
    """
    distinct = sorted(set(words))
    if not distinct:
        return [], []
    # Byte-level pairs tell a word within a sentence by the space before it.
    spaced = isinstance(tokenizer, keras_hub.tokenizers.BytePairTokenizer)
    rows = tokenizer([f" {word}" if spaced else word for word in distinct])
    rows = rows if isinstance(rows, list) else rows.to_list()  # ragged with TensorFlow
    known = {
        word: (ids, places(tokenizer, word, ids)) for word, ids in zip(distinct, rows, strict=True)
    }
    return [known[word][0] for word in words], [known[word][1] for word in words]


def places(tokenizer, word, ids):
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


def save(task, tokenizer, folder):
    """Saves a task as a preset in a folder, with the tokenizer also if it has no preprocessor."""
    task.optimizer = None  # its state would be written too, which KerasHub does not read again
    task.save_to_preset(str(folder))
    if not (folder / "tokenizer.json").exists():
        tokenizer.save_to_preset(str(folder))


def pack(encoder, examples, sequence_length):
    """Returns the inputs of an encoder for examples of one or two segments of token ids.

    Args:
        encoder: A `TextEncoder`.
        examples: List of lists of segments, lists of ids, which fit with the special tokens.
        sequence_length: Integer, tokens of every row.

    Returns:
        Dictionary of integer arrays, `(examples, sequence_length)`.
    """
    tokenizer = encoder.tokenizer
    shape = (len(examples), sequence_length)
    x = {
        "token_ids": np.full(shape, tokenizer.pad_token_id, "int32"),
        "padding_mask": np.zeros(shape, "int32"),
        "segment_ids": np.zeros(shape, "int32"),
    }
    for i, (first, *others) in enumerate(examples):
        ids = [tokenizer.start_token_id, *first]
        for second in others:
            ids += separator(encoder)
            x["segment_ids"][i, len(ids) : len(ids) + len(second) + 1] = 1
            ids += second
        ids.append(tokenizer.end_token_id)
        x["token_ids"][i, : len(ids)] = ids
        x["padding_mask"][i, : len(ids)] = 1
    return {name: x[name] for name in encoder.backbone.input}


def separator(encoder):
    """Returns the tokens between two segments: one, but in RoBERTa two."""
    return [encoder.tokenizer.end_token_id] * (2 if encoder.model.endswith("RoBERTa") else 1)
