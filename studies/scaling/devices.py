"""Measures how a training step scales over the devices of one machine, and their communication.

    python -m studies.scaling.devices
    python -m studies.scaling.devices --devices 8 --model gMLP_S --batch_size 64

Weak scaling gives every device the batch of one device, strong scaling an equal part of it. The
devices are CUDA GPUs, or equal shares of the processor's cores. JAX and PyTorch have a process for
each device, TensorFlow has one for all.

Three settings take turns: one device alone, all devices training one model together, and all
devices each training a model of its own. The devices of the last share the machine but communicate
nothing, so the difference is communication, including the time that devices wait for each other.
Results: `scaling.md` and `scaling.json`.
"""

import dataclasses
import multiprocessing
import os
import pathlib
import socket
import time
import types
from typing import Annotated, Literal

import numpy as np

from recipes.program import command_line, files
from recipes.program.command_line import Arguments, Count, Range, Seed
from studies import workers

PROGRAM = "python -m studies.scaling.devices"


@dataclasses.dataclass(frozen=True)
class Config:
    """What to measure."""

    MEANS = ("run_dir",)

    # Configuration that gives every other option its default.
    config: str = "gmlp_ti"
    # Folder of the results. None: runs/scaling_devices-CONFIG-BACKEND.
    run_dir: str | None = None
    # Seed of the initial weights.
    seed: Seed = 0
    # Number of devices.
    devices: Annotated[int, Range(least=2)] = 2
    # Image model, by its name in keras_gimlp.applications.
    model: str = "gMLP_Ti"
    # Arguments of the model that replace its sizes.
    model_args: Arguments = dataclasses.field(default_factory=dict)
    # Side of the images in pixels.
    image_size: Count = 224
    # Images per step on one device.
    batch_size: Count = 8
    # Steps per turn.
    steps: Count = 4
    # Turns to measure, after a first one that compiles.
    rounds: Count = 5
    # Precision of the computation. The weights are always float32.
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"


CONFIGURATIONS = command_line.named({"gmlp_ti": Config()})


@dataclasses.dataclass(frozen=True)
class Setting:
    """Devices that train at the same time, each with `batch_size` images in a step."""

    name: str
    devices: int
    batch_size: int
    together: bool


@dataclasses.dataclass(frozen=True)
class Place:
    """The part of the machine that one process has, and where it finds the other processes."""

    shares: range
    replicas: int  # devices that train together
    environment: dict


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    if config.batch_size % config.devices:
        raise SystemExit(
            f"--batch_size must be a multiple of --devices. Received: {config.batch_size} and "
            f"{config.devices}"
        )
    import keras

    from recipes.training import devices, runs

    backend = keras.backend.backend()
    folder = pathlib.Path(config.run_dir or f"runs/scaling_devices-{config.config}-{backend}")
    with runs.open_run(folder, config):
        seconds = measure(config, backend)
        rows = summarize(config, seconds)
        table, hardware = format_table(rows), devices.hardware()
        record = {"backend": backend, "hardware": hardware, "seconds": seconds, "table": rows}
        files.write_json(folder / "scaling.json", record)
        (folder / "scaling.md").write_text(table)
    print(f"{config.model}, {backend}, {hardware}\n\n{table}")


def list_settings(config):
    """Returns the settings that take turns."""
    count, batch_size = config.devices, config.batch_size
    return [
        Setting("one", 1, batch_size, together=False),
        Setting("weak", count, batch_size, together=True),
        Setting("weak, apart", count, batch_size, together=False),
        Setting("strong", count, batch_size // count, together=True),
        Setting("strong, apart", count, batch_size // count, together=False),
    ]


def measure(config, backend):
    """Returns the seconds of a step of each setting in every round, by the setting's name."""
    alone = [Place(range(i, i + 1), 1, {}) for i in range(config.devices)]
    together, apart = (
        [workers.Worker(serve, config, place) for place in places]
        for places in (places_together(config.devices, backend), alone)
    )
    settings = list_settings(config)
    seconds = {setting.name: [] for setting in settings}
    try:
        workers.ask_all(together)
        workers.ask_all(apart)
        for _ in range(config.rounds + 1):
            for setting in settings:
                members = together if setting.together else apart[: setting.devices]
                slowest = max(workers.ask_all(members, setting.batch_size))
                seconds[setting.name].append(slowest / config.steps)
    finally:  # processes that train together would wait for each other
        for process in multiprocessing.active_children():
            process.kill()
    return {name: rounds[1:] for name, rounds in seconds.items()}  # the first one compiled


def places_together(count, backend):
    """Returns the places of the processes in which `count` devices train together."""
    if backend == "tensorflow":
        return [Place(range(count), count, {})]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    if backend == "jax":
        environment = {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"localhost:{port}",
            "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
            "JAX_COORDINATOR_BIND_ADDRESS": f"0.0.0.0:{port}",  # works without IPv6
        }
        number = "KERAS_DISTRIBUTION_PROCESS_ID"
    else:  # as torchrun does, except that each process sees only its own GPU
        environment = {
            "TORCHELASTIC_RUN_ID": "scaling",
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": port,
            "WORLD_SIZE": str(count),
            "LOCAL_RANK": "0",
        }
        number = "RANK"
    return [Place(range(i, i + 1), count, environment | {number: str(i)}) for i in range(count)]


def serve(config, place):
    """Builds a model, and yields the seconds of a turn for each batch size that it is sent."""
    os.environ |= place.environment
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, place.shares))
    if hasattr(os, "sched_setaffinity"):  # Linux
        cores = np.array_split(sorted(os.sched_getaffinity(0)), config.devices)
        os.sched_setaffinity(0, {int(core) for share in place.shares for core in cores[share]})

    import keras
    import tensorflow as tf

    from recipes import image_classification
    from recipes.images import models
    from recipes.training import callbacks, devices, distribution, streams

    count = len(place.shares)
    run = dataclasses.replace(
        image_classification.CONFIGURATIONS["digits"],
        model=config.model,
        model_args=config.model_args,
        image_size=config.image_size,
        batch_size=place.replicas * config.batch_size,
        seed=config.seed,
        precision=config.precision,
        devices=count if place.environment == {} else "auto",
    )
    devices.prepare_training(run)
    model = models.build(run, types.SimpleNamespace(channels=3, class_names=range(1000)))
    model.compile("adamw", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    shape = (count * config.batch_size, run.image_size, run.image_size, 3)
    images, labels = rng.normal(size=shape).astype("float32"), rng.integers(1000, size=shape[0])
    together = [callbacks.Together()] if distribution.processes() > 1 else []
    batch_size = yield
    while True:
        size = count * batch_size
        batches = tf.data.Dataset.from_tensors((images[:size], labels[:size])).repeat()
        batches = streams.ready(batches)
        begin = time.perf_counter()
        model.fit(
            batches,
            steps_per_epoch=config.steps,
            callbacks=together,
            shuffle=False,  # the same batch in every step
            verbose=0,
        )
        together = []  # PyTorch's hooks stay
        batch_size = yield time.perf_counter() - begin


def summarize(config, seconds):
    """Returns the rows of the table; ratios are medians over the rounds."""

    def ratio(name, other):
        return float(np.median(np.divide(seconds[name], seconds[other])))

    rows = []
    for setting in list_settings(config):
        if setting.name.endswith("apart"):
            continue
        name, batch = setting.name, setting.devices * setting.batch_size
        row = {"setting": name, "devices": setting.devices, "batch of a device": setting.batch_size}
        row["ms a step"] = 1000 * float(np.median(seconds[name]))
        row["images/s"] = batch / float(np.median(seconds[name]))
        if setting.devices > 1:
            work = batch / config.batch_size  # in steps of one device alone
            row["speed-up"] = work * ratio("one", name)
            row["efficiency"] = row["speed-up"] / setting.devices
            row["communication"] = 1 - ratio(f"{name}, apart", name)
        rows.append(row)
    return rows


def format_table(table):
    """Returns the table in Markdown."""
    forms = {
        "ms a step": "{:,.0f}",
        "images/s": "{:.3g}",
        "speed-up": "{:.2f}",
        "efficiency": "{:.0%}",
        "communication": "{:.0%}",
    }
    columns = ["setting", "devices", "batch of a device", *forms]
    return files.markdown_table(
        columns,
        [
            [forms.get(key, "{}").format(row[key]) if key in row else "" for key in columns]
            for row in table
        ],
    )


if __name__ == "__main__":
    command_line.run(main)
