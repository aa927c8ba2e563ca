"""The comparison of finished runs."""

import json

import pytest

from recipes import compare
from recipes.trained import finished
from tests.conftest import ROOT, once

pytestmark = once

STUDIES = ROOT / "studies"


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


@pytest.mark.parametrize(
    "path", sorted(STUDIES.glob("*/results/*.json")), ids=lambda path: path.stem
)
def test_tables_of_the_documents_are_those_of_the_kept_runs(path):
    begin = f"<!-- runs of {path.stem}: "
    _, found = (ROOT / "recipes" / "README.md").read_text().split(begin)
    column, found = found.split(" -->\n", 1)
    table = compare.markdown(compare.grouped(finished.read(path)), column)
    assert found.startswith(f"{table}<!-- end -->\n")


def test_what_cannot_be_compared_is_refused(tmp_path):
    folder = write_run(tmp_path / "a", [1], {"config": "a", "seed": 0})
    with pytest.raises(SystemExit, match="holds no finished run"):
        compare.main([folder, str(tmp_path), "--column", "loss"])
    with pytest.raises(SystemExit, match="run of a has no column 'los'. It has epoch, loss, val"):
        compare.main([folder, "--column", "los"])
    with pytest.raises(SystemExit, match="Name the folders"):
        compare.main(["--column", "loss"])
