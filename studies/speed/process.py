"""The process of one model: it builds the model and times its steps."""

import importlib
import os
import sys
import tempfile
import time

from recipes.program import machine
from studies.speed.libraries import LIBRARIES
from studies.speed.subjects import KERAS_HUB, OURS

PRODUCTS = 4  # of large matrices in a turn


def serve(config, subject):
    """Yields the facts about a model after its warm-up, and then what it took in each turn.

    That is the seconds of a step and of a product of two matrices.
    """
    with tempfile.TemporaryDirectory() as caches:
        os.environ |= environment(subject, caches)
        if subject.library in (OURS, KERAS_HUB) and subject.backend != "tensorflow":
            # Keras loads it on any backend if it is installed: hundreds of megabytes.
            sys.modules["tensorflow"] = None
        library = LIBRARIES[subject.backend]()
        facts, step = start(config, subject, library)
        size = config.matrix_size or library.matrix_size
        product = library.product(size, subject.precision)
        if product:
            seconds_of(product, library, PRODUCTS)  # compiles
        profile = library.profile(step, config.steps) if config.profile else None
        answer = facts | {"matrix_size": size, "profile": profile}
        while True:
            machine.give_back()  # to the other models, whose turn it is
            yield answer
            library.wait(step())
            seconds = seconds_of(step, library, config.steps)
            matrix_seconds = product and seconds_of(product, library, PRODUCTS)
            answer = {"seconds": seconds, "matrix_seconds": matrix_seconds}


def compare(subject):
    """Yields how far a peer is from our model with the same weights."""
    os.environ["KERAS_BACKEND"] = "torch"
    from studies.speed import torch_peers

    yield torch_peers.difference(subject)


def environment(subject, caches):
    """Returns the variables that a process needs before its library is imported."""
    return {
        "KERAS_BACKEND": subject.backend,
        # Processes that take turns share the accelerator.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        # Nothing is compiled before the first step, which is timed.
        "TORCHINDUCTOR_CACHE_DIR": f"{caches}/inductor",
        "TRITON_CACHE_DIR": f"{caches}/triton",
        "JAX_ENABLE_COMPILATION_CACHE": "false",
    }


def start(config, subject, library):
    """Returns the facts about a model after its first steps, and a function that takes a step."""
    if subject.library in (OURS, KERAS_HUB):
        from studies.speed import keras_models as models
    elif subject.source:
        from studies.speed import exported as models
    else:
        from studies.speed import torch_peers as models
    for name in subject.packages:
        importlib.import_module(name)
    models.load_library()
    before = library.memory()
    step, facts = models.prepare(subject)
    first = seconds_of(step, library, 1)
    for _ in range(config.warmup_steps):
        library.wait(step())
    library.forget_peak()  # of the compiler
    for _ in range(config.steps):
        library.wait(step())
    memory = None if before is None else library.peak() - before
    return facts | {
        "accelerator": library.accelerator,
        "first_step_seconds": first,
        "mebibytes": memory,
    }, step


def seconds_of(function, library, times):
    """Returns the seconds of a call: the mean of several, up to when the device has finished."""
    start = time.perf_counter()
    for _ in range(times):
        outputs = function()
    library.wait(outputs)
    return (time.perf_counter() - start) / times
