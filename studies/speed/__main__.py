"""Measures speed and memory of models and of the installed libraries that we compare with.

    python -m studies.speed
    python -m studies.speed --config gmlp
    python -m studies.speed --models CycleMLP_B1 "giBERT_Base(rank=64)" --modes training

A model is written as a call with the arguments that differ from their defaults; the argument
remat=True recomputes its blocks in the backward pass. Peers are, where their packages are
installed, timm's models and the deformable form of CycleMLP (torchvision) on PyTorch, KerasHub's
plain encoders, and g-mlp-pytorch.

Each model runs in a process of its own, and the models of a group take turns. The first step, which
compiles, is timed alone. In every round a model takes the same number of steps and then multiplies
two large matrices: the tables give its rate of multiplications relative to theirs. The results are
benchmark.json with every number, benchmark.md with tables and benchmark.png with a chart.
"""

import dataclasses
import os
import pathlib
import time
from typing import Literal

from recipes.program import command_line, machine
from recipes.program.command_line import Count, Whole
from studies import workers
from studies.speed import process, report, subjects

PROGRAM = "python -m studies.speed"
PACKAGES = ("keras_gimlp", "keras", "keras-hub", "numpy", "tensorflow", "jax", "torch")
PACKAGES += ("timm", "torchvision", "g-mlp-pytorch", "onnxruntime", "openvino")
PAUSE = 0.3  # seconds, in which the threads of the previous model stop waiting for more work
TOLERANCE = 1e-4  # of a peer with our weights, relative to the largest output


@dataclasses.dataclass(frozen=True)
class Config:
    """What to measure."""

    # Configuration that gives every other option its default.
    config: str = "short"
    # Folder of the results, which must be empty. None: runs/benchmark-CONFIG.
    run_dir: str | None = None
    # Models of keras_gimlp.applications, such as gMLP_S or "giBERT_Base(rank=64)".
    models: tuple[str, ...] = ("gMLP_Ti", "CycleMLP_B1")
    # Backends of Keras. None: all that are installed.
    backends: tuple[Literal["tensorflow", "jax", "torch"], ...] | None = None
    # Files that recipes.export wrote for ONNX Runtime or OpenVINO, measured in inference.
    files: tuple[str, ...] = ()
    # Whether to measure the installed peers too.
    peers: bool = True
    # Kinds of steps.
    modes: tuple[Literal["inference", "training"], ...] = ("inference", "training")
    # Precision of the computation. bfloat16, with weights of bfloat16 too, is for inference only.
    precisions: tuple[Literal["float32", "mixed_bfloat16", "bfloat16"], ...] = ("float32",)
    # on: compiled by XLA, on PyTorch by torch.compile. off: not compiled, except on JAX. auto: as
    # Keras does by default, which does not compile on PyTorch.
    jit_compile: tuple[Literal["auto", "on", "off"], ...] = ("auto",)
    # Examples per step.
    batch_sizes: tuple[Count, ...] = (8,)
    # Sides of the images in pixels.
    image_sizes: tuple[Count, ...] = (224,)
    # Tokens per text.
    sequence_lengths: tuple[Count, ...] = (128,)
    # Steps between the first and the measurement.
    warmup_steps: Whole = 2
    # Steps per turn.
    steps: Count = 2
    # Turns per model.
    rounds: Count = 3
    # Whether to list the slowest operations of the models that run on PyTorch.
    profile: bool = False
    # Side of the matrices whose product gives the matrix rate. None: 2048, on accelerators 8192.
    matrix_size: Count | None = None


ALL = Config(jit_compile=("on", "off"), rounds=7)
CONFIGURATIONS = command_line.named(
    {
        "short": Config(),
        # gMLP in both precisions, and what recomputing its blocks costs.
        "gmlp": dataclasses.replace(
            ALL,
            models=("gMLP_S", "gMLP_S(remat=True)"),
            precisions=("float32", "mixed_bfloat16", "bfloat16"),
        ),
        "images": dataclasses.replace(ALL, models=("CycleMLP_B1", "MLPMixer_B16", "ResMLP_S24")),
        "texts": dataclasses.replace(
            ALL,
            models=(
                *("giBERT_Base", "giBERT_Base(rank=64)"),
                *("gMLP_MLM_Base", "gMLP_MLM_Base(remat=True)"),
            ),
            modes=("training",),
            jit_compile=("auto",),
        ),
        "long_texts": dataclasses.replace(
            ALL,
            models=("gMLP_MLM_Base",),
            modes=("training",),
            jit_compile=("auto",),
            sequence_lengths=(512,),
        ),
        # For an accelerator.
        "accelerator": dataclasses.replace(
            ALL,
            models=(
                *("gMLP_S", "gMLP_B", "CycleMLP_B1", "CycleMLP_B5", "MLPMixer_B16"),
                *("giDeBERTaV3_Base", "gMLP_MLM_Base"),
            ),
            backends=("jax", "torch"),
            precisions=("mixed_bfloat16", "bfloat16"),
            jit_compile=("on",),
            batch_sizes=(128,),
            steps=10,
        ),
    }
)


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    config = dataclasses.replace(config, backends=subjects.installed(config.backends))
    # This process asks Keras for names and sizes only.
    os.environ.setdefault("KERAS_BACKEND", config.backends[0])
    chosen = subjects.list_subjects(config)
    folder = open_folder(pathlib.Path(config.run_dir or f"runs/benchmark-{config.config}"))
    record = machine.circumstances(PACKAGES) | {
        "hardware": machine.processor(),
        "config": dataclasses.asdict(config),
        "differences": check_peers(chosen),
    }
    rows = []
    for group in dict.fromkeys(subject.group for subject in chosen):
        rows += measure(config, [subject for subject in chosen if subject.group == group])
        report.write(folder, record, rows)
    print(f"\n{(folder / 'benchmark.md').read_text()}\nWritten to {folder}")


def open_folder(folder):
    """Makes the folder of the results, or ends the program if it holds any files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise SystemExit(
                f"{folder} holds files already, and was left as it is. Choose another --run_dir."
            )
    except OSError as error:
        raise SystemExit(f"The folder of the results cannot be made: {error}") from error
    return folder


def check_peers(chosen):
    """Returns how far peers of the same architecture are from our models with the same weights.

    Ends the program if one of them computes something else.
    """
    differences = {}
    for subject in chosen:
        name = f"{subject.model} of {subject.library}"
        if subject.library not in (subjects.TIMM, subjects.TORCHVISION) or name in differences:
            continue
        worker = workers.Worker(process.compare, dataclasses.replace(subject, batch_size=2))
        try:
            differences[name] = worker.ask()
        except workers.Failed as error:
            raise SystemExit(
                f"{name} cannot be compared with {subject.ours}: {error}. --no_peers leaves it out."
            ) from None
        worker.stop()
        if differences[name] > TOLERANCE:
            raise SystemExit(
                f"{name} does not compute what {subject.ours} computes: with the same weights "
                f"they differ by {differences[name]:.2g} of the largest output."
            )
        print(
            f"{name} computes what {subject.ours} computes, to {differences[name]:.0e}", flush=True
        )
    return differences


def measure(config, members):
    """Returns a row for each of the subjects, which take turns."""
    print(f"\n{members[0].group}", flush=True)
    running = {subject: workers.Worker(process.serve, config, subject) for subject in members}
    answers, errors = {subject: [] for subject in members}, {}
    for _ in range(1 + config.rounds):  # in the first, models are built, one at a time
        for subject in members:
            if subject in errors:
                continue
            time.sleep(PAUSE)
            try:
                answers[subject].append(running[subject].ask())
            except workers.Failed as error:
                errors[subject] = str(error)
                running[subject].stop()
    rows = []
    for subject in members:
        if subject in errors:
            rows.append(report.make_failed_row(subject, errors[subject]))
        else:
            running[subject].stop()
            facts, *turns = answers[subject]
            rows.append(report.make_row(subject, facts, turns))
        print(report.describe(rows[-1]), flush=True)
    return rows


if __name__ == "__main__":
    command_line.run(main)
