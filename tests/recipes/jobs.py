"""Runs recipes one after the other: `python -m tests.recipes.jobs JOBS`.

JOBS is a JSON list of lists: the name of a recipe and its arguments. Of the data that recipes
generate, there is less.
"""

import atexit
import functools
import importlib
import json
import os
import pathlib
import sys

import keras

from recipes.text import synthetic


def shorten_data(set_attribute):
    """Lets the language recipes generate at most 200 examples, by a function such as `setattr`."""
    for name in ("acceptability", "similarity", "entities", "continuations", "questions"):
        make = getattr(synthetic, name)

        @functools.wraps(make)
        def less(count, *args, make=make, **kwargs):
            return make(min(count, 200), *args, **kwargs)

        set_attribute(synthetic, name, less)


def leave_out_dropout(set_attribute):
    """Leaves out dropout and stochastic depth, but on JAX, where masks are of the whole batch."""
    if keras.backend.backend() != "jax":
        set_attribute(keras.layers.Dropout, "call", lambda self, inputs, training=False: inputs)


@atexit.register  # before any recipe does: this comes last
def fail_with_threads():
    """Threads that outlive Python abort the process, but seldom."""
    threads = {x.read_text().strip() for x in pathlib.Path("/proc/self/task").glob("*/comm")}
    if "pt_gloo_runloop" in threads:
        print("Threads of torch.distributed are still there.", flush=True)
        os._exit(1)


def main():
    shorten_data(setattr)
    leave_out_dropout(setattr)
    for recipe, *arguments in json.loads(sys.argv[1]):
        importlib.import_module(f"recipes.{recipe}").main(arguments)


if __name__ == "__main__":
    main()
