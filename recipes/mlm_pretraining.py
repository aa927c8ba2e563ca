"""Pretrains a text encoder by masked language modelling.

    python -m recipes.mlm_pretraining                                the reference of Python
    python -m recipes.mlm_pretraining --files A.txt B.txt --test_files C.txt --model aMLP \\
        --attention_dim 64
    python -m recipes.mlm_pretraining --config small_amlp --files A.txt --test_files B.txt
    python -m recipes.mlm_pretraining --config gmlp_base --data_dir DIR

`small_gmlp`, `small_amlp`, `small_bert` and the ablations `small_linear`, `small_additive` and
`small_multiplicative` have about 5 million parameters; results are in `recipes/README.md`.

The set-ups of "Pay Attention to MLPs" (arXiv:2105.08050, Appendix A) are configurations too. None
is reproduced yet.

* `gmlp_ablation`: Table 3, 128 tokens of C4/RealNews, 125,000 steps: a perplexity of 4.35.
* `gmlp_base`, `gmlp_large`, `gmlp_xlarge`, `amlp_base`, `amlp_large`: Table 6, 512 tokens of
  C4/English, a million steps: perplexities of 4.28, 3.32, 2.89, 3.95 and 3.19.

A trained `preset` in the folder of the run holds the encoder and the tokenizer.
"""

import dataclasses
import pathlib
import time
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from keras_gimlp import applications
from recipes import missing
from recipes.common import command_line, devices, optimizers, runs
from recipes.text import encoders, masking

try:
    import keras_hub
except ModuleNotFoundError as error:
    raise missing(error) from None

PROGRAM = "python -m recipes.mlm_pretraining"


@dataclasses.dataclass(frozen=True)
class Config:
    """Every hyper-parameter of a run. The comments are the help of the command line."""

    # Name of the configuration that gives every other option its default; a name that is not there
    # prints those that are.
    config: str = "python"
    # Folder of the run. The same command again continues the run in it. None: a folder in runs/
    # named by configuration, model, backend and seed.
    run_dir: str | None = None
    # Of the initial weights, the order of the examples, the masks and the dropout.
    seed: int = 0

    # The encoder: gMLP, aMLP (gMLP with a tiny attention), or BERT, the Transformer of KerasHub
    # with absolute positions, to compare with.
    model: Literal["gMLP", "aMLP", "BERT"] = "gMLP"
    # Number of blocks.
    depth: int = 4
    # Channels of a token.
    dim: int = 64
    # Channels of the expansion in a block.
    ffn_dim: int = 256
    # Size of the tiny attention's head (aMLP).
    attention_dim: int | None = None
    # Heads of the attention (BERT).
    num_heads: int = 4
    # Spatial weights of gMLP and aMLP.
    spatial: Literal["toeplitz", "dense"] = "toeplitz"
    # Form of the gating unit; split is the paper's, the others its ablations.
    form: Literal["split", "multiplicative", "additive", "linear"] = "split"
    # Dropout rate.
    dropout: float = 0.0

    # python (the reference of the language in every Python), or a text data set of TensorFlow
    # Datasets by name.
    data: str = "python"
    # Folder of TensorFlow Datasets. None: its default.
    data_dir: str | None = None
    # Files of text to train on, in the place of --data.
    files: tuple[str, ...] = ()
    # Files of text to test on. None of them: the last lines of --files are held out.
    test_files: tuple[str, ...] = ()
    # Split to test on (TensorFlow Datasets).
    test_split: str = "validation"
    # Fraction of a text that is held out for testing.
    held_out: float = 0.05
    # SentencePiece model to use, such as the tokenizer.model of an earlier run. None: a new one,
    # trained on the first lines.
    tokenizer: str | None = None
    # Tokens in a new vocabulary, at most.
    vocabulary_size: int = 1000
    # Lines on which a new vocabulary is trained.
    vocabulary_lines: int = 1_000_000
    # Tokens of an example, the two special ones among them.
    sequence_length: int = 64
    # Fraction of the tokens that are to be predicted.
    mask_rate: float = 0.15
    # Number of examples among which the next one is drawn.
    shuffle_buffer: int = 50_000

    # Batches to train on.
    steps: int = 600
    # Batches between two tests.
    test_every: int = 200
    # Examples of a batch.
    batch_size: int = 32
    # Batches whose gradients are averaged before the weights are changed.
    accumulation_steps: int = 1
    # Peak learning rate of AdamW. Rises linearly from 0, then falls linearly to 0.
    learning_rate: float = 3e-3
    # Changes of the weights during which the learning rate rises.
    warmup_steps: int = 60
    # Decoupled weight decay of the matrices. Biases and normalizations are not decayed.
    weight_decay: float = 0.01
    # Epsilon of AdamW.
    adam_epsilon: float = 1e-6
    # Largest norm of all gradients together. None: no clipping.
    clip_norm: float | None = None
    # Compute the activations of a block again in the backward pass, to save memory (JAX, PyTorch).
    remat: bool = False
    # Precision of the computation; the weights are float32 in each.
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"


ABLATION = Config(
    depth=36,
    dim=512,
    ffn_dim=3072,
    data="c4/realnewslike",
    vocabulary_size=32_000,
    sequence_length=128,
    steps=125_000,
    test_every=5_000,
    batch_size=2048,
    learning_rate=7e-4,
    warmup_steps=10_000,
)
FULL = dataclasses.replace(
    ABLATION,
    data="c4/en",
    sequence_length=512,
    steps=1_000_000,
    batch_size=256,
    learning_rate=1e-4,
)
# A small text set-up: models of about 5 million parameters, for the text in --files.
SMALL = Config(
    depth=10,
    dim=192,
    ffn_dim=1152,
    vocabulary_size=8_000,
    sequence_length=128,
    steps=1_500,
    test_every=300,
    batch_size=16,
    learning_rate=2e-3,
    warmup_steps=150,
)
CONFIGURATIONS = command_line.named(
    {
        "python": Config(),
        "small_gmlp": SMALL,
        "small_amlp": dataclasses.replace(SMALL, model="aMLP", depth=9, attention_dim=32),
        "small_bert": dataclasses.replace(
            SMALL, model="BERT", depth=8, ffn_dim=768, num_heads=3, learning_rate=1e-3
        ),
        # As in the paper, fewer channels where they are not split.
        **{
            f"small_{form}": dataclasses.replace(SMALL, form=form, ffn_dim=768)
            for form in ("linear", "additive", "multiplicative")
        },
        "gmlp_ablation": ABLATION,
        "gmlp_base": dataclasses.replace(FULL, depth=48),
        "gmlp_large": dataclasses.replace(FULL, depth=96, dim=768),
        "gmlp_xlarge": dataclasses.replace(FULL, depth=144, dim=1024, ffn_dim=4096),
        "amlp_base": dataclasses.replace(FULL, model="aMLP", attention_dim=64),
        "amlp_large": dataclasses.replace(FULL, model="aMLP", depth=72, dim=768, attention_dim=128),
    }
)


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    check(config)
    devices.prepare(config.precision, config.seed)
    text = masking.load(config)
    name = f"{config.config}-{config.model}-{keras.backend.backend()}-seed{config.seed}"
    folder = pathlib.Path(config.run_dir or f"runs/mlm-{name}")
    if runs.is_complete(folder):
        runs.open_run(folder, config)
        print(f"This run is complete: {folder}\n{(folder / 'summary.json').read_text()}")
        return
    model = sentence_piece(config, text, folder)
    tokenizer = make_tokenizer(config, model)
    train, test = (
        masking.packed(texts, tokenizer, config.sequence_length, cache=text.small)
        for texts in (text.train, text.test)
    )
    for examples, least, what in ((train, config.batch_size, "training"), (test, 1, "test")):
        found = sum(1 for _ in examples.take(least))
        if found < least:
            raise SystemExit(
                f"The {what} text fills {found} examples of {config.sequence_length} tokens; at "
                f"least {least} are needed."
            )
    task = build_task(config, tokenizer.vocabulary_size())
    task.compile(
        optimizer=build_optimizer(config, task),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[],
    )
    # Not before: a command with a mistake leaves no folder that refuses the corrected one.
    runs.open_run(folder, config)
    unfinished = folder / "tokenizer.unfinished"
    unfinished.write_bytes(model)
    unfinished.replace(folder / "tokenizer.model")
    first_epoch = runs.restore(task, folder)
    epochs = config.steps // config.test_every
    print(
        f"{config.model}, {task.count_params():,} parameters, on {keras.backend.backend()}. "
        f"{tokenizer.vocabulary_size():,} tokens in the vocabulary. Steps "
        f"{first_epoch * config.test_every + 1:,} to {config.steps:,}. Run folder: {folder}"
    )
    if first_epoch < epochs:
        fit(config, task, train, test, tokenizer, folder)
    task.preprocessor = preprocessor(config, tokenizer)
    source = ", ".join(config.files) or config.data
    summary = runs.finish(
        folder,
        title=f"{config.model}, {task.count_params():,} parameters, on {source}",
        panels={
            "loss": {"training": "loss", "test": "val_loss"},
            "perplexity": {"test": "val_perplexity"},
        },
        results={"test_perplexity": "val_perplexity", "test_loss": "val_loss"},
        parameters=task.count_params(),
        save=lambda path: encoders.save(task, tokenizer, path),
        model_name="preset",
    )
    print(
        f"Test perplexity {summary['test_perplexity']:.2f} after {config.steps:,} steps, "
        f"{summary['seconds']:.0f} s. Curves: {folder / 'curves.png'}, preset: {folder / 'preset'}"
    )


def check(config):
    """Ends the program if the options do not fit together."""
    if not 0 < config.mask_rate < 1:
        raise SystemExit(f"--mask_rate must be between 0 and 1. Received: {config.mask_rate}")
    if config.sequence_length < 3:
        raise SystemExit(
            f"--sequence_length must be 3 or more, with two special tokens. Received: "
            f"{config.sequence_length}"
        )
    if config.steps < 1 or config.test_every < 1 or config.steps % config.test_every:
        raise SystemExit(
            "--steps must be a multiple of --test_every, both 1 or more. Received: "
            f"{config.steps} and {config.test_every}"
        )
    if config.steps // config.accumulation_steps <= config.warmup_steps:
        raise SystemExit(
            "The learning rate would rise for all of the run's changes of the weights. "
            f"Received: --warmup_steps {config.warmup_steps}"
        )
    if (config.model == "aMLP") != (config.attention_dim is not None):
        raise SystemExit(
            "--attention_dim is needed by aMLP, and by no other model. Received: --model "
            f"{config.model}, --attention_dim {config.attention_dim}"
        )
    if config.remat and keras.backend.backend() == "tensorflow":
        raise SystemExit("--remat needs JAX or PyTorch: it fails in a graph of TensorFlow.")


def sentence_piece(config, text, folder):
    """Returns the SentencePiece model: the run's own, the given one, or one trained on the text."""
    kept = folder / "tokenizer.model"
    if kept.exists():
        return kept.read_bytes()
    if config.tokenizer is not None:
        try:
            return pathlib.Path(config.tokenizer).read_bytes()
        except OSError as error:
            raise SystemExit(f"--tokenizer cannot be read: {error}") from error
    lines = text.train.take(config.vocabulary_lines).as_numpy_iterator()
    return encoders.sentence_piece([line.decode() for line in lines], config.vocabulary_size)


def make_tokenizer(config, model):
    """Returns the tokenizer of a SentencePiece model, or ends the program if it is none."""
    try:
        return applications.gMLPTokenizer(proto=model)
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        raise SystemExit(
            "--tokenizer is no SentencePiece model with [PAD], [CLS], [SEP], [UNK] and [MASK]: "
            f"{config.tokenizer} ({str(error).splitlines()[0]})"
        ) from error


def build_task(config, vocabulary_size):
    """Returns the encoder with the head that predicts masked tokens, tied to the embedding."""
    try:
        with keras.RematScope(mode="full" if config.remat else None):
            if config.model == "BERT":
                backbone = keras_hub.models.BertBackbone(
                    vocabulary_size=vocabulary_size,
                    num_layers=config.depth,
                    num_heads=config.num_heads,
                    hidden_dim=config.dim,
                    intermediate_dim=config.ffn_dim,
                    dropout=config.dropout,
                    max_sequence_length=config.sequence_length,
                )
                # What gives the pooled output is reached by no loss.
                backbone.get_layer("pooled_dense").trainable = False
                return keras_hub.models.BertMaskedLM(backbone, preprocessor=None)
            backbone = applications.gMLP_MLM(
                vocabulary_size=vocabulary_size,
                depth=config.depth,
                dim=config.dim,
                ffn_dim=config.ffn_dim,
                sequence_length=config.sequence_length,
                attention_dim=config.attention_dim,
                spatial=config.spatial,
                form=config.form,
                dropout=config.dropout,
            )
            return applications.gMLPMaskedLM(backbone, preprocessor=None)
    except ValueError as error:
        raise SystemExit(f"{config.model} cannot be built: {error}") from error


def preprocessor(config, tokenizer):
    """Returns what the saved model makes its inputs with."""
    bert = keras_hub.models.BertMaskedLMPreprocessor
    cls = bert if config.model == "BERT" else applications.gMLPMaskedLMPreprocessor
    return cls(
        tokenizer,
        sequence_length=config.sequence_length,
        mask_selection_rate=config.mask_rate,
        mask_selection_length=masking.masks(config.sequence_length, config.mask_rate),
    )


def build_optimizer(config, task):
    """Returns AdamW with warm-up and linear decay."""
    updates = config.steps // config.accumulation_steps
    return optimizers.adamw(
        task,
        optimizers.LinearDecay(config.learning_rate, config.warmup_steps, updates),
        weight_decay=config.weight_decay,
        epsilon=config.adam_epsilon,
        clip_norm=config.clip_norm,
        gradient_accumulation_steps=(
            config.accumulation_steps if config.accumulation_steps > 1 else None
        ),
    )


def fit(config, task, train, test, tokenizer, folder):
    """Fits the compiled task, testing every `test_every` steps."""

    def mask(seed):
        return masking.masking(
            tokenizer, config.sequence_length, config.mask_rate, seed, list(task.backbone.input)
        )

    tokens = config.batch_size * config.sequence_length
    runs.fit(
        task,
        lambda first_epoch: masking.training_batches(
            train, mask(config.seed), config, first_epoch * config.test_every
        ),
        folder,
        seed=config.seed,
        unit="tokens",
        batch_size=tokens,
        steps=config.test_every,
        epochs=config.steps // config.test_every,
        callbacks=[Throughput(tokens), Perplexity()],
        # The same masks for every seed, so that perplexities can be compared.
        validation_data=masking.test_batches(test, mask(0), config.batch_size),
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


if __name__ == "__main__":
    main()
