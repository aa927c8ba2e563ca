"""Time and memory of steps, of each kind in a process of its own, in turns with the others."""

import dataclasses
import time

from recipes.program import machine, workers


def measure(serve, config, points):
    """Returns a row for each of the points, which take turns in `config.rounds` rounds.

    A row has the fields of the point, what `serve` says of it, the `milliseconds` of each step and
    the `mebibytes` that steps took at most, `None` where these are not known.

    Args:
        serve: Function of `end`, `config` and a point, run in a process: it sends a dictionary by
            `end.send` when it is ready, and calls `take_turns`.
        config: Passed to `serve`.
        points: Dataclass instances, what to measure.
    """
    running, rows = [], []
    for point in points:
        running.append(workers.Worker(serve, config, point))
        rows.append(dataclasses.asdict(point) | running[-1].receive())  # one is built at a time
    for row in rows:
        row["milliseconds"] = []
    for _ in range(config.rounds):
        for worker, row in zip(running, rows, strict=True):
            row["milliseconds"].append(worker.ask("step"))
    for worker, row in zip(running, rows, strict=True):
        row["mebibytes"] = worker.ask("memory")
        worker.stop()
    return rows


def take_turns(end, step, before):
    """Calls `step` whenever it is asked to, in the process of a point.

    Args:
        end: The worker's end of the pipe.
        step: Function without arguments that returns when the device is done.
        before: MiB that the process held before its first step, or `None`.
    """
    from recipes.training import devices

    while end.recv() == "step":
        start = time.perf_counter()
        step()
        end.send(1000 * (time.perf_counter() - start))
    most = machine.resident("VmHWM")
    end.send(None if before is None or devices.accelerators() else round(most - before))
