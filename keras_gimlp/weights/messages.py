"""What readers and loaders say, in characters that are safe to print."""

import contextlib
import pathlib
import sys
import warnings


def printable(text, at_most=300):
    """Returns `text` without control characters: a file could move the cursor, or forge lines."""
    text = str(text)
    if len(text) > at_most:
        text = f"{text[:at_most]}..."
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def listed(names, at_most=5):
    """Returns the first names, and how many more there are."""
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return f"{', '.join(printable(name) for name in names[:at_most])}{more}"


@contextlib.contextmanager
def reading(path, otherwise):
    """Turns whatever a library raises about a file into one sentence about that file.

    Args:
        path: Path of the file.
        otherwise: What is the matter with the file if it is not damaged.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # about a file made to break its reader, it can be any
        lines = str(error).splitlines() or [type(error).__name__]
        # Without its cause, whose text would be printed as it is.
        raise ValueError(
            f"The weights file is damaged, or {otherwise}: {printable(lines[0]).rstrip('.')}. "
            f"Received: weights={printable(repr(str(path)))}"
        ) from None


def report(message):
    """Warns, at the line outside of this library that asked for the weights."""
    package = str(pathlib.Path(__file__).parent.parent)
    level = 1
    while sys._getframe(level).f_code.co_filename.startswith(package):
        level += 1
    warnings.warn(message, stacklevel=level + 1)
