"""Compares levels of inhibition, and activations in the gate, on a task of GLUE.

    python -m studies.gates.levels                                      generated sentences
    python -m studies.gates.levels --config cola --weights PRESET --data_dir DIR --seeds 5

It tests two findings of the authors of "giMLPs" (arXiv:2208.00929): the best inhibition level is
either 0.1 or 0.3, compared with 0 and 0.9 (their README), and the best activations have a short,
smooth negative tail (the paper). Levels are compared with the first activation, activations at one
level. The gates start near 1, as in the released code: a gate with ReLU that starts at exactly 1
never changes. The folder of the study gets the table and `levels.png`. Our own results are in
studies/gates/README.md.
"""

import dataclasses

from recipes import glue
from recipes.program import command_line
from recipes.program.command_line import Fraction

PROGRAM = "python -m studies.gates.levels"


@dataclasses.dataclass(frozen=True)
class Config(glue.Config):
    """The options of `recipes.glue`, and one more."""

    # Inhibition at which the activations are compared.
    activation_inhibition: Fraction = 0.3


def make_study(config):
    """Returns the study on the task of a configuration of `recipes.glue`."""
    return Config(
        **dataclasses.asdict(config)
        | {
            "model": ("BERT", "giBERT"),
            "inhibition": (0.0, 0.1, 0.3, 0.9),
            "activation": ("gelu", "silu", "relu", "leaky_relu", "softplus"),
            "gate_stddev": 0.02,
        }
    )


CONFIGURATIONS = {
    name: make_study(config)
    for name, config in glue.CONFIGURATIONS.items()
    if not name.startswith(("gimlp_", "gmlp_"))
}
# A demonstration of less than a minute.
CONFIGURATIONS["generated"] = dataclasses.replace(
    CONFIGURATIONS["generated"],
    epochs=3,
    num_layers=1,
    inhibition=(0.0, 0.3, 0.9),
    activation=("gelu", "relu"),
)


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    from recipes.text import glue_tasks
    from recipes.text.study import Study
    from recipes.training import devices, distribution

    devices.prepare_training(config)
    data = glue_tasks.load(config)
    study = Study("gate_levels", config, list_settings(config))
    for job in study.missing():
        glue.train(job, data)
    study.print_table()
    if distribution.process() == 0:
        path = study.folder / "levels.png"
        draw(config, study.table, path)
        print(f"Plot: {path}")


def list_settings(config):
    """Returns the plain encoders and the gated ones, at each level and with each activation."""
    from recipes.text import study

    levels = dataclasses.replace(config, activation=config.activation[:1])
    activations = dataclasses.replace(config, inhibition=(config.activation_inhibition,))
    settings = (*study.list_settings(levels), *study.list_settings(activations))
    return list(dict.fromkeys(settings))


def draw(config, table, path):
    """Draws the first score of each setting, mean and standard deviation."""
    from matplotlib.figure import Figure

    metric = next(iter(table[0]["mean"]))
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = {
        "inhibition": lambda row: row["activation"] == config.activation[0],
        "activation": lambda row: row["inhibition"] == config.activation_inhibition,
    }
    for axes, (name, belongs) in zip(
        figure.subplots(1, 2, sharey=True), panels.items(), strict=True
    ):
        for model in config.model:
            rows = [row for row in table if row["model"] == model]
            gated = [row for row in rows if row["inhibition"] is not None and belongs(row)]
            if gated:
                axes.errorbar(
                    [str(row[name]) for row in gated],
                    [100 * row["mean"][metric] for row in gated],
                    [100 * (row["std"][metric] or 0) for row in gated],
                    fmt="o",
                    capsize=4,
                    label=model,
                )
            else:
                axes.axhline(100 * rows[0]["mean"][metric], color="gray", label=model)
        axes.set(xlabel=name, ylabel=f"{metric}, %")
        axes.grid(alpha=0.3)
        axes.legend()
    seeds = table[0]["seeds"]
    figure.suptitle(f"{config.task}, {seeds} seed{'s' if seeds > 1 else ''} per setting")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    command_line.run(main)
