"""The options that all fine-tuning recipes share, and the published sets of them."""

import dataclasses
from typing import Annotated, Literal

from recipes.program.command_line import Count, Fraction, Range, Rate
from recipes.training.options import AdamWOptions, EpochOptions, RunOptions


@dataclasses.dataclass(frozen=True)
class FineTuning(EpochOptions, AdamWOptions, RunOptions):
    """The options of every fine-tuning recipe."""

    # Folder of the study. The same command continues it. None: a folder in runs/ named after the
    # recipe and the configuration.
    run_dir: str | None = None
    # Runs of each setting, with consecutive seeds from --seed on.
    seeds: Count = 1

    # Encoders to compare: BERT, RoBERTa, DeBERTaV3, with gates giBERT, giRoBERTa, giDeBERTaV3;
    # gMLP, aMLP, AFT, Transformer.
    model: tuple[str, ...] = ("BERT", "giBERT")
    # Preset of the encoder: a KerasHub name, hf://OWNER/NAME, or a folder, such as the one that
    # mlm_pretraining saves ({backend} in it stands for the name of the backend). None: a new
    # encoder with a vocabulary from the training texts.
    weights: str | None = None
    # Inhibition levels of the gated encoders.
    inhibition: tuple[Fraction, ...] = (0.3,)
    # Activations in the gates, by their names in keras.activations. relu needs --gate_stddev: its
    # gradient at 0 is 0.
    activation: tuple[str, ...] = ("gelu",)
    # Number of gated layers, counted from the last. None: all.
    gated_layers: Count | None = None
    # The maximum of the inhibition is taken over an example, a token or the batch.
    scope: Literal["example", "token", "batch"] = "example"
    # Rank of the gates. None: full.
    rank: Count | None = None
    # Standard deviation of the gates' second matrices at the start. 0: all gates are 1. The
    # released code has 0.02.
    gate_stddev: Fraction = 0.0
    # Train everything, or only the gates and the head.
    train: Literal["all", "gates"] = "all"
    # Dropout rate of gMLP, aMLP, AFT and Transformer. The others use that of their preset, or
    # KerasHub's default.
    dropout: Rate = 0.1
    # Maximum tokens in the vocabulary of a new encoder.
    vocabulary_size: Count = 500
    # Layers of a new encoder.
    num_layers: Count = 2
    # Attention heads of a new encoder.
    num_heads: Count = 4
    # Channels per token in a new encoder.
    hidden_dim: Count = 64
    # Hidden units of the feed-forward networks in a new encoder. In gMLP, the channels of the
    # expansion.
    intermediate_dim: Count = 128
    # Size of the tiny attention's head in a new aMLP.
    attention_dim: Count = 16

    # Folder of the data: that of TensorFlow Datasets (None: its default), or the one that holds
    # the files of the recipe.
    data_dir: str | None = None
    # Split to train on (TensorFlow Datasets), or a slice of one such as train[:80%].
    train_split: str = "train"
    # Maximum tokens per example, including the special tokens.
    sequence_length: Annotated[int, Range(least=5)] = 32
    # Fraction of all updates during which the learning rate rises linearly from 0. It then falls
    # linearly to 0.
    warmup_fraction: Rate = 0.1


# Options for a pretrained encoder, and those of giDeBERTaV3-large as far as they are known: batch
# size, learning rate and schedule from the authors' logs, and the 10 epochs of their README.
PRETRAINED = {"sequence_length": 128, "epochs": 3, "batch_size": 32, "learning_rate": 5e-5}
GIMLP = {
    "model": ("DeBERTaV3", "giDeBERTaV3"),
    "weights": "deberta_v3_large_en",
    "epochs": 10,
    "batch_size": 64,
    "learning_rate": 2e-5,
    "warmup_fraction": 0.0,
    "weight_decay": 0.0,
    "adam_epsilon": 1e-8,
}
# Those of "Pay Attention to MLPs" (Appendix A) for sentences; the paper tried batches of 16 or 32
# and 1e-5 to 3e-5. Only for its pretraining is it known that nothing is clipped. Its weights are
# not public: this is where mlm_pretraining saves its own.
GMLP = {
    "model": ("gMLP",),
    "weights": "runs/mlm-gmlp_base-gMLP-{backend}-seed0/preset",
    "epochs": 5,
    "learning_rate": 2e-5,
    "clip_norm": None,
}
