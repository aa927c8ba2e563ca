"""What the fine-tuning recipes share: the same training for every model, inhibition and seed.

A study is a folder. Each of its runs has a folder in it (see `runs.py`), `results.json` and
`results.md` compare them.
"""

import dataclasses
import itertools
import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.program import command_line, files, machine
from recipes.text import encoders
from recipes.training import devices, distribution, optimizers, runs, streams

WIDTH_STEP = 32  # tokens; batches are as wide as their longest example, rounded up to this


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


def list_settings(config):
    """Returns the settings that a configuration asks for."""
    found = []
    for model in config.model:
        command_line.one_of(model, encoders.MODELS, "text encoder")
        gates = itertools.product(config.inhibition, config.activation)
        gated = encoders.is_gated(model)
        found += [Setting(model, *gate) for gate in gates] if gated else [Setting(model)]
    return found


@dataclasses.dataclass(frozen=True)
class Job:
    """One setting to train with one seed.

    Attributes:
        title: Text above its curves.
        setting: The `Setting`.
        config: The options of the recipe, with this setting and seed alone.
        folder: Path of the run.
    """

    title: str
    setting: Setting
    config: Any
    folder: pathlib.Path

    def describe(self, task, size, steps, first_epoch):
        """Prints what is trained, and from where on."""
        trained = sum(int(np.prod(variable.shape)) for variable in task.trainable_variables)
        print(
            f"{self.setting.name}, seed {self.config.seed}, {task.count_params():,} parameters, "
            f"{trained:,} of them trained, on {distribution.name()}. {size:,} training "
            f"examples. Epochs {first_epoch + 1} to {self.config.epochs}, {steps:,} steps each. "
            f"Run folder: {self.folder}"
        )

    def keep_predictions(self, predictions):
        """Writes what is predicted for the test examples, which `paired_test` compares."""
        if not distribution.process():
            files.write_json(self.folder / files.PREDICTIONS, predictions)

    def finish(self, run, task, encoder):
        """Saves the trained task as a preset, and marks the run as complete."""
        columns = distribution.from_first(lambda: files.read_metrics(run.folder)[-1])
        scores = {name.removeprefix("val_"): name for name in columns if name.startswith("val_")}
        run.finish(
            title=self.title,
            panels={"loss": {"training": "loss"}, "score": scores},
            results=scores,
            parameters=task.count_params(),
            save=lambda path: encoders.save(task, encoder.tokenizer, path),
            model_name="preset",
        )


class Study:
    """The comparison of encoders on one task: a run of every setting with every seed, and a table.

    Args:
        program: Name of the recipe, for the folder and the titles.
        config: A `FineTuning`.
        settings: List of `Setting`s, `None` for those that `config` asks for.
    """

    def __init__(self, program, config, settings=None):
        self.program = program
        self.config = config
        self.folder = pathlib.Path(config.run_dir or f"runs/{program}-{config.config}")
        self.summaries = {setting: [] for setting in settings or list_settings(config)}

    def missing(self):
        """Yields the `Job`s that are not complete yet, and writes the table after each.

        Seed by seed: a study that is stopped early has compared all settings.
        """
        for seed in range(self.config.seed, self.config.seed + self.config.seeds):
            for setting, summaries in self.summaries.items():
                job = self.plan(setting, seed)
                summary = runs.completed(job.folder, job.config)
                if summary is None:
                    encoder = encoders.kind(setting.model, "Backbone")
                    devices.prepare_training(job.config, encoder)
                    yield job
                    summary = runs.completed(job.folder, job.config)
                else:
                    print(f"This run is complete: {job.folder}")
                summaries.append(summary)
                self.write_table()

    def plan(self, setting, seed):
        """Returns the `Job` of a setting and a seed."""
        config = dataclasses.replace(
            self.config,
            run_dir=None,
            seed=seed,
            seeds=1,
            model=(setting.model,),
            inhibition=tuple(x for x in (setting.inhibition,) if x is not None),
            activation=tuple(x for x in (setting.activation,) if x is not None),
        )
        title = f"{setting.name} in {self.program}, {config.config}, seed {seed}"
        folder = self.folder / f"{setting.name}-{keras.backend.backend()}-seed{seed}"
        return Job(title, setting, config, folder)

    @property
    def table(self):
        """The results so far, one dictionary a setting."""
        return [summarize(setting, found) for setting, found in self.summaries.items() if found]

    def write_table(self):
        """Writes the table into the folder of the study."""
        if distribution.process():
            return
        files.write_json(self.folder / "results.json", self.table)
        (self.folder / "results.md").write_text(format_table(self.table))

    def print_table(self):
        """Prints the table, and where it is."""
        print(f"\n{format_table(self.table)}\nTable: {self.folder / 'results.md'}")


def optimizer(task, config, steps):
    """Returns AdamW whose learning rate rises and falls linearly over the whole run.

    Args:
        task: The built task.
        config: A `FineTuning`.
        steps: Integer, batches of an epoch.
    """
    updates = optimizers.count_updates(config, config.epochs * steps)
    warmup_steps = round(config.warmup_fraction * updates)
    schedule = optimizers.LinearDecay(config.learning_rate, warmup_steps, updates)
    return optimizers.adamw(task, schedule, config)


def training_batches(task, examples, size, config, first_epoch, prepare=None, token_labels=False):
    """Returns the batches of the epochs from `first_epoch` on, as one stream.

    Args:
        task: The task that is trained.
        examples: `tf.data.Dataset` of the training examples in a fixed order.
        size: Integer, how many there are.
        config: A `FineTuning`.
        first_epoch: Integer, 0 in a new run.
        prepare: Function from a batch of examples to the inputs and labels of the task, `None` if
            they are that already.
        token_labels: Whether there is a label for every token. Defaults to `False`.
    """
    examples = streams.epochs(
        examples,
        streams.count_steps(config, size) * config.batch_size,
        shuffle_buffer=size,
        seed=config.seed,
        first_epoch=first_epoch,
        epochs=config.epochs,
    )
    examples = distribution.own(examples, config.batch_size)
    batches = examples.batch(distribution.own_size(config.batch_size), drop_remainder=True)
    if prepare is not None:
        batches = batches.map(prepare, num_parallel_calls=machine.cores())

    def narrow(x, y):
        # TensorFlow's replicas build a model from the sum of their inputs, which no mask may be.
        x = {name: tf.cast(value, "int32") for name, value in x.items()}
        x, width = trim(x, task)
        return x, y[..., :width] if token_labels else y

    return streams.ready(batches.map(narrow, num_parallel_calls=machine.cores()))


def trim(x, task):
    """Cuts off what is padding in the whole batch, down to a few widths that are compiled for.

    Nothing if the task takes one length only, as gMLP with dense spatial weights does, or if other
    processes hold other parts of the batch.

    Returns:
        The inputs, and their width.
    """
    fixed = task.input["padding_mask"].shape[-1]
    if fixed is not None or distribution.processes() > 1:
        return x, x["padding_mask"].shape[-1]
    mask = tf.cast(x["padding_mask"], tf.int32)
    longest = tf.reduce_max(tf.reduce_sum(mask, axis=-1))
    width = tf.minimum(-(-longest // WIDTH_STEP) * WIDTH_STEP, tf.shape(mask)[-1])
    return {name: value[..., :width] for name, value in x.items()}, width


def fit_arguments(run, config, steps, first_epoch, score, watching=()):
    """Returns the arguments of `fit` that are the same in all recipes.

    Args:
        run: The open `Run`.
        config: A `FineTuning`.
        steps: Integer, batches of an epoch.
        first_epoch: Integer, 0 in a new run.
        score: Function from the task to its scores on all test examples, a dictionary.
        watching: Further callbacks, which report nothing. Defaults to none.
    """
    return {
        "initial_epoch": first_epoch,
        "epochs": config.epochs,
        "steps_per_epoch": steps,
        "callbacks": run.callbacks(
            seed=config.seed,
            unit="examples",
            per_epoch=steps * config.batch_size,
            extra=[*watching, Score(score)],
        ),
        "shuffle": False,  # the stream is shuffled already
        "verbose": run.verbose,
    }


class Score(keras.callbacks.Callback):
    """Adds the scores on the test examples to what each epoch reports."""

    def __init__(self, score):
        super().__init__()
        self.score = score

    def on_epoch_end(self, epoch, logs=None):
        logs.update({f"val_{name}": value for name, value in self.score(self.model).items()})


def predict(task, batches):
    """Yields the output of `task` for each example in a data set of batches of inputs, as an array.

    Unlike Keras' `predict`, it takes batches of different widths, and outputs may depend on these.
    """
    for x in streams.ready(batches):
        yield from distribution.predict_on_batch(task, trim(x, task)[0])


def report_truncated(encoder, texts, sequence_length):
    """Prints how many examples are longer than the inputs of the model, if any.

    Args:
        encoder: An `encoders.TextEncoder`.
        texts: `tf.data.Dataset` of the tuples of texts that make up an example.
        sequence_length: Integer, maximum tokens of an example.
    """
    packer = encoder.packer(sequence_length)

    def count_tokens(*texts):
        counts = [tf.cast(encoder.tokenizer(text).row_lengths(), tf.int32) for text in texts]
        between = (len(texts) - 1) * len(packer.sep_value)
        return sum(counts) + len(packer.start_value) + between + len(packer.end_value)

    batches = texts.batch(1024).map(count_tokens, num_parallel_calls=machine.cores())
    found = np.concatenate(list(streams.ready(batches).as_numpy_iterator()))
    longer = int((found > sequence_length).sum())
    if longer:
        print(
            f"{longer:,} of {len(found):,} training examples are longer than --sequence_length "
            f"{sequence_length} and were truncated; the longest has {found.max():,} tokens."
        )


def summarize(setting, summaries):
    """Returns the row of a setting: its scores, their mean and standard deviation."""
    fixed = (
        "epochs",
        "parameters",
        "seconds",
        "examples_per_second",
        "backend",
        "hardware",
        "devices",
    )
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
        # An estimate from the runs seen: a single one says nothing about the spread.
        "std": {
            name: float(np.std(v, ddof=1)) if len(v) > 1 else None for name, v in values.items()
        },
    }


def format_table(table):
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
    return files.markdown_table(columns, lines)
