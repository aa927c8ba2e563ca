"""One job per file, usually data -> model -> compile -> fit. `python -m recipes` lists them.

The options of a job are the fields of its `Config`; the comments above them are the help of the
command line. `main` imports Keras after it has read the options, since `--help` would wait for it.
"""

import contextlib
import os

# Before TensorFlow is imported: its start-up messages say nothing about the run.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextlib.contextmanager
def language():
    """Ends the program if a package of the language recipes that is imported in it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        install = 'pip install -c constraints.txt -e ".[language]"'
        raise SystemExit(f"The language recipes need {error.name}: {install}") from None
