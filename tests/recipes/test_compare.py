"""The comparison of finished runs: tables of columns, and paired tests of scores."""

import json

import numpy as np
import pytest

from recipes import compare
from recipes.text import glue_tasks
from tests.conftest import once

pytestmark = once

LABELS = np.arange(400) % 2


def write_run(folder, values, config, **summary):
    folder.mkdir()
    starts = [{"commit": "abc", "command": ["python", "/home/me"]}]
    (folder / "config.json").write_text(json.dumps({"config": config, "starts": starts}))
    seconds = summary.get("seconds", 60.0) / len(values)
    lines = [f"{i},1.0,{value},{seconds}" for i, value in enumerate(values)]
    lines.insert(0, "epoch,loss,val_loss,seconds")
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    summary = {"parameters": 1234, "seconds": 60.0, "tokens_per_second": 1000.0} | summary
    (folder / "summary.json").write_text(json.dumps(summary))
    return str(folder)


def test_runs_that_differ_in_their_seed_are_one_row(tmp_path):
    a = {"config": "a", "dim": 8}
    folders = [
        write_run(tmp_path / "a1", [3, 2.5], a | {"seed": 1}, tokens_per_second=3000.0),
        write_run(tmp_path / "a0", [3, 1.5], a | {"seed": 0}),
        write_run(tmp_path / "b0", [4, 3], {"config": "b", "dim": 9, "seed": 0}),
    ]
    compare.main([*folders, "--column", "val_loss", "--output", str(tmp_path / "new" / "lr-0.1")])
    head, _, first, second = (tmp_path / "new" / "lr-0.1.md").read_text().splitlines()
    assert "| last val_loss | mean | per second |" in head
    assert first == "| a | 1,234 | 2 | 0, 1 | 1.5, 2.5 | 2 ± 0.707 | 2,000 tokens | 60 |"
    assert second == "| b | 1,234 | 2 | 0 | 3 | 3 | 1,000 tokens | 60 |"
    assert (tmp_path / "new" / "lr-0.1.png").stat().st_size > 10_000


def test_settings_are_compared_at_equal_seconds(tmp_path):
    folders = [
        write_run(tmp_path / "a", [4, 2], {"config": "a", "seed": 0}, seconds=80.0),
        write_run(tmp_path / "b0", [9, 5], {"config": "b", "seed": 0}, seconds=160.0),
        write_run(tmp_path / "b1", [9, 3], {"config": "b", "seed": 1}, seconds=100.0),
    ]
    output = tmp_path / "compared"
    arguments = ["--column", "val_loss", "--axis", "seconds", "--output", str(output)]
    compare.main([*folders, *arguments])
    head, _, first, second = output.with_suffix(".md").read_text().splitlines()
    assert head.endswith("| seconds | mean at 80 s |")
    assert first.endswith("| 80 | 2 |")
    # After 80 s the one is at its first epoch, the other at 0.6 of the way to its second.
    assert second.endswith("| 130 | 7.2 ± 2.55 |")
    assert output.with_suffix(".png").stat().st_size > 10_000


def test_runs_of_one_configuration_are_named_by_what_differs(tmp_path):
    both = {"config": "a", "seed": 0, "width": 3}
    folders = [
        write_run(tmp_path / f"{dim}", [1], both | {"dim": dim, "form": "split"}) for dim in (8, 9)
    ]
    output = tmp_path / "compared"
    compare.main([*folders, "--column", "loss", "--log", "--output", str(output)])
    _, _, first, second = output.with_suffix(".md").read_text().splitlines()
    assert first.startswith("| a, dim 8 |")
    assert second.startswith("| a, dim 9 |")


def test_models_are_named_by_the_arguments_that_differ(tmp_path):
    plain = {"config": "pyramid", "seed": 0, "model_args": {"depths": [2, 2]}}
    gated = plain | {"model_args": {"depths": [2, 2], "gating": "subtract", "inhibition": 0.1}}
    other = plain | {"model_args": {"depths": [2, 2], "seed": 3}}
    named = {"plain": plain, "gated": gated, "other": other}
    folders = [write_run(tmp_path / name, [1], config) for name, config in named.items()]
    output = tmp_path / "compared"
    compare.main([*folders, "--column", "loss", "--output", str(output)])
    _, _, *rows = output.with_suffix(".md").read_text().splitlines()
    assert [row.split(" | ")[0] for row in rows] == [
        "| pyramid",
        "| pyramid, gating subtract, inhibition 0.1",
        "| pyramid, model_args.seed 3",
    ]


def test_runs_of_different_recipes_are_compared(tmp_path):
    text = write_run(tmp_path / "text", [3], {"config": "python", "seed": 0, "depth": 4})
    images = write_run(
        tmp_path / "images", [2], {"config": "digits", "seed": 0, "model_args": {"depth": 4}}
    )
    summary = {"parameters": 5678, "seconds": 9.0, "images_per_second": 70.0}
    (tmp_path / "images" / "summary.json").write_text(json.dumps(summary))
    output = tmp_path / "compared"
    compare.main([text, images, "--column", "val_loss", "--output", str(output)])
    _, _, first, second = output.with_suffix(".md").read_text().splitlines()
    assert first == "| python | 1,234 | 1 | 0 | 3 | 3 | 1,000 tokens | 60 |"
    assert second == "| digits | 5,678 | 1 | 0 | 2 | 2 | 70 images | 9 |"


def test_a_file_stands_for_the_folders_that_it_was_made_of(tmp_path):
    a = {"config": "a", "dim": 8, "files": ["/data/books/one.txt", "two/three.txt"]}
    folders = [
        write_run(tmp_path / "a1", [3, 2.5], a | {"seed": 1}),
        write_run(tmp_path / "b0", [4, 3], a | {"config": "b", "seed": 0}),
    ]
    kept, column = tmp_path / "results" / "kept.json", ["--column", "val_loss"]
    compare.main([*folders, *column, "--keep", str(kept), "--output", str(tmp_path / "one")])
    compare.main([str(kept), *column, "--output", str(tmp_path / "two")])
    assert (tmp_path / "one.md").read_text() == (tmp_path / "two.md").read_text()
    assert json.loads(kept.read_text())["runs"][0]["config"]["files"] == [
        "one.txt",
        "two/three.txt",
    ]
    # Another seed in a folder is of the same setting.
    a0 = write_run(tmp_path / "a0", [3, 1.5], a | {"seed": 0})
    compare.main([str(kept), a0, *column, "--output", str(tmp_path / "three")])
    assert "| a | 1,234 | 2 | 0, 1 | 1.5, 2.5 |" in (tmp_path / "three.md").read_text()
    # Where there are folders alone, they do tell two settings apart.
    other = a | {"files": ["/other/one.txt"], "seed": 1}
    more = write_run(tmp_path / "other", [3, 1.5], other)
    compare.main([a0, more, *column, "--output", str(tmp_path / "four")])
    assert "| a, files /other/one.txt |" in (tmp_path / "four.md").read_text()
    kept.write_text("{}")
    with pytest.raises(SystemExit, match="kept.json is no file of runs that compare has kept"):
        compare.main([str(kept), *column])


def test_lists_and_options_are_named_by_what_they_hold(tmp_path):
    both = {"config": "cola", "seed": 0}
    plain = both | {"model": ["BERT"], "inhibition": [], "rank": None}
    gated = both | {"model": ["giBERT"], "inhibition": [0.1], "rank": None}
    folders = [
        write_run(tmp_path / "plain", [1], plain),
        write_run(tmp_path / "gated", [2], gated),
        write_run(tmp_path / "factored", [3], gated | {"rank": 64}),
    ]
    output = tmp_path / "compared"
    compare.main([*folders, "--column", "loss", "--output", str(output)])
    _, _, *rows = output.with_suffix(".md").read_text().splitlines()
    assert [row.split(" | ")[0] for row in rows] == [
        "| cola, model BERT",
        "| cola, inhibition 0.1, model giBERT",
        "| cola, inhibition 0.1, model giBERT, rank 64",
    ]


def test_what_cannot_be_compared_is_refused(tmp_path):
    folder = write_run(tmp_path / "a", [1], {"config": "a", "seed": 0})
    with pytest.raises(SystemExit, match="holds no finished run"):
        compare.main([folder, str(tmp_path), "--column", "loss"])
    with pytest.raises(SystemExit, match="run of a has no column 'los'. It has epoch, loss, val"):
        compare.main([folder, "--column", "los"])
    with pytest.raises(SystemExit, match="Name the folders"):
        compare.main(["--column", "loss"])
    for both_or_none in ([], ["--column", "loss", "--score", "accuracy"]):
        with pytest.raises(SystemExit, match="either --column or --score"):
            compare.main([folder, *both_or_none])


def write_predictions(folder, model, seed, wrong, task="rte"):
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


def paired(folders, capsys, *options, score="accuracy"):
    compare.main([*folders, "--score", score, "--draws", "300", *options])
    return capsys.readouterr().out.splitlines()[4:]


@pytest.mark.slow
def test_runs_are_compared_seed_by_seed(tmp_path, capsys):
    folders = [
        write_predictions(tmp_path / f"{model}{seed}", model, seed, wrong - more * seed)
        for model, wrong, more in (("BERT", 100, 0), ("giBERT", 60, 2), ("giRoBERTa", 100, 0))
        for seed in (0, 1, 2)
    ]
    better, same = paired(folders, capsys)
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
        write_predictions(tmp_path / f"{model}{seed}", model, seed, wrong)
        for model, wrongs in (("BERT", (100, 100)), ("giBERT", (20, 180)))
        for seed, wrong in enumerate(wrongs)
    ]
    (row,) = paired(folders, capsys)
    low, high = map(float, row.split("|")[4].split(" to "))
    # Two seeds are drawn alike in half of the draws.
    assert low < -18
    assert high > 18


def test_one_seed_has_no_test_over_seeds(tmp_path, capsys):
    folders = [
        write_predictions(tmp_path / "b", "BERT", 0, 30),
        write_predictions(tmp_path / "g", "giBERT", 0, 34),
        write_predictions(tmp_path / "alone", "gMLP", 1, 34),
    ]
    (row,) = paired(folders, capsys, "--baseline", "BERT")
    assert row.startswith("| rte, model giBERT | 0 | -1.0 (-1.0) |")
    assert row.endswith("|  |")


def test_settings_of_few_seeds_are_left_out(tmp_path, capsys):
    folders = [
        write_predictions(tmp_path / f"{model}{seed}", model, seed, 30)
        for model, seeds in (("BERT", 2), ("giBERT", 2), ("gMLP", 1))
        for seed in range(seeds)
    ]
    tried = write_predictions(tmp_path / "tried", "BERT", 0, 90)
    config = json.loads((tmp_path / "tried" / "config.json").read_text())
    config["config"]["learning_rate"] = 1.0
    (tmp_path / "tried" / "config.json").write_text(json.dumps(config))
    with pytest.raises(SystemExit, match="the baseline BERT with --least_seeds 1. Found: rte"):
        paired([*folders, tried], capsys)
    (row,) = paired([*folders, tried], capsys, "--least_seeds", "2")
    assert "model giBERT | 0, 1 | +0.0" in row


def test_scores_are_those_of_the_task(tmp_path, capsys):
    folders = [
        write_predictions(tmp_path / "b", "BERT", 0, 30, task="cola"),
        write_predictions(tmp_path / "g", "giBERT", 0, 34, task="cola"),
    ]
    (row,) = paired(folders, capsys, score="matthews")
    expected = [
        glue_tasks.matthews(LABELS, np.eye(2)[np.where(np.arange(400) < wrong, 1 - LABELS, LABELS)])
        for wrong in (30, 34)
    ]
    assert f"{100 * (expected[1]['matthews'] - expected[0]['matthews']):+.1f} (" in row


def test_what_cannot_be_paired_is_refused(tmp_path):
    bert = write_predictions(tmp_path / "b", "BERT", 0, 30)
    gated = write_predictions(tmp_path / "g", "giBERT", 0, 30)
    other = write_predictions(tmp_path / "o", "giBERT", 0, 30, task="wnli")
    score = ["--score", "accuracy"]
    with pytest.raises(SystemExit, match="the baseline gMLP with --least_seeds 1. Found: none"):
        compare.main([bert, gated, *score, "--baseline", "gMLP"])
    with pytest.raises(SystemExit, match="of several tasks: rte, wnli"):
        compare.main([bert, other, *score])
    without_a_task = write_run(tmp_path / "w", [1], {"config": "a", "model": ["BERT"], "seed": 0})
    with pytest.raises(SystemExit, match="tests runs of `glue`"):
        compare.main([without_a_task, *score])
    with pytest.raises(SystemExit, match="no score of this task named 'matthews'"):
        compare.main([bert, gated, "--score", "matthews"])
    lines = {"validation": {"labels": "0 1", "predictions": "0 1"}}
    (tmp_path / "b" / "test_predictions.json").write_text(json.dumps(lines))
    with pytest.raises(SystemExit, match="model giBERT and the baseline were tested on different"):
        compare.main([bert, gated, *score])
    (tmp_path / "b" / "test_predictions.json").unlink()
    with pytest.raises(SystemExit, match="kept no predictions"):
        compare.main([bert, gated, *score])
