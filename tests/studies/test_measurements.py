"""The tables in the READMEs of the studies are those of the kept runs and measurements."""

import re

import pytest

from recipes import compare
from recipes.program import files
from recipes.trained import finished
from studies.scaling import attention, text
from tests.conftest import ROOT, once

pytestmark = once
STUDIES = ROOT / "studies"
READMES = sorted(STUDIES.glob("*/README.md"))
KEPT = sorted([*STUDIES.glob("*/results/*.json"), *STUDIES.glob("*/measurements/*.json")])
RUNS = r"<!-- runs of (\w+): (\w+)(?:, of (\d+) seeds or more)? -->\n(.*?)<!-- end -->\n"
MEASUREMENTS = r"<!-- measurements of (\w+) -->\n(.*?)<!-- end -->\n"
PAIRED = r"<!-- paired test of (\w+): (\w+), from (\w+) -->\n(.*?)<!-- end -->\n"
FORMATS = {"attention": attention.format_tables, "text": text.format_table}
WITH_INTERVALS = "gate_rte"  # the other intervals would take minutes to draw again


def tables(pattern):
    """Returns a case for each table of a kind in the READMEs: its study and what the mark says."""
    return [
        pytest.param(readme.parent, *groups, id=f"{readme.parent.name}-{groups[0]}")
        for readme in READMES
        for groups in re.findall(pattern, readme.read_text(), re.DOTALL)
    ]


def test_every_marked_table_is_checked():
    marks = "".join(readme.read_text() for readme in READMES).count("<!-- end -->")
    assert marks == sum(len(tables(pattern)) for pattern in (RUNS, MEASUREMENTS, PAIRED)) > 0
    assert f"<!-- paired test of {WITH_INTERVALS}: " in (STUDIES / "gates/README.md").read_text()


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_study_names_what_it_keeps(path):
    assert str(path.relative_to(ROOT)) in (path.parents[1] / "README.md").read_text()


@pytest.mark.parametrize(("study", "name", "column", "seeds", "table"), tables(RUNS))
def test_tables_are_those_of_the_kept_runs(study, name, column, seeds, table):
    settings = compare.grouped(finished.read(study / "results" / f"{name}.json"))
    settings = {of: runs for of, runs in settings.items() if len(runs) >= int(seeds or 1)}
    assert table == compare.markdown(settings, column)


@pytest.mark.parametrize(("study", "name", "table"), tables(MEASUREMENTS))
def test_tables_are_those_of_the_kept_measurements(study, name, table):
    assert table == FORMATS[name](files.read_json(study / "measurements" / f"{name}.json"))


@pytest.mark.parametrize(("study", "name", "score", "baseline", "table"), tables(PAIRED))
def test_tables_are_those_of_the_paired_tests(study, name, score, baseline, table, capsys):
    options = ["--score", score, "--baseline", baseline, "--least_seeds", "3"]
    options += [] if name == WITH_INTERVALS else ["--draws", "2"]
    compare.main([str(study / "results" / f"{name}.json"), *options])
    compared = str if name == WITH_INTERVALS else without_intervals
    assert compared(capsys.readouterr().out) == compared(table)


def without_intervals(table):
    return re.sub(r"\| \S+ to \S+ \|", "||", table)
