"""Writes the model card of a finished run, as model hubs read it.

    python -m recipes.card --run_dir runs/digits-gMLP_Ti-jax-seed0

The card is Markdown below the YAML that hubs read. It states what the run folder holds, and says
where that leaves something open, such as the license of the weights. Read it before you publish it:
it repeats the command and the options, with the paths in them.
"""

import dataclasses
import json
import pathlib
import re
import shlex

from recipes.program import command_line, files

PROGRAM = "python -m recipes.card"
# What hubs call the task of a job.
TASKS = {
    "recipes.image_classification": "image-classification",
    "recipes.mlm_pretraining": "fill-mask",
    "recipes.glue": "text-classification",
    "recipes.ner": "token-classification",
    "recipes.squad": "question-answering",
    "recipes.swag": "multiple-choice",
    # They train as `recipes.glue` does.
    "studies.gates.levels": "text-classification",
    "studies.gates.diagnosis": "text-classification",
}
# What the summary of a run holds beside its scores.
NO_SCORE = re.compile("epochs|parameters|seconds|backend|hardware|devices|.*_per_second")


@dataclasses.dataclass(frozen=True)
class Config:
    """The run to describe."""

    # Folder of the finished run.
    run_dir: pathlib.Path
    # The card. None: README.md in the run folder.
    output: pathlib.Path | None = None
    # License of the weights, as the hub spells it, such as apache-2.0: no run knows it.
    license: str = "unknown"


def main(arguments=None):
    config = command_line.parse_options(Config, PROGRAM, __doc__, arguments)
    text = render(Run(config.run_dir), config.license)
    output = config.output or config.run_dir / "README.md"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, "utf-8")
    except OSError as error:
        raise SystemExit(f"The card cannot be written: {error}") from error
    print(f"Model card: {output}")


class Run:
    """The content of a finished run's folder. Ends the program if it holds none.

    `starts` are the circumstances of each start, `job` is the module of its command, `saved` the
    path of the trained model.
    """

    def __init__(self, folder):
        if not (folder / "config.json").is_file():
            raise SystemExit(
                f"{folder} is no run folder: it has no config.json. Name the folder of one run, in "
                "a study the folder of a model and a seed."
            )
        if not files.is_complete(folder):
            raise SystemExit(
                f"The run in {folder} is not finished. The command that began it continues it."
            )
        record = files.read_json(folder / "config.json")
        self.summary = files.read_json(folder / "summary.json")
        try:
            self.config, self.starts = record["config"], record["starts"]
            command = self.starts[-1]["command"]
            self.job = command[command.index("-m") + 1]
            self.model = self.config["model"]
            self.scores = {k: v for k, v in self.summary.items() if not NO_SCORE.fullmatch(k)}
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise SystemExit(f"{folder} holds no record of a training recipe.") from error
        models = [path for path in (folder / "model.keras", folder / "preset") if path.exists()]
        if self.job not in TASKS or not models:
            raise SystemExit(f"{folder} holds no trained model of {', '.join(TASKS)}.")
        (self.saved,) = models
        if isinstance(self.model, list):  # a run of a study has one
            (self.model,) = self.model

    @property
    def data(self):
        """The name of the data, `None` if the run does not know it."""
        own = self.config.get("data") == "folder" or self.config.get("files")
        return None if own else self.config.get("task") or self.config["data"]


def render(run, license):
    """Returns the text of the card."""
    known = "" if license != "unknown" else ": neither this nor that of the data is in the run"
    data = run.data or "files of its user"
    options = {k: f"`{json.dumps(v) if v is not None else v}`" for k, v in run.config.items()}
    steps = run.config.get("steps")
    length = f"{steps:,} steps" if steps else f"{run.summary['epochs']} epochs"
    return f"""---
{head(run, license)}
---

# {run.model} on {data}

{run.model} of `keras_gimlp`, {run.summary["parameters"]:,} parameters, trained by
`python -m {run.job}`.
{origin(run)}

## Scores

{table(("on the test examples, after the last epoch", "value"), run.scores)}
One run of {length} with seed {run.config["seed"]}. Not known: how far other seeds differ, and how
well the model does on other data.

## Intended use

{task_of(run)}, on data like those that it was trained on. It was tested on
nothing else: its biases, its safety and its fitness for any other purpose are not known.

License: {license}{known}.

## Use

{usage(run)}

## Training

Data: {data}. `None` is the default of the job; for `steps_per_epoch`, as many as the training
examples fill.

{table(("option", "value"), options)}
Training took {run.summary["seconds"]:,.0f} s.

## Circumstances

{"".join(map(circumstances, run.starts))}"""


def head(run, license):
    """Returns the YAML that a hub reads."""
    from huggingface_hub import ModelCardData

    return ModelCardData(
        license=license,
        library_name="keras" if run.saved.suffix == ".keras" else "keras-hub",
        pipeline_tag=TASKS[run.job],
        tags=["keras_gimlp", run.model],
        datasets=[run.data] if run.data else [],
        metrics=[x.removeprefix("test_") for x in run.scores if not x.endswith("loss")],
    ).to_yaml()


def origin(run):
    """Returns a sentence about the initial weights."""
    weights = run.config.get("weights")
    if weights is None:
        return "Its initial weights were random."
    return (
        f"Its initial weights were `{weights}`, whose license and data apply to it "
        "too; they are not in the run."
    )


def task_of(run):
    """Returns what the model does."""
    task = TASKS[run.job].replace("-", " ").capitalize()
    if "image_size" not in run.config:
        return f"{task}, at most {run.config['sequence_length']} tokens"
    return f"{task} of {run.config['image_size']} x {run.config['image_size']} pixels"


def usage(run):
    """Returns how to load the model, its inputs and its outputs."""
    if run.saved.suffix == ".keras":
        weights = run.config["preprocessing"] or run.config["weights"]
        scale = [f"weights={weights!r}", f"model={run.model!r}"] if weights else []
        return f"""```python
import keras
from keras_gimlp import applications

model = keras.saving.load_model("{run.saved.name}")
logits = model(applications.preprocess_input({", ".join(["images", *scale])}))
```

`images` are pixels in [0, 255] of shape (batch, height, width, channels). In the test they were
resized and cut to a central square of {run.config["test_crop"]} of the shorter side."""
    task = files.read_json(run.saved / "task.json")
    ours = task["module"].startswith("keras_gimlp.")
    where = "keras_gimlp import applications" if ours else "keras_hub import models"
    return f"""```python
from {where}

task = {where.split()[-1]}.{task["class_name"]}.from_preset("{run.saved.name}")
```

The preset holds the tokenizer, which was used as it is there."""


def circumstances(start):
    """Returns the lines on one start of the run."""
    versions = {"python": start["python"]} | start["versions"]
    versions = ", ".join(f"{name} {number}" for name, number in versions.items() if number)
    command = shlex.join(["python", *start["command"][1:]])
    return f"""Started {start["time"]} on {start["hardware"]}, commit
{start["commit"] or "not known"}, {versions}:

    {command}

"""


def table(columns, values):
    """Returns a table in Markdown of a dictionary."""
    rows = [[k, f"{v:.6g}" if isinstance(v, float) else str(v)] for k, v in values.items()]
    return files.markdown_table(list(columns), [[x.replace("|", "\\|") for x in r] for r in rows])


if __name__ == "__main__":
    command_line.run(main)
