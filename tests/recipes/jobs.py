"""Runs recipes one after the other, without dropout: `python -m tests.recipes.jobs JOBS`.

JOBS is a JSON list of lists: the name of a recipe and its arguments.
"""

import importlib
import json
import sys

import keras


def main():
    # Its masks are of the whole batch on JAX alone.
    keras.layers.Dropout.call = lambda self, inputs, training=False: inputs
    for recipe, *arguments in json.loads(sys.argv[1]):
        importlib.import_module(f"recipes.{recipe}").main(arguments)


if __name__ == "__main__":
    main()
