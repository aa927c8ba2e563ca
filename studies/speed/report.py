"""What was measured, as rows of numbers, tables, a chart, and files like those of timm."""

import csv
import dataclasses
import io

import numpy as np

from recipes.program import files
from studies.speed import targets
from studies.speed.subjects import OURS

PREFIXES = {"inference": "infer", "training": "train"}  # of timm's columns
LISTED = 10  # operations of a profile


def make_row(subject, known, turns):
    """Returns all that is known about a subject, as JSON can hold it.

    Args:
        subject: A `Subject`.
        known: What its process said about the model.
        turns: What it said after each of its turns.
    """
    seconds, matrix_seconds = ([t[key] for t in turns] for key in ("seconds", "matrix_seconds"))
    step = float(np.median(seconds))
    # A backward pass has two products for each of the forward pass. What is computed again is no
    # more work done.
    share = None
    if known["macs"] is not None:  # as they are not of an exported file
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
    """Writes everything that can be said about the rows measured so far."""
    found = targets.evaluate(rows)
    files.write_json(folder / "benchmark.json", record | {"rows": rows, "targets": found})
    (folder / "benchmark.md").write_text(format_report(rows, found))
    for name, text in timm_files(rows).items():
        (folder / name).write_text(text)
    measured = [row for row in rows if "seconds" in row]
    if measured:
        draw(measured, folder / "benchmark.png")


def format_report(rows, found):
    """Returns a table for each group, and one of the targets."""
    parts = []
    for group, members in grouped(rows).items():
        parts.append(f"### {group}\n\n{format_group(members)}")
        parts += [format_profile(row) for row in members if row.get("profile")]
    if found:
        parts.append(f"### Targets\n\n{targets.format_targets(found)}")
    return "\n".join(parts)


def grouped(rows):
    groups = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row)
    return groups


def format_group(rows):
    """Returns what took turns as a table; the last columns are ratios of rates to the peers'."""
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
        ratios = [
            "" if row is peer else f"{targets.ratio_of('rate', row, peer):.2f}" for peer in peers
        ]
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


def format_profile(row):
    """Returns the operations that take the most of a step as a table."""
    lines = [
        [f"`{x['name']}`", f"{x['share']:.1%}", f"{x['milliseconds']:.4g}", f"{x['calls']:g}"]
        for x in row["profile"][:LISTED]
    ]
    columns = [f"of {row['label']}", "share", "ms a step", "calls a step"]
    return files.markdown_table(columns, lines)


def timm_files(rows):
    """Returns texts by file name, in the columns of the results that timm publishes.

    They are sorted as there, and the name of a model says what it ran on.
    """
    found = {}
    cases = dict.fromkeys((row["mode"], row["precision"]) for row in rows if "seconds" in row)
    for mode, precision in cases:
        prefix = PREFIXES[mode]
        lines = [timm_line(row, prefix) for row in rows if has_case(row, mode, precision)]
        lines.sort(key=lambda line: -line[f"{prefix}_samples_per_sec"])
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, fieldnames=list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
        found[f"benchmark-{prefix}-{precision}.csv"] = text.getvalue()
    return found


def has_case(row, mode, precision):
    return "seconds" in row and (row["mode"], row["precision"]) == (mode, precision)


def timm_line(row, prefix):
    found = {
        "model": row["label"],
        f"{prefix}_img_size": row["size"],  # of texts, the tokens
        f"{prefix}_samples_per_sec": round(row["examples_per_second"], 2),
        f"{prefix}_step_time": round(row["milliseconds"], 3),
        f"{prefix}_batch_size": row["batch_size"],
        "param_count": round(row["parameters"] / 1e6, 2),
    }
    # timm counts them in the files of inference alone.
    if prefix == "train":
        return found
    return found | {"infer_gmacs": row["macs"] and round(row["macs"] / 1e9, 2)}


def draw(rows, path):
    """Draws the rates of each group as bars, with the slowest and fastest round."""
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
