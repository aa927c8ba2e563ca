"""Measurements as rows of numbers, as tables and as a chart."""

import dataclasses

import numpy as np

from recipes.program import files
from studies.speed.subjects import OURS

LISTED = 10  # operations of a profile


def make_row(subject, known, turns):
    """Returns the row of a subject, a dictionary for JSON.

    Args:
        subject: A `Subject`.
        known: The first answer of its process, the facts about the model.
        turns: The answers after each turn.
    """
    seconds, matrix_seconds = ([t[key] for t in turns] for key in ("seconds", "matrix_seconds"))
    step = float(np.median(seconds))
    # A backward pass has two products for each of the forward pass. Recomputed products do not
    # count.
    share = None
    if known["macs"] is not None:  # exported files have no count
        products = known["macs"] * subject.batch_size * (3 if subject.training else 1)
        share = np.divide(matrix_seconds, seconds) * products / known["matrix_size"] ** 3
    return (
        identity(subject)
        | known
        | {
            "device": "accelerator" if known["accelerator"] else "processor",
            "seconds": seconds,
            "matrix_seconds": matrix_seconds,
            "milliseconds": 1000 * step,
            "examples_per_second": subject.batch_size / step,
            "matrix_share": None if share is None else float(np.median(share)),
        }
    )


def make_failed_row(subject, error):
    return identity(subject) | {"error": error}


def identity(subject):
    return dataclasses.asdict(subject) | {"label": subject.label}


def describe(row):
    """Returns a row in a few words."""
    if "error" in row:
        return f"{row['label']}: {row['error']}"
    return (
        f"{row['label']}: {row['examples_per_second']:.3g} examples/s, {row['milliseconds']:.4g} ms"
    )


def write(folder, record, rows):
    """Writes numbers, tables and chart of the rows measured so far."""
    files.write_json(folder / "benchmark.json", record | {"rows": rows})
    (folder / "benchmark.md").write_text(format_report(rows))
    measured = [row for row in rows if "seconds" in row]
    if measured:
        draw(measured, folder / "benchmark.png")


def format_report(rows):
    """Returns a table for each group, and the profiles of its rows."""
    parts = []
    for group, members in grouped(rows).items():
        parts.append(f"### {group}\n\n{format_group(members)}")
        parts += [format_profile(row) for row in members if row.get("profile")]
    return "\n".join(parts)


def grouped(rows):
    groups = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row)
    return groups


def format_group(rows):
    """Returns the table of a group; the last columns are its rates relative to the peers'."""
    measured = [row for row in rows if "seconds" in row]
    peers = [row for row in measured if row["library"] != OURS]
    columns = ["", "examples/s", "ms a step", "first step, s", "MiB", "parameters", "G MACs"]
    columns += ["matrix rate", *(f"/ {peer['label']}" for peer in peers)]
    lines = []
    for row in rows:
        if row not in measured:
            lines.append([row["label"], row["error"].replace("|", "/"), *[""] * (len(columns) - 2)])
            continue
        least, most = (1000 * f(row["seconds"]) for f in (min, max))
        ratios = ["" if row is peer else f"{ratio(row, peer):.2f}" for peer in peers]
        lines.append(
            [
                row["label"],
                f"{row['examples_per_second']:.3g}",
                f"{row['milliseconds']:.4g} ({least:.4g} to {most:.4g})",
                f"{row['first_step_seconds']:.1f}",
                "" if row["mebibytes"] is None else f"{row['mebibytes']:,.0f}",
                f"{row['parameters']:,}",
                "" if row["macs"] is None else f"{row['macs'] / 1e9:.3g}",
                "" if row["matrix_share"] is None else f"{row['matrix_share']:.0%}",
                *ratios,
            ]
        )
    return files.markdown_table(columns, lines)


def ratio(row, other):
    """Returns the rate of a row relative to another row of its group: the median of the rounds."""
    return float(np.median(np.divide(other["seconds"], row["seconds"])))


def format_profile(row):
    """Returns the table of the slowest operations of a step."""
    lines = [
        [f"`{x['name']}`", f"{x['share']:.1%}", f"{x['milliseconds']:.4g}", f"{x['calls']:g}"]
        for x in row["profile"][:LISTED]
    ]
    columns = [f"of {row['label']}", "share", "ms a step", "calls a step"]
    return files.markdown_table(columns, lines)


def draw(rows, path):
    """Draws the rates of each group as bars, with the slowest and the fastest round."""
    from matplotlib.figure import Figure

    groups = grouped(rows)
    heights = [len(members) + 1.5 for members in groups.values()]
    figure = Figure(figsize=(9, 0.32 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights).ravel()
    for axes, (group, members) in zip(panels, groups.items(), strict=True):
        rates = [row["examples_per_second"] for row in members]
        rounds = [row["batch_size"] / np.array(row["seconds"]) for row in members]
        spread = [(rate - r.min(), r.max() - rate) for rate, r in zip(rates, rounds, strict=True)]
        colors = ["C0" if row["library"] == OURS else "0.6" for row in members]
        bars = axes.barh(
            range(len(members)), rates, color=colors, xerr=np.transpose(spread), ecolor="0.2"
        )
        axes.bar_label(bars, [f"{rate:.3g}" for rate in rates], padding=3)
        axes.set_yticks(range(len(members)), [row["label"] for row in members])
        axes.set(title=group, xlim=(0, 1.1 * max(r.max() for r in rounds)))
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("examples/s")
    figure.savefig(path, dpi=120)
