"""Compares levels of inhibition, and activations in the gate, on a task of GLUE.

    python -m recipes.inhibition_study                                      generated sentences
    python -m recipes.inhibition_study --config cola --weights PRESET --data_dir DIR --seeds 5

Two findings of "giMLPs" (arXiv:2208.00929) are put to the test: that an inhibition of 0.1 or 0.3 is
best, of 0, 0.1, 0.3 and 0.9; and that an activation with a short, smooth negative tail is best. The
activations are compared at one inhibition, the levels with the first of the activations. The table
and `inhibition.png` stand in the folder of the study.

Results of our own are in `recipes/README.md`.
"""

import dataclasses

from recipes import glue
from recipes.common import command_line
from recipes.text import fine_tuning

PROGRAM = "python -m recipes.inhibition_study"


@dataclasses.dataclass(frozen=True)
class Config(glue.Config):
    """The options of `recipes.glue`, and one more."""

    # Inhibition at which the activations are compared.
    activation_inhibition: float = 0.3


def study_of(config):
    """Returns the study on the same task as a configuration of `recipes.glue`."""
    return Config(
        **dataclasses.asdict(config)
        | {
            "model": ("BERT", "giBERT"),
            "inhibition": (0.0, 0.1, 0.3, 0.9),
            "activation": ("gelu", "silu", "relu", "leaky_relu", "softplus"),
        }
    )


CONFIGURATIONS = {
    name: study_of(config)
    for name, config in glue.CONFIGURATIONS.items()
    if not name.startswith(("gimlp_", "gmlp_"))
}
# What shows in less than a minute how a study goes.
CONFIGURATIONS["generated"] = dataclasses.replace(
    CONFIGURATIONS["generated"],
    epochs=3,
    num_layers=1,
    inhibition=(0.0, 0.3, 0.9),
    activation=("gelu", "relu"),
)


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    data = glue.load(config)
    table = fine_tuning.study(
        "inhibition_study",
        config,
        settings_of(config),
        list(data.training_texts()),
        lambda encoder: glue.prepare(encoder, config, data),
    )
    path = fine_tuning.study_folder("inhibition_study", config) / "inhibition.png"
    draw(config, table, path)
    print(f"Plot: {path}")


def settings_of(config):
    """Returns the plain encoders, the gated ones at each level, and those with each activation."""
    levels = dataclasses.replace(config, activation=config.activation[:1])
    activations = dataclasses.replace(config, inhibition=(config.activation_inhibition,))
    every = (*fine_tuning.settings_of(levels), *fine_tuning.settings_of(activations))
    return list(dict.fromkeys(every))


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
    figure.suptitle(f"{config.task}, {seeds} seed{'s' if seeds > 1 else ''} a setting")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
