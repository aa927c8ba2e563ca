"""The encoders of the language recipes, plain and gated, with their tokenizers."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from recipes import language

with language():
    import keras_hub

# Here and not where they are used: from here on KerasHub knows our presets.
from keras_gimlp import applications, rematerialize
from keras_gimlp.applications.text.hub_task import forget_mixed_precision
from keras_gimlp.applications.text.pretrained import load_encoder, load_tokenizer
from keras_gimlp.layers import GateWithInhibition
from recipes.program import layers_within
from recipes.text import transformer
from recipes.text.tokenizers import byte_pairs, sentence_pieces, word_pieces


@dataclasses.dataclass(frozen=True)
class Kind:
    """An architecture by its tasks, which know the classes of their parts.

    `learn` goes from texts and a size to arguments of its tokenizer, a new vocabulary.
    """

    classifier: type
    masked_lm: type
    learn: Callable
    gated: bool = False

    @property
    def backbone(self):
        return self.classifier.backbone_cls

    @property
    def preprocessor(self):
        return self.classifier.preprocessor_cls

    @property
    def tokenizer(self):
        return self.preprocessor.tokenizer_cls

    def new_tokenizer(self, texts, vocabulary_size):
        """Returns a tokenizer whose vocabulary comes from `texts`."""
        return self.tokenizer(**self.learn(tuple(texts), vocabulary_size))


hub = keras_hub.models
# fmt: off
KINDS = {
    "BERT":        Kind(hub.BertTextClassifier, hub.BertMaskedLM, word_pieces),
    "RoBERTa":     Kind(hub.RobertaTextClassifier, hub.RobertaMaskedLM, byte_pairs),
    "DeBERTaV3":   Kind(hub.DebertaV3TextClassifier, hub.DebertaV3MaskedLM, sentence_pieces),
    "giBERT":      Kind(applications.giBERTTextClassifier, applications.giBERTMaskedLM, word_pieces, gated=True),
    "giRoBERTa":   Kind(applications.giRoBERTaTextClassifier, applications.giRoBERTaMaskedLM, byte_pairs, gated=True),
    "giDeBERTaV3": Kind(applications.giDeBERTaV3TextClassifier, applications.giDeBERTaV3MaskedLM, sentence_pieces, gated=True),
    "gMLP":        Kind(applications.gMLPTextClassifier, applications.gMLPMaskedLM, sentence_pieces),
    "aMLP":        Kind(applications.gMLPTextClassifier, applications.gMLPMaskedLM, sentence_pieces),
    "AFT":         Kind(applications.AFTTextClassifier, applications.AFTMaskedLM, sentence_pieces),
    "Transformer": Kind(transformer.TransformerTextClassifier, transformer.TransformerMaskedLM, sentence_pieces),
}
# fmt: on
OURS = ("gMLP", "aMLP", "AFT", "Transformer")  # built alike
ATTENTION = tuple(name for name in KINDS if name not in OURS)  # KerasHub's, plain and gated


@dataclasses.dataclass(frozen=True)
class TextEncoder:
    """An encoder with its tokenizer. `model` is its name in `KINDS`."""

    model: str
    backbone: Any
    tokenizer: Any

    @property
    def kind(self):
        return KINDS[self.model]

    def preprocessor(self, sequence_length):
        """Returns the layer from texts, or pairs of them, to the inputs of the encoder."""
        return self.kind.preprocessor(self.tokenizer, sequence_length=sequence_length)

    def packer(self, sequence_length):
        """Returns KerasHub's packer for this encoder, as its preprocessor builds it."""
        preprocessor = self.preprocessor(sequence_length)
        preprocessor.build(None)
        return preprocessor.packer

    def pack(self, segments, sequence_length):
        """Returns the inputs of the encoder, integers `(examples, sequence_length)` by name.

        `segments` has for each segment the token ids of every example. They must fit.
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
    """Returns the encoder of a setting, with its tokenizer, or ends the program.

    The texts of the task give a new encoder its vocabulary.
    """
    model, kind = setting.model, KINDS[setting.model]
    if config.train == "gates" and not kind.gated:
        raise SystemExit(f"--train gates needs a gated encoder. Received: --model {model}")
    weights = config.weights and config.weights.replace("{backend}", keras.backend.backend())
    try:
        if weights is None:
            tokenizer = kind.new_tokenizer(texts, config.vocabulary_size)
            backbone = kind.backbone(
                vocabulary_size=tokenizer.vocabulary_size(),
                **new_sizes(config, model),
                **options_of(config, setting),
            )
        else:
            tokenizer = load_tokenizer(weights, kind.tokenizer)
            backbone = load_backbone(config, setting, weights)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"{model} cannot be built: {error}") from error
    check_length(config, f"{model} of {weights}", backbone)
    if kind.gated and config.gate_stddev:
        disturb_gates(backbone, config.gate_stddev, config.seed)
    if config.remat:
        rematerialize(backbone)
    return TextEncoder(model, backbone, tokenizer)


def new_sizes(config, model):
    """Returns the sizes of a new encoder, as its class names them."""
    if model not in OURS:
        return {
            "num_layers": config.num_layers,
            "num_heads": config.num_heads,
            "hidden_dim": config.hidden_dim,
            "intermediate_dim": config.intermediate_dim,
            "max_sequence_length": config.sequence_length,
        }
    return {
        "depth": config.num_layers,
        "dim": config.hidden_dim,
        "ffn_dim": config.intermediate_dim,
        "sequence_length": config.sequence_length,
        **({"attention_dim": config.attention_dim} if model == "aMLP" else {}),
        **({"num_heads": config.num_heads} if model == "Transformer" else {}),
    }


def options_of(config, setting):
    """Returns the arguments of an encoder that its preset leaves open."""
    if setting.model in OURS:
        return {"dropout": config.dropout}
    if not KINDS[setting.model].gated:
        return {}
    return {
        "inhibition": setting.inhibition,
        "activation": setting.activation,
        "gated_layers": config.gated_layers,
        "scope": config.scope,
        "rank": config.rank,
        "trainable": "gates" if config.train == "gates" else True,
    }


def load_backbone(config, setting, weights):
    """Returns the encoder of a preset."""
    cls, options = KINDS[setting.model].backbone, options_of(config, setting)
    if not options:
        return load_encoder(weights, cls)
    backbone = cls.from_preset(weights, **options)
    if cls is KINDS["gMLP"].backbone:
        model = "gMLP" if backbone.attention_dim is None else "aMLP"
        if model != setting.model:
            raise ValueError(f"the preset {weights} is of {model}")
    return backbone


def check_length(config, name, backbone):
    """Ends the program if an encoder does not take texts of `--sequence_length`."""
    longest = getattr(backbone, "max_sequence_length", config.sequence_length)
    if config.sequence_length > longest:
        raise SystemExit(
            f"{name} takes at most {longest} tokens. Received: "
            f"--sequence_length {config.sequence_length}"
        )
    fixed = backbone.input["token_ids"].shape[-1]
    if fixed not in (None, config.sequence_length):
        raise SystemExit(
            f"{name} has dense spatial weights, for exactly {fixed} tokens. "
            f"Received: --sequence_length {config.sequence_length}"
        )


def disturb_gates(backbone, stddev, seed):
    """Gives the second matrices of all gates normal values, so that no gate starts at 1."""
    # Not Keras' generator: on PyTorch, seed 1 repeats what seed 0 draws from its second call on.
    random = np.random.default_rng(seed)
    for gate in layers_within.find(backbone, GateWithInhibition):
        for projection in gate.inhibition_projections:
            projection.kernel.assign(random.normal(scale=stddev, size=projection.kernel.shape))


def save(task, tokenizer, folder):
    """Saves a task as a preset in a folder, with the tokenizer even if it has no preprocessor."""
    task.optimizer = None  # its state would be written too, and KerasHub does not read it again
    task.save_to_preset(str(folder))
    forget_mixed_precision(folder)  # KerasHub's own tasks do not
    if not (folder / "tokenizer.json").exists():
        tokenizer.save_to_preset(str(folder))
