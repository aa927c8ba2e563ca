"""The files in the folders of runs: JSON, tables and curves."""

import contextlib
import csv
import io
import json
import os
import textwrap

PREDICTIONS = "test_predictions.json"


def is_complete(folder):
    """Returns whether the run in `folder` has nothing left to do."""
    return (folder / "summary.json").exists()


def read_json(path):
    """Returns the content of a JSON file, or ends the program if it cannot be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path} cannot be read, and was left as it is: {error}") from error


def write_json(path, content):
    """Writes `content` to `path` as a whole: a reader sees the old file or the new one."""
    with replacing(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


@contextlib.contextmanager
def replacing(path):
    """Yields a binary file that takes the place of `path` once it is complete and on the disk.

    If it cannot be completed, `path` stays as it was, and nothing else is left behind.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with open(unfinished, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def read_metrics(folder):
    """Returns the complete rows of `metrics.csv`, oldest first."""
    return read_rows(folder / "metrics.csv")


def read_rows(path):
    """Returns the complete rows of a `.csv` file; there are none without the file."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [row for row in csv.DictReader(file) if None not in (*row, *row.values())]


def write_metrics(folder, rows):
    """Replaces `metrics.csv` by the given rows; there is none without rows."""
    path = folder / "metrics.csv"
    if not rows:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def plot_curves(folder, title, panels):
    """Draws columns of `metrics.csv` over the epochs into `curves.png`.

    `panels` has for each panel, by its name, a dictionary from labels to columns.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = read_metrics(folder)
    epochs = [int(row["epoch"]) + 1 for row in rows]
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, (name, curves) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for label, column in curves.items():
            axes.plot(epochs, [float(row[column]) for row in rows], label=label, marker=".")
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(textwrap.fill(title, width=100), fontsize="medium")
    figure.savefig(folder / "curves.png", dpi=120)


def markdown_table(columns, rows):
    """Returns a table in Markdown of rows of strings."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
