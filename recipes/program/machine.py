"""The circumstances of a result, and the memory that it took.

Nothing here imports Keras, so that it can be asked before a backend is chosen.
"""

import contextlib
import ctypes
import gc
import importlib.metadata
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

MEMORY = pathlib.Path("/proc/self/status")  # of Linux
RESET = pathlib.Path("/proc/self/clear_refs")


def circumstances(packages):
    """Returns when, by which command, from which commit and with which packages this runs."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": [sys.executable, *sys.orig_argv[1:]],
        "commit": commit(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def version(package):
    """Returns the version of an installed package, `None` if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit():
    """Returns the commit of this checkout, with `+changes` where files differ from it."""

    def git(*arguments):
        command = ["git", "-C", str(pathlib.Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def processor():
    """Returns the processor and the cores that this process may use."""
    name = platform.processor() or platform.machine()
    if sys.platform == "linux":
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), name)
    return f"{name}, {cores()} cores"


def cores():
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def resident(name):
    """Returns memory of this process in MiB: `VmRSS` now, `VmHWM` at most; `None` elsewhere."""
    if not MEMORY.exists():
        return None
    return int(re.search(rf"{name}:\s+(\d+) kB", MEMORY.read_text()).group(1)) / 1024


def give_back():
    """Gives memory that is not in use back to the system, as far as the C library can."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another one than glibc
        ctypes.CDLL(None).malloc_trim(0)


def forget_peak():
    """Lets `VmHWM` start again, where that is allowed, from the memory that is still in use."""
    give_back()
    with contextlib.suppress(OSError):
        RESET.write_text("5")
