"""Writes the stub of `keras_gimlp.applications`: what editors and type checkers know of the models.

    python -m tests.signatures

The sizes are rows of tables, and the text models are imported when they are asked for: neither can
be read off the source without running it.
"""

import inspect
import pathlib

from keras_gimlp import applications

STUB = pathlib.Path(applications.__file__).with_suffix(".pyi")
RESULTS = {
    "image_transform": "ImageTransform",
    "list_models": "list[str]",
    "preprocess_input": "Any",
}
HEAD = '''"""Models by name. Written by `python -m tests.signatures`, which see."""

from typing import Any

import keras
from keras.applications.imagenet_utils import decode_predictions as decode_predictions

from keras_gimlp.applications.image_transform import ImageTransform
'''


def render():
    """Returns the content of the stub: a signature and the first line of help for every name."""
    imports, functions = [], []
    for name in dir(applications):
        value = getattr(applications, name)
        module = value.__module__
        if name == "decode_predictions":
            continue
        if inspect.isclass(value):
            imports.append(f"from {module} import {name} as {name}\n")
            continue
        signature = inspect.signature(value)
        builder = getattr(value, "__wrapped__", value)
        result = builder.__name__ if inspect.isclass(builder) else RESULTS.get(name, "keras.Model")
        summary = inspect.getdoc(value).partition("\n\n")[0].replace("\n", " ")
        functions.append(f'def {name}{signature} -> {result}:\n    """{summary}"""\n')
    return HEAD + "".join(imports) + "\n" + "\n".join(functions)


if __name__ == "__main__":
    STUB.write_text(render())
