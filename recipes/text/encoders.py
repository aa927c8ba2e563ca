"""The encoders of the language recipes, plain and gated, with their tokenizers."""

import dataclasses
import functools
import io
import json
import pathlib
import tempfile
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes import missing

try:
    import keras_hub
    import sentencepiece
    import tokenizers
except ModuleNotFoundError as error:
    raise missing(error) from None

# Here and not where they are used: from here on KerasHub knows our presets.
from keras_gimlp import applications, rematerialize
from keras_gimlp.applications.text.hub_task import forget_mixed_precision
from keras_gimlp.applications.text.pretrained import load_encoder, load_tokenizer
from keras_gimlp.layers import GateWithInhibition
from recipes.program import layers_within
from recipes.text import transformer

# KerasHub's names of the architectures.
PLAIN = {"BERT": "Bert", "RoBERTa": "Roberta", "DeBERTaV3": "DebertaV3"}
GATED = tuple(f"gi{name}" for name in PLAIN)
GMLPS = ("gMLP", "aMLP")
OURS = (*GMLPS, "AFT", "Transformer")  # built alike
MODELS = (*PLAIN, *GATED, *OURS)


@dataclasses.dataclass(frozen=True)
class TextEncoder:
    """An encoder and what KerasHub has for its architecture."""

    model: str
    backbone: Any
    tokenizer: Any

    def kind(self, what):
        """Returns the class for this encoder: `"TextClassifier"`, `"Tokenizer"`, ..."""
        return kind(self.model, what)

    def preprocessor(self, sequence_length):
        """Returns the layer from texts, or pairs of them, to the inputs of the encoder."""
        cls = self.kind("TextClassifierPreprocessor")
        return cls(self.tokenizer, sequence_length=sequence_length)

    def packer(self, sequence_length):
        """Returns KerasHub's packer for this encoder, as its preprocessor builds it."""
        preprocessor = self.preprocessor(sequence_length)
        preprocessor.build(None)
        return preprocessor.packer

    def pack(self, segments, sequence_length):
        """Returns the inputs of the encoder for examples of one or several segments.

        Args:
            segments: Tuple of lists, for each segment the token ids of every example.
            sequence_length: Integer, tokens of every row, in which they fit.

        Returns:
            Dictionary of integer arrays, `(examples, sequence_length)`.
        """
        token_ids, segment_ids = self.packer(sequence_length)(segments)
        token_ids = np.asarray(token_ids, "int32")
        x = {
            "token_ids": token_ids,
            "padding_mask": (token_ids != self.tokenizer.pad_token_id).astype("int32"),
            "segment_ids": np.asarray(segment_ids, "int32"),
        }
        return {name: x[name] for name in self.backbone.input}


def load(config, setting, texts):
    """Returns the encoder of a setting, with its tokenizer.

    Args:
        config: A `FineTuning`.
        setting: A `fine_tuning.Setting`.
        texts: Iterable of the texts of the task, which give a new encoder its vocabulary.
    """
    model = setting.model
    weights = config.weights and config.weights.replace("{backend}", keras.backend.backend())
    gates = {}
    if is_gated(model):
        gates = {
            "inhibition": setting.inhibition,
            "activation": setting.activation,
            "gated_layers": config.gated_layers,
            "scope": config.scope,
            "rank": config.rank,
            "trainable": "gates" if config.train == "gates" else True,
        }
    elif config.train == "gates":
        raise SystemExit(f"--train gates needs a gated encoder. Received: --model {model}")
    try:
        if model in OURS:
            tokenizer, backbone = load_ours(config, model, weights, texts)
        elif weights is None:
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
            tokenizer = load_tokenizer(weights, kind(model, "Tokenizer"))
            backbone = (
                kind(model, "Backbone").from_preset(weights, **gates)
                if gates
                else load_encoder(weights, kind(model, "Backbone"))
            )
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"{model} cannot be built: {error}") from error
    longest = getattr(backbone, "max_sequence_length", config.sequence_length)
    if config.sequence_length > longest:
        raise SystemExit(
            f"{model} of {weights} takes at most {longest} tokens. Received: "
            f"--sequence_length {config.sequence_length}"
        )
    fixed = backbone.input["token_ids"].shape[-1]
    if fixed not in (None, config.sequence_length):
        raise SystemExit(
            f"{model} of {weights} has dense spatial weights, for exactly {fixed} tokens. "
            f"Received: --sequence_length {config.sequence_length}"
        )
    if gates and config.gate_stddev:
        disturb_gates(backbone, config.gate_stddev, config.seed)
    if config.remat:
        rematerialize(backbone)
    return TextEncoder(model, backbone, tokenizer)


def load_ours(config, model, weights, texts):
    """Returns the tokenizer and the encoder of a model in `OURS`; see `load`."""
    cls = kind(model, "Backbone")
    if weights is None:
        tokenizer = new_tokenizer(model, texts, config.vocabulary_size)
        backbone = cls(
            vocabulary_size=tokenizer.vocabulary_size(),
            depth=config.num_layers,
            dim=config.hidden_dim,
            ffn_dim=config.intermediate_dim,
            sequence_length=config.sequence_length,
            dropout=config.dropout,
            **({"attention_dim": config.attention_dim} if model == "aMLP" else {}),
            **({"num_heads": config.num_heads} if model == "Transformer" else {}),
        )
        return tokenizer, backbone
    tokenizer = load_tokenizer(weights, kind(model, "Tokenizer"))
    backbone = cls.from_preset(weights, dropout=config.dropout)
    if model in GMLPS:
        found = "gMLP" if backbone.attention_dim is None else "aMLP"
        if found != model:
            raise ValueError(f"the preset {weights} is of {found}")
    return tokenizer, backbone


def disturb_gates(backbone, stddev, seed):
    """Gives the second matrices of all gates normal values, so that no gate starts at 1."""
    # Not Keras' generator: on PyTorch, seed 1 repeats what seed 0 draws from its second call on.
    random = np.random.default_rng(seed)
    for gate in layers_within.find(backbone, GateWithInhibition):
        for projection in gate.inhibition_projections:
            projection.kernel.assign(random.normal(scale=stddev, size=projection.kernel.shape))


def is_gated(model):
    return model in GATED


def kind(model, what):
    """Returns our class or KerasHub's for a model by name, such as its `"TextClassifier"`."""
    if model in OURS:
        if model == "Transformer":
            return getattr(transformer, "Transformer" + ("" if what == "Backbone" else what))
        family = "gMLP" if model in GMLPS else model
        return getattr(applications, family + ("_MLM" if what == "Backbone" else what))
    if is_gated(model):
        return getattr(applications, model if what == "Backbone" else f"{model}{what}")
    return getattr(keras_hub.models, f"{PLAIN[model]}{what}")


def new_tokenizer(model, texts, vocabulary_size):
    """Returns a tokenizer of the model's kind, whose vocabulary comes from `texts`."""
    cls = kind(model, "Tokenizer")
    if model in OURS or model.endswith("DeBERTaV3"):
        learn = learn_sentence_pieces
    else:
        learn = learn_byte_pairs if model.endswith("RoBERTa") else learn_word_pieces
    return cls(**learn(tuple(texts), vocabulary_size))


# Each of these returns arguments of a tokenizer. All runs of a study have the same texts.
@functools.lru_cache(maxsize=1)
def learn_word_pieces(texts, vocabulary_size):
    vocabulary = keras_hub.tokenizers.compute_word_piece_vocabulary(
        tf.data.Dataset.from_tensor_slices(list(texts)),
        vocabulary_size=vocabulary_size,
        lowercase=True,
        reserved_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    )
    return {"vocabulary": vocabulary, "lowercase": True}


@functools.lru_cache(maxsize=1)
def learn_byte_pairs(texts, vocabulary_size):
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
def learn_sentence_pieces(texts, vocabulary_size):
    return {"proto": sentence_piece(texts, vocabulary_size)}


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

    Words are separated by whitespace, as in the tokenizers themselves. Where the tokens do not
    spell the word (several unknown parts, replaced characters), each stands for the whole word.

    Args:
        tokenizer: A KerasHub tokenizer.
        words: List of words without whitespace.

    Returns:
        Two lists with one entry a word: the ids, and as many pairs (begin, end) of characters.
    """
    distinct = sorted(set(words))
    if not distinct:
        return [], []
    # Byte-pair encoding marks a word within a sentence by the space before it.
    spaced = isinstance(tokenizer, keras_hub.tokenizers.BytePairTokenizer)
    rows = tokenizer([f" {word}" if spaced else word for word in distinct])
    rows = rows if isinstance(rows, list) else rows.to_list()  # ragged with TensorFlow
    known = {
        word: (ids, find_places(tokenizer, word, ids))
        for word, ids in zip(distinct, rows, strict=True)
    }
    return [known[word][0] for word in words], [known[word][1] for word in words]


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


def save(task, tokenizer, folder):
    """Saves a task as a preset in a folder, with the tokenizer even if it has no preprocessor."""
    task.optimizer = None  # its state would be written too, and KerasHub does not read it again
    task.save_to_preset(str(folder))
    forget_mixed_precision(folder)  # KerasHub's own tasks do not
    if not (folder / "tokenizer.json").exists():
        tokenizer.save_to_preset(str(folder))
