"""How fast and how small we mean to be, as ratios of what was measured in one run.

A target is met or missed by the best of the rows that it is about, against the best of those that
they are compared with. A target whose rows were not measured is left out.
"""

import dataclasses

import numpy as np

from recipes.program import files
from studies.speed.subjects import (
    BACKENDS,
    KERAS_HUB,
    OURS,
    RUNTIMES,
    TIMM,
    TIMM_NAMES,
    TORCHVISION,
)

# Of a row, in each of its rounds if it is measured in rounds; and which is the best.
VALUES = {
    "rate": (lambda row: row["batch_size"] / np.array(row["seconds"]), max),
    # What one computes more than the other is counted as work done.
    "arithmetic": (lambda row: row["macs"] * row["batch_size"] / np.array(row["seconds"]), max),
    "time": (lambda row: np.array(row["seconds"]), min),
    "memory": (lambda row: row["mebibytes"], min),
    "first step": (lambda row: row["first_step_seconds"], min),
}


@dataclasses.dataclass(frozen=True)
class Target:
    """A bound on a ratio of two measured values.

    Attributes:
        value: What is compared, one of `VALUES`.
        ours: What a row has that it is about; a tuple is any of several.
        theirs: What a row has that it is compared with, in the same batch and size; `None` for a
            bound on our value itself.
        least: The least ratio that meets it, or `None`.
        most: The greatest one, or `None`.
    """

    value: str
    ours: dict
    theirs: dict | None
    least: float | None = None
    most: float | None = None


FLOAT32 = {"precision": "float32"}
BFLOAT16 = {"precision": ("mixed_bfloat16", "bfloat16")}
ON_PROCESSOR = {"device": "processor", "batch_size": 8}
ON_ACCELERATOR = {"device": "accelerator", "compiled": True}
IMAGES = ON_PROCESSOR | {"size": 224}
EAGER, COMPILED = {"compiled": False}, {"compiled": True}


def ours(model, *conditions):
    return having(conditions, library=OURS, model=model)


def timm(model, *conditions):
    return having(conditions, library=TIMM, model=TIMM_NAMES[model])


def exported(model, *conditions):
    return having(conditions, library=tuple(RUNTIMES.values()), source=model)


def deformable(model, *conditions):
    return having(conditions, library=TORCHVISION, model=model)


def plain(model, *conditions):
    return having(conditions, library=KERAS_HUB, model=model)


def having(conditions, **found):
    """Returns what a row has that is about a model of a library in a case."""
    for condition in conditions:
        found |= condition
    return found


def on(backend):
    return {"backend": backend}


def gmlp_inference():
    case = IMAGES | {"mode": "inference"}
    one, half = case | FLOAT32, case | BFLOAT16
    eager = timm("gMLP_S", one, EAGER)
    return [
        Target("rate", ours("gMLP_S", one), timm("gMLP_S", one), least=1.10),
        Target("rate", ours("gMLP_S", half), timm("gMLP_S", half, COMPILED), least=1.10),
        Target(
            "rate",
            ours("gMLP_S", half, on("tensorflow")),
            ours("gMLP_S", one, on("tensorflow")),
            least=1.0,
        ),
        Target("rate", ours("gMLP_S", one, on("jax")), eager, least=0.85),
        Target("rate", ours("gMLP_S", one, on("torch"), EAGER), eager, least=1.0),
        Target("rate", exported("gMLP_S", case), timm("gMLP_S", half, COMPILED), least=1.4),
    ]


def gmlp_training():
    case = IMAGES | {"mode": "training"}
    one, half = case | FLOAT32, case | BFLOAT16
    eager = timm("gMLP_S", one, EAGER)
    again = "gMLP_S(remat=True)"
    return [
        Target("rate", ours("gMLP_S", one), timm("gMLP_S", one), least=1.10),
        Target("rate", ours("gMLP_S", half), timm("gMLP_S", half), least=1.05),
        Target("rate", ours("gMLP_S", one, on("jax")), eager, least=0.55),
        *(Target("memory", ours("gMLP_S", one, on(b)), eager, most=1.0) for b in BACKENDS),
        *(Target("memory", ours(again, one, on(b)), eager, most=0.6) for b in BACKENDS),
    ]


def other_images():
    found = []
    for mode, bounds in (("inference", (2.7, 2.7, 2.2)), ("training", (3.0, 3.0, 3.0))):
        case = IMAGES | FLOAT32 | {"mode": mode}
        authors = deformable("CycleMLP_B1", case, EAGER)
        for backend, least in zip(BACKENDS, bounds, strict=True):
            found.append(Target("rate", ours("CycleMLP_B1", case, on(backend)), authors, least))
        for model in ("MLPMixer_B16", "ResMLP_S24"):
            found.append(Target("rate", ours(model, case), timm(model, case, EAGER), least=1.0))
    return found


def texts():
    found = []
    for backend in BACKENDS:
        case = ON_PROCESSOR | FLOAT32 | {"mode": "training"} | on(backend)
        short, long = case | {"size": 128}, case | {"size": 512}
        bert = plain("BERT_Base", short)
        gmlp, again = (ours(f"gMLP_MLM_Base{x}", short) for x in ("", "(remat=True)"))
        found += [
            Target("arithmetic", ours("giBERT_Base", short), bert, least=0.97),
            Target("rate", ours("giBERT_Base(rank=64)", short), bert, least=0.95),
            Target("arithmetic", gmlp, bert, least=0.97),
            Target("arithmetic", ours("gMLP_MLM_Base", long), plain("BERT_Base", long), least=0.97),
            Target("memory", again, bert, most=1.1),
            Target("time", again, gmlp, most=1.35),
        ]
    return found


def first_steps():
    found = []
    for mode in ("inference", "training"):
        case = IMAGES | FLOAT32 | COMPILED | {"mode": mode}
        torch = ours("gMLP_S", case, on("torch"))
        found.append(Target("first step", torch, timm("gMLP_S", case), most=2.0))
        for backend in ("tensorflow", "jax"):
            found.append(Target("first step", ours("gMLP_S", case, on(backend)), None, most=20.0))
    return found


def accelerator():
    found = []
    for mode in ("inference", "training"):
        case = ON_ACCELERATOR | BFLOAT16 | {"mode": mode}
        for backend in ("jax", "torch"):
            for model in ("gMLP_S", "gMLP_B", "MLPMixer_B16"):
                here = ours(model, case, on(backend))
                found.append(Target("rate", here, timm(model, case), least=1.0))
            for model in ("CycleMLP_B1", "CycleMLP_B5"):
                here = ours(model, case, on(backend))
                found.append(Target("rate", here, deformable(model, case), least=1.0))
            # timm has no texts: what arithmetic allows beside the plain encoder.
            for model, other in (
                ("giDeBERTaV3_Base", "DeBERTaV3_Base"),
                ("gMLP_MLM_Base", "BERT_Base"),
            ):
                here, there = (f(m, case, on(backend)) for f, m in ((ours, model), (plain, other)))
                found.append(Target("arithmetic", here, there, least=1.0))
    return found


TARGETS = (
    *gmlp_inference(),
    *gmlp_training(),
    *other_images(),
    *texts(),
    *first_steps(),
    *accelerator(),
)


def evaluate(rows):
    """Returns a dictionary for each target in each batch and size that it was measured in."""
    rows = [row for row in rows if "seconds" in row]
    found = []
    for target in TARGETS:
        for case in dict.fromkeys((row["batch_size"], row["size"]) for row in rows):
            here = [row for row in rows if (row["batch_size"], row["size"]) == case]
            mine = best(target.value, here, target.ours)
            theirs = target.theirs and best(target.value, here, target.theirs)
            if mine is None or (target.theirs and theirs is None):
                continue
            ratio = ratio_of(target.value, mine, theirs)
            found.append(
                {
                    "value": target.value,
                    "ours": describe(mine),
                    "theirs": theirs and describe(theirs),
                    "ratio": ratio,
                    "least": target.least,
                    "most": target.most,
                    "met": ratio <= target.most if target.least is None else ratio >= target.least,
                }
            )
    return found


def best(value, rows, wanted):
    """Returns the best of the rows that have what is wanted, `None` if there is none."""
    function, choose = VALUES[value]
    found = [row for row in rows if has(row, wanted) and function(row) is not None]
    return choose(found, key=lambda row: float(np.median(function(row))), default=None)


def has(row, wanted):
    return all(
        row[key] in value if isinstance(value, tuple) else row[key] == value
        for key, value in wanted.items()
    )


def ratio_of(value, row, other=None):
    """Returns the ratio of two rows: of those that took turns, the median of the rounds."""
    function, _ = VALUES[value]
    if other is None:
        return float(np.median(function(row)))
    if row["group"] == other["group"]:
        return float(np.median(np.divide(function(row), function(other))))
    return float(np.median(function(row)) / np.median(function(other)))


def describe(row):
    return f"{row['label']}; {row['group'].split(', ', 1)[1]}"


def format_targets(found):
    """Returns the targets as a table in Markdown."""
    lines = []
    for row in found:
        bound = f"<= {row['most']:g}" if row["least"] is None else f">= {row['least']:g}"
        measured = f"{row['ratio']:.2f}" if row["theirs"] else f"{row['ratio']:.1f} s"
        met = "yes" if row["met"] else "no"
        lines.append([row["value"], row["ours"], row["theirs"] or "", measured, bound, met])
    columns = ["what", "ours, the best", "compared with, the best", "measured", "target", "met"]
    return files.markdown_table(columns, lines)
