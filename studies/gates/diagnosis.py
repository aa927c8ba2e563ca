"""Follows gates, attention and gradients of encoders while they are fine-tuned on a task of GLUE.

    python -m studies.gates.diagnosis                                        generated sentences
    python -m studies.gates.diagnosis --config stsb --weights PRESET --data_dir DIR --every 20

It trains as `recipes.glue` does and looks every `--every` steps at the first batch of the test
examples. Each look adds one row per layer to `gates.csv` in the folder of the run, beside a picture
of it, `gates.png`:

* the gates of queries and keys together: mean, quantiles, least and greatest;
* the entropy of the attention, averaged over heads and tokens, divided by the logarithm of the
  number of tokens of an example: 1 if each token attends to all alike, 0 if it attends to one;
* the root mean squares of two gradients: of the gates' weights, and of the projections of queries
  and keys. AdamW's averages estimate them: the root of the mean of `v / (1 - beta_2^steps)`. They
  are gradients after clipping if there is a `--clip_norm`.
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

    # Steps between two looks at the gates.
    every: Count = 20


CONFIGURATIONS = {
    name: Config(**dataclasses.asdict(config)) for name, config in glue.CONFIGURATIONS.items()
}


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
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
            # A plain encoder has no gates, and no encoder has gradients before the first step.
            looks = [x for x in rows if int(x["layer"]) == layer and x[columns[0]]]
            steps = [int(x["step"]) for x in looks]
            middle, *band = ([float(x[column]) for x in looks] for column in columns)
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
