"""What the language recipes share: the same training for every model, inhibition and seed.

A study is a folder. Each of its runs has a folder in it (see `runs.py`), `results.json` and
`results.md` compare them.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from recipes.common import command_line, devices, optimizers, runs, streams
from recipes.text import encoders

WIDTH_STEP = 32  # tokens; batches are as wide as their longest example, rounded up to this


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """The hyper-parameters of every language recipe. The comments are the help."""

    # Name of the configuration that gives every other option its default; a name that is not there
    # prints those that are.
    config: str = "generated"
    # Folder of the study. The same command again continues it. None: a folder in runs/ named by
    # recipe and configuration.
    run_dir: str | None = None
    # Seed of the first run: the new weights, the order of the examples, the dropout.
    seed: int = 0
    # Runs of each setting, with seeds from --seed on.
    seeds: int = 1

    # Encoders to compare: BERT, RoBERTa, DeBERTaV3, with gates giBERT, giRoBERTa, giDeBERTaV3; gMLP
    # and aMLP.
    model: tuple[str, ...] = ("BERT", "giBERT")
    # Preset of the encoder: a name of KerasHub's, hf://OWNER/NAME, or a folder, such as the one
    # that mlm_pretraining saves. None: a new encoder, with a vocabulary from the training texts.
    weights: str | None = None
    # Levels of inhibition of the gated encoders.
    inhibition: tuple[float, ...] = (0.3,)
    # Activations in the gates, by the names of keras.activations.
    activation: tuple[str, ...] = ("gelu",)
    # How many layers are gated, the last ones. None: all.
    gated_layers: int | None = None
    # Over what the maximum of the inhibition is taken.
    scope: Literal["example", "token", "batch"] = "example"
    # Rank of the gates. None: full.
    rank: int | None = None
    # Train everything, or only the gates and the head.
    train: Literal["all", "gates"] = "all"
    # Dropout rate of gMLP and aMLP. The others have that of their preset or of KerasHub.
    dropout: float = 0.1
    # Tokens in the vocabulary of a new encoder, at most.
    vocabulary_size: int = 500
    # Layers of a new encoder.
    num_layers: int = 2
    # Attention heads of a new encoder.
    num_heads: int = 4
    # Channels of a token in a new encoder.
    hidden_dim: int = 64
    # Hidden units of the feed-forward networks in a new encoder; in gMLP the channels of the
    # expansion.
    intermediate_dim: int = 128
    # Size of the tiny attention's head in a new aMLP.
    attention_dim: int = 16

    # Folder of the data: that of TensorFlow Datasets (None: its default), or the one that the
    # recipe's files are in.
    data_dir: str | None = None
    # Most tokens of an example, the special ones among them.
    sequence_length: int = 32
    # Passes over the training examples.
    epochs: int = 10
    # Batches of an epoch. None: as many as the training examples fill.
    steps_per_epoch: int | None = None
    # Examples of a batch.
    batch_size: int = 32
    # Peak learning rate of AdamW. Rises linearly from 0, then falls linearly to 0.
    learning_rate: float = 1e-3
    # Fraction of all steps during which the learning rate rises.
    warmup_fraction: float = 0.1
    # Decoupled weight decay of the matrices.
    weight_decay: float = 0.01
    # Epsilon of AdamW.
    adam_epsilon: float = 1e-6
    # Largest norm of all gradients together. None: no clipping.
    clip_norm: float | None = 1.0
    # Precision of the computation; the weights are float32 in each.
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"


# Options for a pretrained encoder, and those of giDeBERTaV3-large as far as they are known: batch,
# learning rate and schedule of the authors' logs, and the 10 epochs of their README.
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
# Those of "Pay Attention to MLPs" (Appendix A) for sentences; the paper tried 16 or 32 examples and
# 1e-5 to 3e-5. That nothing is clipped is known of its pre-training alone. Its weights are not
# public: these are where mlm_pretraining saves its own.
GMLP = {
    "model": ("gMLP",),
    "weights": f"runs/mlm-gmlp_base-gMLP-{keras.backend.backend()}-seed0/preset",
    "epochs": 5,
    "learning_rate": 2e-5,
    "clip_norm": None,
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One model of a study. Without gates, `inhibition` and `activation` are `None`."""

    model: str
    inhibition: float | None = None
    activation: str | None = None

    @property
    def name(self):
        """The name of its folders."""
        return "-".join(str(part) for part in dataclasses.astuple(self) if part is not None)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A task for one encoder.

    Attributes:
        task: The encoder under its head.
        examples: `tf.data.Dataset` of the training examples in a fixed order.
        size: Integer, how many there are.
        batch: Function from a batch of `examples` to the inputs and labels.
        score: Function that gives the scores of the trained task by name, on all test examples.
        preprocessor: Layer from texts to inputs, with which the trained task is saved.
        notes: Sentences for the user, such as how many texts were too long.
        token_labels: Whether there is a label for every token.
        write: Function from the trained task and a folder that writes further files there.
    """

    task: Any
    examples: tf.data.Dataset
    size: int
    batch: Callable
    score: Callable
    preprocessor: Any = None
    notes: tuple[str, ...] = ()
    token_labels: bool = False
    write: Callable | None = None


def settings_of(config):
    """Returns the settings that a configuration asks for."""
    found = []
    for model in config.model:
        command_line.one_of(model, encoders.MODELS, "text encoder")
        gates = itertools.product(config.inhibition, config.activation)
        gated = encoders.is_gated(model)
        found += [Setting(model, *gate) for gate in gates] if gated else [Setting(model)]
    return found


def study_folder(program, config):
    """Returns the folder of the study of a recipe."""
    return pathlib.Path(config.run_dir or f"runs/{program}-{config.config}")


def study(program, config, settings, texts, prepare):
    """Runs every setting with every seed, and compares them.

    Args:
        program: Name of the recipe, for the folder and the titles.
        config: A `FineTuning`.
        settings: List of `Setting`s.
        texts: List of the training texts, which give a new encoder its vocabulary.
        prepare: Function from an `encoders.TextEncoder` to a `Prepared`.

    Returns:
        The table: one dictionary a setting.
    """
    for field in ("seeds", "epochs", "batch_size", "steps_per_epoch"):
        if getattr(config, field) is not None and getattr(config, field) < 1:
            raise SystemExit(f"--{field} must be 1 or more. Received: {getattr(config, field)}")
    root = study_folder(program, config)
    devices.prepare(config.precision, config.seed)
    summaries = {setting: [] for setting in settings}
    # Seed by seed: a study that is stopped early has compared all settings.
    for seed in range(config.seed, config.seed + config.seeds):
        for setting in settings:
            name = f"{setting.name}-{keras.backend.backend()}-seed{seed}"
            alone = dataclasses.replace(
                config,
                run_dir=None,
                seed=seed,
                seeds=1,
                model=(setting.model,),
                inhibition=tuple(x for x in (setting.inhibition,) if x is not None),
                activation=tuple(x for x in (setting.activation,) if x is not None),
            )
            summaries[setting].append(run(program, alone, setting, root / name, texts, prepare))
            table = [row(setting, found) for setting, found in summaries.items() if found]
            runs.write_json(root / "results.json", table)
            (root / "results.md").write_text(markdown(table))
    print(f"\n{markdown(table)}\nTable: {root / 'results.md'}")
    return table


def run(program, config, setting, folder, texts, prepare):
    """Trains and tests one setting with one seed, or goes on where it was stopped.

    Returns:
        The summary of the run.
    """
    if runs.is_complete(folder):
        runs.open_run(folder, config)
        print(f"This run is complete: {folder}")
        return runs.summary(folder)
    keras.utils.clear_session()
    devices.set_seed(config.seed)
    encoder = encoders.load(config, setting.model, setting.inhibition, setting.activation, texts)
    prepared = prepare(encoder)
    task = prepared.task
    if prepared.size < config.batch_size:
        raise SystemExit(
            f"--batch_size must be at most the number of training examples, {prepared.size}. "
            f"Received: {config.batch_size}"
        )
    steps = prepared.size // config.batch_size
    steps = min(config.steps_per_epoch or steps, steps)
    total = config.epochs * steps
    schedule = optimizers.LinearDecay(
        config.learning_rate, round(config.warmup_fraction * total), total
    )
    task.compile(
        optimizer=optimizers.adamw(
            task,
            schedule,
            weight_decay=config.weight_decay,
            epsilon=config.adam_epsilon,
            clip_norm=config.clip_norm,
        ),
    )
    # Not before: a command with a mistake leaves no folder that refuses the corrected one.
    runs.open_run(folder, config)
    first_epoch = runs.restore(task, folder)
    trainable = sum(int(np.prod(v.shape)) for v in task.trainable_variables)
    print(
        f"{setting.name}, seed {config.seed}, {task.count_params():,} parameters, {trainable:,} of "
        f"them trained, on {keras.backend.backend()}. {prepared.size:,} training examples. Epochs "
        f"{first_epoch + 1} to {config.epochs}, {steps:,} steps each. Run folder: {folder}"
    )
    for note in prepared.notes:
        print(note)
    if first_epoch < config.epochs:
        runs.fit(
            task,
            lambda first_epoch: training_batches(prepared, config, first_epoch, steps),
            folder,
            seed=config.seed,
            unit="examples",
            batch_size=config.batch_size,
            steps=steps,
            epochs=config.epochs,
            callbacks=[Score(prepared.score)],
        )
    task.preprocessor = prepared.preprocessor
    if prepared.write is not None:
        prepared.write(task, folder)
    scores = [name for name in runs.read_metrics(folder)[-1] if name.startswith("val_")]
    return runs.finish(
        folder,
        title=f"{setting.name} in {program}, {config.config}, seed {config.seed}",
        panels={
            "loss": {"training": "loss"},
            "score": {name.removeprefix("val_"): name for name in scores},
        },
        results={name.removeprefix("val_"): name for name in scores},
        parameters=task.count_params(),
        save=lambda path: encoders.save(task, encoder.tokenizer, path),
        model_name="preset",
    )


def training_batches(prepared, config, first_epoch, steps):
    """Returns the batches of the epochs from `first_epoch` on, as one stream."""
    examples = streams.epochs(
        prepared.examples,
        steps * config.batch_size,
        shuffle_buffer=prepared.size,
        seed=config.seed,
        first_epoch=first_epoch,
        epochs=config.epochs,
    )

    def narrow(x, y):
        x, width = trimmed(x, prepared.task)
        return x, y[..., :width] if prepared.token_labels else y

    return (
        examples.batch(config.batch_size, drop_remainder=True)
        .map(prepared.batch, num_parallel_calls=tf.data.AUTOTUNE)
        .map(narrow, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def trimmed(x, task):
    """Cuts off what is padding in the whole batch, up to a few widths for which is compiled.

    Nothing if the task takes one length only, as gMLP with dense spatial weights does.

    Returns:
        The inputs, and their width.
    """
    fixed = task.input["padding_mask"].shape[-1]
    if fixed is not None:
        return x, fixed
    mask = tf.cast(x["padding_mask"], tf.int32)
    longest = tf.reduce_max(tf.reduce_sum(mask, axis=-1))
    width = tf.minimum(-(-longest // WIDTH_STEP) * WIDTH_STEP, tf.shape(mask)[-1])
    return {name: value[..., :width] for name, value in x.items()}, width


def predictions(task, batches):
    """Yields the outputs of `task` for batches of inputs, as arrays.

    Unlike `predict`, it takes batches of different widths, of which outputs may depend.
    """
    for x in batches:
        yield keras.ops.convert_to_numpy(task.predict_on_batch(trimmed(x, task)[0]))


def truncated(tokenizer, examples, sequence_length):
    """Returns a sentence on how many examples are longer than the inputs of the model, if any.

    Args:
        tokenizer: A KerasHub tokenizer.
        examples: `tf.data.Dataset` of pairs, a tuple of texts and a label.
        sequence_length: Integer, the most tokens of an example.
    """

    def lengths(texts, label):
        counts = [tf.cast(tokenizer(text).row_lengths(), tf.int32) for text in texts]
        return sum(counts) + len(texts) + 1  # with the tokens before, between and after

    found = np.concatenate(list(examples.batch(1024).map(lengths).as_numpy_iterator()))
    longer = int((found > sequence_length).sum())
    if not longer:
        return ()
    return (
        f"{longer:,} of {len(found):,} training examples are longer than --sequence_length "
        f"{sequence_length} and were truncated; the longest has {found.max():,} tokens.",
    )


class Score(keras.callbacks.Callback):
    """Adds the scores on the test examples to what each epoch reports."""

    def __init__(self, score):
        super().__init__()
        self.score = score

    def on_epoch_end(self, epoch, logs=None):
        logs.update({f"val_{name}": value for name, value in self.score(self.model).items()})


def row(setting, summaries):
    """Returns the row of a setting: its scores, their mean and standard deviation."""
    fixed = ("epochs", "parameters", "seconds", "examples_per_second", "backend", "hardware")
    scores = [name for name in summaries[0] if name not in fixed]
    values = {name: [summary[name] for summary in summaries] for name in scores}
    return {
        **dataclasses.asdict(setting),
        "seeds": len(summaries),
        "parameters": summaries[0]["parameters"],
        "seconds": float(np.mean([summary["seconds"] for summary in summaries])),
        "examples_per_second": float(
            np.median([summary["examples_per_second"] for summary in summaries])
        ),
        "scores": values,
        "mean": {name: float(np.mean(v)) for name, v in values.items()},
        # Of the runs seen, an estimate for all: one run tells nothing of the spread.
        "std": {
            name: float(np.std(v, ddof=1)) if len(v) > 1 else None for name, v in values.items()
        },
    }


def markdown(table):
    """Returns the table of a study in Markdown; scores in percent, mean ± standard deviation."""
    scores = list(table[0]["scores"])

    def cell(found, name):
        spread = "" if found["std"][name] is None else f" ± {100 * found['std'][name]:.1f}"
        return f"{100 * found['mean'][name]:.1f}{spread}"

    columns = ["model", "inhibition", "activation", "seeds", *scores, "parameters", "seconds a run"]
    lines = []
    for found in table:
        lines.append(
            [
                found["model"],
                *("" if found[x] is None else str(found[x]) for x in ("inhibition", "activation")),
                str(found["seeds"]),
                *(cell(found, name) for name in scores),
                f"{found['parameters']:,}",
                f"{found['seconds']:.0f}",
            ]
        )
    return runs.markdown_table(columns, lines)
