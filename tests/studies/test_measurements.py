"""The tables of the documents that are drawn from kept measurements."""

import pathlib

import pytest

from recipes.program import files
from studies.scaling import attention as attention_scaling
from studies.scaling import text as text_scaling

RECIPES = pathlib.Path(text_scaling.__file__).parent
FORMATS = {
    "attention_scaling": attention_scaling.format_tables,
    "text_scaling": text_scaling.format_table,
}


@pytest.mark.parametrize(
    "path",
    sorted((RECIPES / "results" / "measurements").glob("*.json")),
    ids=lambda path: path.stem,
)
def test_tables_of_the_documents_are_those_of_the_kept_measurements(path):
    table = FORMATS[path.stem](files.read_json(path))
    begin = f"<!-- measurements of {path.stem} -->\n"
    found = (RECIPES / "README.md").read_text().split(begin)[1]
    assert found.startswith(f"{table}<!-- end -->\n")
