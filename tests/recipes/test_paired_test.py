"""Paired comparisons of fine-tuned encoders."""

import json
import pathlib
import re

import numpy as np
import pytest

from recipes import paired_test
from recipes.text import glue_tasks
from tests.conftest import once

pytestmark = once

LABELS = np.arange(400) % 2
FOLDER = pathlib.Path(paired_test.__file__).parent
WITH_INTERVALS = "gate_rte"


def write_run(folder, model, seed, wrong, task="rte"):
    """Writes a run of which `wrong` predictions are wrong, beginning with the tenth of its seed."""
    folder.mkdir()
    predictions = LABELS.copy()
    predictions[10 * seed : 10 * seed + wrong] ^= 1
    config = {"config": "rte", "task": task, "model": [model], "seed": seed}
    (folder / "config.json").write_text(json.dumps({"config": config, "starts": []}))
    (folder / "summary.json").write_text("{}")
    (folder / "metrics.csv").write_text("epoch,val_accuracy\n0,0.5\n")
    lines = {"labels": LABELS, "predictions": predictions}
    lines = {name: glue_tasks.in_a_line(values) for name, values in lines.items()}
    (folder / "test_predictions.json").write_text(json.dumps({"validation": lines}))
    return str(folder)


def compare(folders, capsys, *options, score="accuracy"):
    paired_test.main([*folders, "--score", score, "--draws", "300", *options])
    return capsys.readouterr().out.splitlines()[4:]


def test_runs_are_compared_seed_by_seed(tmp_path, capsys):
    folders = [
        write_run(tmp_path / f"{model}{seed}", model, seed, wrong - more * seed)
        for model, wrong, more in (("BERT", 100, 0), ("giBERT", 60, 2), ("giRoBERTa", 100, 0))
        for seed in (0, 1, 2)
    ]
    better, same = compare(folders, capsys)
    name, seeds, mean, interval, p = (cell.strip() for cell in better.strip("|").split("|"))
    assert (name, seeds) == ("rte, model giBERT", "0, 1, 2")
    assert mean == "+10.5 (+10.0, +10.5, +11.0)"
    low, high = map(float, interval.split(" to "))
    # Of 400 examples 40 differ: the spread of their share is sqrt(0.1 * 0.9 / 400).
    assert low == pytest.approx(10.5 - 1.96 * 1.5, abs=0.7)
    assert high == pytest.approx(10.5 + 1.96 * 1.5, abs=0.7)
    assert p == "0.00"
    assert same.endswith("| +0.0 (+0.0, +0.0, +0.0) | +0.0 to +0.0 |  |")


def test_seeds_that_disagree_widen_the_interval(tmp_path, capsys):
    folders = [
        write_run(tmp_path / f"{model}{seed}", model, seed, wrong)
        for model, wrongs in (("BERT", (100, 100)), ("giBERT", (20, 180)))
        for seed, wrong in enumerate(wrongs)
    ]
    (row,) = compare(folders, capsys)
    low, high = map(float, row.split("|")[4].split(" to "))
    # Two seeds are drawn alike in half of the draws.
    assert low < -18
    assert high > 18


def test_one_seed_has_no_test_over_seeds(tmp_path, capsys):
    folders = [
        write_run(tmp_path / "b", "BERT", 0, 30),
        write_run(tmp_path / "g", "giBERT", 0, 34),
        write_run(tmp_path / "alone", "gMLP", 1, 34),
    ]
    (row,) = compare(folders, capsys, "--baseline", "BERT")
    assert row.startswith("| rte, model giBERT | 0 | -1.0 (-1.0) |")
    assert row.endswith("|  |")


def test_settings_of_few_seeds_are_left_out(tmp_path, capsys):
    folders = [
        write_run(tmp_path / f"{model}{seed}", model, seed, 30)
        for model, seeds in (("BERT", 2), ("giBERT", 2), ("gMLP", 1))
        for seed in range(seeds)
    ]
    tried = write_run(tmp_path / "tried", "BERT", 0, 90)
    config = json.loads((tmp_path / "tried" / "config.json").read_text())
    config["config"]["learning_rate"] = 1.0
    (tmp_path / "tried" / "config.json").write_text(json.dumps(config))
    with pytest.raises(SystemExit, match="the baseline BERT with --least_seeds 1. Found: rte"):
        compare([*folders, tried], capsys)
    (row,) = compare([*folders, tried], capsys, "--least_seeds", "2")
    assert "model giBERT | 0, 1 | +0.0" in row


def test_scores_are_those_of_the_task(tmp_path, capsys):
    folders = [
        write_run(tmp_path / "b", "BERT", 0, 30, task="cola"),
        write_run(tmp_path / "g", "giBERT", 0, 34, task="cola"),
    ]
    (row,) = compare(folders, capsys, score="matthews")
    expected = [
        glue_tasks.matthews(LABELS, np.eye(2)[np.where(np.arange(400) < wrong, 1 - LABELS, LABELS)])
        for wrong in (30, 34)
    ]
    assert f"{100 * (expected[1]['matthews'] - expected[0]['matthews']):+.1f} (" in row


@pytest.mark.slow
def test_tables_of_the_documents_are_those_of_the_kept_runs(capsys):
    table = r"<!-- paired test of (\w+): (\w+), from (\w+) -->\n(.+?)<!-- end -->"
    readme = (FOLDER / "README.md").read_text()
    published = re.findall(table, readme, re.DOTALL)
    assert len(published) == readme.count("<!-- paired test of ") > 0
    # The other intervals would take minutes to draw again.
    assert WITH_INTERVALS in {name for name, *_ in published}
    for name, score, baseline, expected in published:
        whole = name == WITH_INTERVALS
        options = ["--score", score, "--baseline", baseline, "--least_seeds", "3"]
        options += [] if whole else ["--draws", "2"]
        paired_test.main([str(FOLDER / "results" / f"{name}.json"), *options])
        found = capsys.readouterr().out
        compared = str if whole else without_intervals
        assert compared(found) == compared(expected)


def without_intervals(table):
    return re.sub(r"\| \S+ to \S+ \|", "||", table)


def test_mistakes_end_in_one_sentence(tmp_path):
    bert = write_run(tmp_path / "b", "BERT", 0, 30)
    gated = write_run(tmp_path / "g", "giBERT", 0, 30)
    other = write_run(tmp_path / "o", "giBERT", 0, 30, task="wnli")
    score = ["--score", "accuracy"]
    with pytest.raises(SystemExit, match="Name the folders"):
        paired_test.main(score)
    with pytest.raises(SystemExit, match="the baseline gMLP with --least_seeds 1. Found: none"):
        paired_test.main([bert, gated, *score, "--baseline", "gMLP"])
    with pytest.raises(SystemExit, match="of several tasks: rte, wnli"):
        paired_test.main([bert, other, *score])
    with pytest.raises(SystemExit, match="no score of this task named 'matthews'"):
        paired_test.main([bert, gated, "--score", "matthews"])
    lines = {"validation": {"labels": "0 1", "predictions": "0 1"}}
    (tmp_path / "b" / "test_predictions.json").write_text(json.dumps(lines))
    with pytest.raises(SystemExit, match="model giBERT and the baseline were tested on different"):
        paired_test.main([bert, gated, *score])
    (tmp_path / "b" / "test_predictions.json").unlink()
    with pytest.raises(SystemExit, match="kept no predictions"):
        paired_test.main([bert, gated, *score])
