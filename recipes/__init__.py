"""One training job per file, each data -> model -> compile -> fit. Run one with `python -m`."""

import os

# Before TensorFlow is imported: its start-up messages say nothing about the run.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def missing(error):
    """Returns what ends a language recipe whose packages are not there."""
    install = 'pip install -c constraints.txt -e ".[language]"'
    return SystemExit(f"The language recipes need {error.name}: {install}")
