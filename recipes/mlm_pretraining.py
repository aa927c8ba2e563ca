"""Pretrains a text encoder by masked language modelling.

    python -m recipes.mlm_pretraining                                the reference of Python
    python -m recipes.mlm_pretraining --files A.txt B.txt --test_files C.txt --model aMLP \\
        --attention_dim 64
    python -m recipes.mlm_pretraining --config small_amlp --files A.txt --test_files B.txt
    python -m recipes.mlm_pretraining --config gmlp_base --data_dir DIR

By default a gMLP of 4 blocks learns the language reference that comes with Python, in 600 steps; no
score of it is kept. `small_gmlp`, `small_amlp`, `small_transformer`, `small_transformer_relative`,
`small_aft`, `small_bert` and the ablations `small_linear`, `small_additive` and
`small_multiplicative` have about 5 million parameters. On 27 books, in 5,000 steps of 16 x 128
tokens in bfloat16 with PyTorch on one core of an AMD EPYC, three seeds: `small_gmlp` ends at a
perplexity of 50.3 ± 0.5, `small_amlp` at 52.0 ± 1.0 and `small_transformer_relative` at 49.3 ± 0.2,
each after about 50 minutes. All results are in `studies/language`.

The text is tokenized once, into files in the folder of the run, which are deleted when the run is
complete. They take 2 bytes per token (4 if the vocabulary has more than 65,536 tokens), so 2 GB for
a billion tokens. `--max_examples` limits them. The trained `preset` in the folder of the run
contains the encoder and the tokenizer.

The set-ups of "Pay Attention to MLPs" (arXiv:2105.08050, Appendix A) are configurations too. Not
reproduced yet.

* `gmlp_ablation`: Table 3, 128 tokens of C4/RealNews, 125,000 steps: a perplexity of 4.35.
* `gmlp_base`, `gmlp_large`, `gmlp_xlarge`, `amlp_base`, `amlp_large`: Table 6, 512 tokens of
  C4/English, a million steps: perplexities of 4.28, 3.32, 2.89, 3.95 and 3.19.
"""

import dataclasses
from typing import Annotated, Literal

from recipes.program import command_line
from recipes.program.command_line import Count, Positive, Range, Rate, Whole
from recipes.training.options import AdamWOptions, RunOptions

PROGRAM = "python -m recipes.mlm_pretraining"
Share = Annotated[float, Range(above=0, below=1)]


@dataclasses.dataclass(frozen=True)
class Config(AdamWOptions, RunOptions):
    """Every hyper-parameter of a run."""

    # The encoder: gMLP, aMLP (gMLP with a tiny attention), or for comparison AFT, a Transformer
    # without attention, a pre-norm Transformer, and BERT, KerasHub's post-norm one.
    model: Literal["gMLP", "aMLP", "AFT", "Transformer", "BERT"] = "gMLP"
    # Number of blocks.
    depth: Count = 4
    # Channels per token.
    dim: Count = 64
    # Channels of the expansion in a block.
    ffn_dim: Count = 256
    # Size of the tiny attention's head (aMLP).
    attention_dim: Count | None = None
    # Attention heads (Transformer, BERT).
    num_heads: Count = 4
    # Position encoding of the Transformer: a learned vector for each position, or a learned bias
    # for each distance in each head. BERT has the former.
    positions: Literal["absolute", "relative"] = "absolute"
    # Spatial weights of gMLP and aMLP.
    spatial: Literal["toeplitz", "dense"] = "toeplitz"
    # Form of the gating unit: split is the paper's, the others are its ablations.
    form: Literal["split", "multiplicative", "additive", "linear"] = "split"
    # Form of the mixing of tokens (AFT).
    mixing: Literal["full", "local", "simple"] = "local"
    # A token has position biases for those less than this away (AFT, local).
    window: Count = 32
    # Dropout rate.
    dropout: Rate = 0.0

    # python (the language reference that comes with Python), or the name of a text data set in
    # TensorFlow Datasets.
    data: str = "python"
    # Folder of TensorFlow Datasets. None: its default.
    data_dir: str | None = None
    # Text files to train on, instead of --data.
    files: tuple[str, ...] = ()
    # Text files to test on. If there are none, the last lines of --files are held out.
    test_files: tuple[str, ...] = ()
    # Split to train on (TensorFlow Datasets), or a slice of one such as train[:80%].
    train_split: str = "train"
    # Split to test on (TensorFlow Datasets), or a slice of one.
    test_split: str = "validation"
    # Fraction of the text that is held out for testing.
    held_out: Share = 0.05
    # SentencePiece model to use, such as the tokenizer.model of an earlier run. None: a new one,
    # trained on the first lines.
    tokenizer: str | None = None
    # Maximum tokens in a new vocabulary.
    vocabulary_size: Count = 1000
    # Lines that a new vocabulary is trained on.
    vocabulary_lines: Count = 1_000_000
    # Tokens per example, including the two special tokens.
    sequence_length: Annotated[int, Range(least=3)] = 64
    # Maximum number of training examples, taken from the beginning of the text. None: all.
    max_examples: Count | None = None
    # Fraction of the tokens to predict.
    mask_rate: Share = 0.15

    # Training steps, each on one batch.
    steps: Count = 600
    # Steps between two tests.
    test_every: Count = 200
    # Peak learning rate of AdamW. It rises linearly from 0 during the warm-up, then falls linearly
    # to 0.
    learning_rate: Positive = 3e-3
    # Warm-up steps, counted in updates of the weights.
    warmup_steps: Whole = 60
    # Largest norm of all gradients together. None: no clipping.
    clip_norm: Positive | None = None


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
# Models of about 5 million parameters, for the text in --files. The learning rates of gMLP, aMLP
# and the Transformer, and the warm-up, were the best ones of a grid: see studies/language.
SMALL = Config(
    depth=10,
    dim=192,
    ffn_dim=1152,
    vocabulary_size=8_000,
    sequence_length=128,
    steps=5_000,
    test_every=500,
    batch_size=16,
    learning_rate=4e-3,
    warmup_steps=1_000,
)
SMALL_TRANSFORMER = dataclasses.replace(
    SMALL, model="Transformer", depth=8, ffn_dim=688, num_heads=3
)
# fmt: off
CONFIGURATIONS = command_line.named({
    "python": Config(),
    "small_gmlp": SMALL,
    "small_amlp": dataclasses.replace(SMALL, model="aMLP", depth=9, attention_dim=32),
    "small_bert": dataclasses.replace(SMALL, model="BERT", depth=8, ffn_dim=768, num_heads=3, learning_rate=1e-3),
    "small_transformer": dataclasses.replace(SMALL_TRANSFORMER, learning_rate=2e-3),
    "small_transformer_relative": dataclasses.replace(SMALL_TRANSFORMER, positions="relative"),
    # Its position biases get gradients below the usual epsilon.
    "small_aft": dataclasses.replace(SMALL, model="AFT", depth=7, ffn_dim=768, learning_rate=2e-3, adam_epsilon=1e-9),
    # As in the paper, fewer channels where they are not split.
    **{f"small_{form}": dataclasses.replace(SMALL, form=form, ffn_dim=768) for form in ("linear", "additive", "multiplicative")},
    "gmlp_ablation": ABLATION,
    "gmlp_base": dataclasses.replace(FULL, depth=48),
    "gmlp_large": dataclasses.replace(FULL, depth=96, dim=768),
    "gmlp_xlarge": dataclasses.replace(FULL, depth=144, dim=1024, ffn_dim=4096),
    "amlp_base": dataclasses.replace(FULL, model="aMLP", attention_dim=64),
    "amlp_large": dataclasses.replace(FULL, model="aMLP", depth=72, dim=768, attention_dim=128),
})
# fmt: on


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    check(config)
    import keras

    from recipes.text import corpus, encoders, pretraining
    from recipes.training import devices, distribution, optimizers, runs

    devices.prepare_training(config, encoders.KINDS[config.model].backbone)
    folder = runs.folder_of(config, "mlm-")
    if runs.completed(folder, config):
        return print(f"This run is complete: {folder}\n{(folder / 'summary.json').read_text()}")
    text = corpus.load(config)
    tokenizer = pretraining.load_tokenizer(config, text, folder)
    pretraining.check_size(config, text, tokenizer)
    task = pretraining.build_task(config, tokenizer.vocabulary_size())
    updates = optimizers.count_updates(config, config.steps)
    warmup_steps = optimizers.limit_warmup(config.warmup_steps, updates)
    task.compile(
        optimizer=optimizers.adamw(
            task, optimizers.LinearDecay(config.learning_rate, warmup_steps, updates), config
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[],
        jit_compile=config.compilation,
    )

    # Not before: a command with a mistake leaves no folder that refuses the corrected one.
    with runs.open_run(folder, config) as run:
        pretraining.keep_tokenizer(tokenizer, folder)
        train, test = pretraining.tokenize(config, text, tokenizer, folder)
        test_every = min(config.test_every, config.steps)
        first_step = run.restore(task) * test_every
        print(
            f"{config.model}, {task.count_params():,} parameters, on {distribution.name()}. "
            f"{tokenizer.vocabulary_size():,} tokens in the vocabulary, {len(train):,} training "
            f"and {len(test):,} test examples. Steps {first_step + 1:,} to {config.steps:,}. Run "
            f"folder: {folder}"
        )
        if first_step < config.steps:
            batches, test_batches = pretraining.batches(
                config, task, tokenizer, train, test, first_step
            )
            tokens = config.batch_size * config.sequence_length
            run.fit(
                task,
                batches,
                validation_data=test_batches,
                epochs=config.steps // test_every,
                steps=test_every,
                unit="tokens",
                per_step=tokens,
                extra=[pretraining.Throughput(tokens), pretraining.Perplexity()],
            )
        task.preprocessor = pretraining.build_preprocessor(config, tokenizer)
        source = ", ".join(config.files) or config.data
        summary = run.finish(
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
        pretraining.delete_tokens(folder)
    print(
        f"Test perplexity {summary['test_perplexity']:.2f} after {config.steps:,} steps, "
        f"{summary['seconds']:.0f} s. Curves: {folder / 'curves.png'}, preset: {folder / 'preset'}"
    )


def check(config):
    """Ends the program if the options do not fit together."""
    if config.steps > config.test_every and config.steps % config.test_every:
        raise SystemExit(
            "--steps must be a multiple of --test_every, or smaller. "
            f"Received: {config.steps} and {config.test_every}"
        )
    if (config.model == "aMLP") != (config.attention_dim is not None):
        raise SystemExit(
            "aMLP requires --attention_dim, and the other models do not take it. Received: --model "
            f"{config.model}, --attention_dim {config.attention_dim}"
        )


if __name__ == "__main__":
    command_line.run(main)
