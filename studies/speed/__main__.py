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

from recipes.program import command_line, machine
from studies import workers
from studies.speed import process, report, subjects
from studies.speed.configurations import CONFIGURATIONS

PROGRAM = "python -m studies.speed"
PACKAGES = ("keras_gimlp", "keras", "keras-hub", "numpy", "tensorflow", "jax", "torch")
PACKAGES += ("timm", "torchvision", "g-mlp-pytorch", "onnxruntime", "openvino")
PAUSE = 0.3  # seconds, in which the threads of the previous model stop waiting for more work
TOLERANCE = 1e-4  # of a peer with our weights, relative to the largest output


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
