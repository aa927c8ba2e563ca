"""Measures speed and memory of models, beside the peers that are installed.

    python -m studies.speed
    python -m studies.speed --config gmlp
    python -m studies.speed --models CycleMLP_B1 "giBERT_Base(rank=64)" --modes training

A model is written as a call without what has a default; remat=True among its arguments computes its
blocks again in the backward pass. Peers are timm's models and the deformable form of CycleMLP on
PyTorch, KerasHub's plain encoders, and g-mlp-pytorch, each of them if its package is installed.

Everything runs in a process of its own, and what is compared takes turns. Each says how long its
first step took, which compiles, and then takes the same number of steps in every round; between
them it multiplies two large matrices, to whose rate the model's is compared. Tables, a chart and
files in the columns of timm's results are written, with the targets that were measured.
"""

import dataclasses
import itertools
import os
import pathlib
import time
from typing import Literal

from recipes.program import command_line, machine, workers
from recipes.program.command_line import Count, Whole
from studies.speed import process, report, subjects

PROGRAM = "python -m studies.speed"
PACKAGES = ("keras_gimlp", "keras", "keras-hub", "numpy", "tensorflow", "jax", "torch")
PACKAGES += ("timm", "torchvision", "g-mlp-pytorch", "onnxruntime", "openvino")
PAUSE = 0.3  # seconds in which the threads of the last one stop waiting for more work
TOLERANCE = 1e-4  # what a peer with our weights may differ, as a share of the largest output


@dataclasses.dataclass(frozen=True)
class Config:
    """What to measure. The comments are the help of the command line."""

    # Configuration that gives every other option its default.
    config: str = "short"
    # Folder of the results. None: runs/benchmark-CONFIG.
    run_dir: str | None = None
    # Models of keras_gimlp.applications, such as gMLP_S or "giBERT_Base(rank=64)".
    models: tuple[str, ...] = ("gMLP_Ti", "CycleMLP_B1")
    # Backends of Keras. None: those that are installed.
    backends: tuple[Literal["tensorflow", "jax", "torch"], ...] | None = None
    # Files that recipes.export wrote for ONNX Runtime or OpenVINO, measured in inference too.
    files: tuple[str, ...] = ()
    # Whether to measure the installed peers too.
    peers: bool = True
    # What a step is.
    modes: tuple[Literal["inference", "training"], ...] = ("inference", "training")
    # Precision of the computation. With bfloat16 the weights are bfloat16 too, in inference alone.
    precisions: tuple[Literal["float32", "mixed_bfloat16", "bfloat16"], ...] = ("float32",)
    # on: compiled by XLA, on PyTorch by torch.compile. off: not, except on JAX. auto: as Keras does
    # it, which does not compile on PyTorch.
    jit_compile: tuple[Literal["auto", "on", "off"], ...] = ("auto",)
    # Examples of a step.
    batch_sizes: tuple[Count, ...] = (8,)
    # Sides of the images in pixels.
    image_sizes: tuple[Count, ...] = (224,)
    # Tokens of the texts.
    sequence_lengths: tuple[Count, ...] = (128,)
    # Steps before the measurement, after the first.
    warmup_steps: Whole = 2
    # Steps of a turn.
    steps: Count = 2
    # Turns of each.
    rounds: Count = 3
    # Whether to list the operations that take the most time, of what runs on PyTorch.
    profile: bool = False
    # Side of the matrices whose product gives the matrix rate. None: 2048, 8192 on an accelerator.
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
    # This process asks Keras for names and sizes alone.
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
    """Returns how far the peers that compute what we do are from us, with the same weights.

    Ends the program if one of them computes something else.
    """
    found = {}
    for subject in chosen:
        name = f"{subject.model} of {subject.library}"
        if subject.library not in (subjects.TIMM, subjects.TORCHVISION) or name in found:
            continue
        worker = workers.Worker(process.compare, dataclasses.replace(subject, batch_size=2))
        try:
            found[name] = worker.receive()
        except workers.Failed as error:
            raise SystemExit(
                f"{name} cannot be compared with {subject.ours}: {error}. --no_peers leaves it out."
            ) from None
        worker.stop()
        if found[name] > TOLERANCE:
            raise SystemExit(
                f"{name} does not compute what {subject.ours} computes: with the same weights "
                f"they differ by {found[name]:.2g} of the largest output."
            )
        print(f"{name} computes what {subject.ours} computes, to {found[name]:.0e}", flush=True)
    return found


def measure(config, members):
    """Returns a row for each subject; they take turns."""
    print(f"\n{members[0].group}", flush=True)
    speakers = {subject: answers(config, subject) for subject in members}
    found, failed = {subject: [] for subject in members}, {}
    for _ in range(1 + config.rounds):  # first all are built, one at a time
        for subject, speaker in speakers.items():
            try:
                found[subject] += itertools.islice(speaker, 1)
            except workers.Failed as error:
                failed[subject] = str(error)
    rows = []
    for subject, speaker in speakers.items():
        speaker.close()
        if subject in failed:
            rows.append(report.make_failed_row(subject, failed[subject]))
        else:
            facts, *turns = found[subject]
            rows.append(report.make_row(subject, facts, turns))
        print(report.describe(rows[-1]), flush=True)
    return rows


def answers(config, subject):
    """Yields what is known of a subject when it is built, and then what it took in each round."""
    worker = workers.Worker(process.serve, config, subject)
    try:
        yield worker.receive()
        for _ in range(config.rounds):
            time.sleep(PAUSE)
            yield worker.ask("turn")
    finally:
        worker.stop()


if __name__ == "__main__":
    command_line.run(main)
