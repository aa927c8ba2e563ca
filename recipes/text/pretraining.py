"""The parts of masked language modelling: tokenizer, examples, model, and what is reported."""

import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

from keras_gimlp import applications, rematerialize
from recipes.program import files
from recipes.text import masking, tokens
from recipes.text.encoders import KINDS
from recipes.text.tokenizers import sentence_piece_model
from recipes.training import distribution

KEPT_TOKENIZER = "tokenizer.model"


def load_tokenizer(config, text, folder):
    """Returns the run's own tokenizer, the given one, or a new one trained on the text."""

    def load():
        kept = folder / KEPT_TOKENIZER
        if kept.exists():
            return kept.read_bytes()
        if config.tokenizer is None:
            lines = text.train.take(config.vocabulary_lines).as_numpy_iterator()
            return sentence_piece_model([x.decode() for x in lines], config.vocabulary_size)
        try:
            return pathlib.Path(config.tokenizer).read_bytes()
        except OSError as error:
            raise SystemExit(f"--tokenizer cannot be read: {error}") from error

    model = distribution.from_first(load)
    try:
        return applications.gMLPTokenizer(proto=model)
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        raise SystemExit(
            "--tokenizer must be a SentencePiece model with [PAD], [CLS], [SEP], [UNK] and "
            f"[MASK]. Received: {config.tokenizer} ({str(error).splitlines()[0]})"
        ) from error


def keep_tokenizer(tokenizer, folder):
    """Keeps the SentencePiece model in the folder of the run, for its continuation."""
    if not distribution.process():
        with files.replacing(folder / KEPT_TOKENIZER) as file:
            file.write(tokenizer.proto)


def check_size(config, text, tokenizer):
    """Ends the program if the text does not fill one batch of training and one test example.

    It tokenizes no more than that.
    """
    for texts, least, kind in ((text.train, config.batch_size, "training"), (text.test, 1, "test")):
        count = tokens.count_examples(texts, tokenizer, config.sequence_length, least)
        if count < least:
            raise SystemExit(
                f"The {kind} text fills {count} examples of {config.sequence_length} tokens; at "
                f"least {least} are needed."
            )


def tokenize(config, text, tokenizer, folder):
    """Returns the training and the test examples, from files that are written if they are missing.

    A continued run goes on with the tokens that it began with. All processes read the files that
    the first one writes.
    """
    limit = config.max_examples and config.max_examples * (config.sequence_length - 2)
    paths = [folder / f"tokens-{kind}.npy" for kind in ("train", "test")]

    def write():
        for path, texts, most in zip(paths, (text.train, text.test), (limit, None), strict=True):
            if not path.exists():
                tokens.write(texts, tokenizer, path, most)

    distribution.from_first(write)
    return [tokens.Examples(path, tokenizer, config.sequence_length) for path in paths]


def delete_tokens(folder):
    """Deletes the files of tokens, which a complete run does not need."""
    if not distribution.process():
        for path in folder.glob("tokens-*.npy"):
            path.unlink()


def build_task(config, vocabulary_size):
    """Returns the encoder with the head that predicts masked tokens, tied to the embedding."""
    try:
        backbone = KINDS[config.model].backbone(
            vocabulary_size=vocabulary_size, dropout=config.dropout, **sizes(config)
        )
    except ValueError as error:
        raise SystemExit(f"{config.model} cannot be built: {error}") from error
    if config.model == "BERT":
        # No loss reaches what gives the pooled output.
        backbone.get_layer("pooled_dense").trainable = False
    task = KINDS[config.model].masked_lm(backbone, preprocessor=None)
    if config.remat:
        rematerialize(task.backbone)
    return task


def batches(config, task, tokenizer, train, test, first_step):
    """Returns the training batches from a step on, and the test batches."""

    def mask(seed):
        names = list(task.backbone.input)
        return masking.masking(tokenizer, config.sequence_length, config.mask_rate, seed, names)

    return (
        masking.training_batches(
            train,
            mask(config.seed),
            seed=config.seed,
            batch_size=config.batch_size,
            first_step=first_step,
        ),
        # The same masks for every seed, so that perplexities can be compared.
        masking.test_batches(test, mask(0), config.batch_size),
    )


def sizes(config):
    """Returns the arguments of the encoder that are its own."""
    if config.model == "BERT":
        return {
            "num_layers": config.depth,
            "num_heads": config.num_heads,
            "hidden_dim": config.dim,
            "intermediate_dim": config.ffn_dim,
            "max_sequence_length": config.sequence_length,
        }
    names = ["depth", "dim", "ffn_dim", "sequence_length"]
    if config.model == "Transformer":
        names += ["num_heads", "positions"]
    elif config.model == "AFT":
        names += ["window"]
    else:
        names += ["attention_dim", "spatial", "form"]
    form = {"form": config.mixing} if config.model == "AFT" else {}
    return {name: getattr(config, name) for name in names} | form


def build_preprocessor(config, tokenizer):
    """Returns the layer from texts to masked inputs that is saved with the model."""
    return KINDS[config.model].masked_lm.preprocessor_cls(
        tokenizer,
        sequence_length=config.sequence_length,
        mask_selection_rate=config.mask_rate,
        mask_selection_length=masking.masks(config.sequence_length, config.mask_rate),
    )


class Throughput(keras.callbacks.Callback):
    """Adds the tokens per second of each step to the progress bar, which shows their mean."""

    def __init__(self, tokens):
        super().__init__()
        self.tokens = tokens

    def on_train_batch_begin(self, batch, logs=None):
        self.begin = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        logs["tokens/s"] = self.tokens / (time.perf_counter() - self.begin)


class Perplexity(keras.callbacks.Callback):
    """Adds the exponential of the test loss, which is the mean over all masked tokens."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_perplexity"] = float(np.exp(logs["val_loss"]))
