"""Follows gates, attention and gradients of encoders while they are fine-tuned on a task of GLUE.

    python -m studies.gates.diagnosis                                        generated sentences
    python -m studies.gates.diagnosis --config stsb --weights PRESET --data_dir DIR --every 20

It trains as `recipes.glue` does, and stops every `--every` steps to look at the first batch of the
test examples. The folder of each run gets `gates.csv`, with one row a layer each time, and
`gates.png`:

* the gates of queries and keys together: mean, quantiles, the least and the greatest;
* entropy of the attention, the mean over heads and tokens, in units of the logarithm of the number
  of tokens in an example: 1 where all are attended to alike, 0 where each attends to one;
* the root mean square of the gradients of the gates' weights, and of those of the projections of
  queries and keys, as AdamW estimates it from the steps before: the root of the mean of
  `v / (1 - beta_2^steps)`. With `--clip_norm` they are those after clipping.
"""

import dataclasses

from recipes import glue
from recipes.program import command_line, files
from recipes.program.command_line import Count

PROGRAM = "python -m studies.gates.diagnosis"


@dataclasses.dataclass(frozen=True)
class Config(glue.Config):
    """The options of `recipes.glue`, and one more."""

    MEANS = (*glue.Config.MEANS, "every")

    # Steps between two looks.
    every: Count = 20


CONFIGURATIONS = {
    name: Config(**dataclasses.asdict(config)) for name, config in glue.CONFIGURATIONS.items()
}


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    # Not at the top of the file: --help would wait for them.
    from recipes.text import encoders, glue_tasks
    from recipes.text.study import Study
    from recipes.training import devices
    from studies.gates import watching

    for model in config.model:
        command_line.one_of(model, encoders.ATTENTION, "encoder with attention")
    devices.prepare_training(config)
    data = glue_tasks.load(config)
    study = Study("gate_diagnosis", config)
    for job in study.missing():
        path = job.folder / "gates.csv"
        glue.train(job, data, lambda x, path=path: [watching.GateWatch(x, config.every, path)])
        draw(path, job.title)
    study.print_table()


def draw(path, title):
    """Draws the columns of `gates.csv` over the steps, beside the file."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    rows = files.read_rows(path)
    layers = sorted({int(row["layer"]) for row in rows})
    panels = {
        "gate, median and 5 to 95 %": ("gate_50", "gate_5", "gate_95"),
        "entropy of the attention": ("entropy",),
        "gradient of the gates": ("gradient_gate",),
        "gradient of queries and keys": ("gradient_attention",),
    }
    figure = Figure(figsize=(12, 7), layout="constrained")
    for axes, (name, columns) in zip(figure.subplots(2, 2).flat, panels.items(), strict=True):
        for layer in layers:
            # A plain encoder has no gates, and there are no gradients before the first step.
            mine = [x for x in rows if int(x["layer"]) == layer and x[columns[0]]]
            steps = [int(x["step"]) for x in mine]
            middle, *band = ([float(x[column]) for x in mine] for column in columns)
            color = colormaps["viridis"](layer / max(len(layers) - 1, 1))
            axes.plot(steps, middle, color=color, label=f"layer {layer}")
            if band:
                axes.fill_between(steps, *band, color=color, alpha=0.1)
        axes.set(xlabel="step", ylabel=name)
        axes.grid(alpha=0.3)
        if name.startswith("gradient"):
            axes.set_yscale("log")
    axes.legend(fontsize="small")
    figure.suptitle(title)
    figure.savefig(path.with_suffix(".png"), dpi=120)


if __name__ == "__main__":
    command_line.run(main)
