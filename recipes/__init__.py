"""One job per file, usually data -> model -> compile -> fit. `python -m recipes` lists them."""

import os

# Before TensorFlow is imported: its start-up messages say nothing about the run.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def missing(error):
    """Returns the exception that ends a language recipe whose packages are not installed."""
    install = 'pip install -c constraints.txt -e ".[language]"'
    return SystemExit(f"The language recipes need {error.name}: {install}")
