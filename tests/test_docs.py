"""The pages of the site, as far as they can be checked without Sphinx; `make docs` runs them."""

import ast
import re

import pytest

import keras_gimlp
from keras_gimlp import applications, layers, weights
from recipes.__main__ import path_of
from tests.conftest import ROOT, once

pytestmark = once

DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).name)
# Read from all documents: the README and that of the recipes are on the site too.
TEXTS = [*PAGES, ROOT / "README.md", ROOT / "recipes" / "README.md"]


def cells(page):
    """Returns the cells of a page that are run."""
    return re.findall(r"^```\{code-cell\}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@EVERY_PAGE
def test_cells_are_python_or_a_shell_script(page):
    for cell in cells(page):
        if not cell.startswith("%%bash\n"):
            ast.parse(cell)


@EVERY_PAGE
def test_a_page_with_cells_is_a_notebook(page):
    head = "---\nfile_format: mystnb\nkernelspec:\n  display_name: Python 3\n  name: python3\n---\n"
    assert page.read_text().startswith(head) == bool(cells(page))
    assert "```python" not in "".join(page.read_text().split("```{code-cell}")[1:])


def test_every_page_is_in_one_table_of_contents():
    found = []
    for page in PAGES:
        for body in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(), re.M | re.S):
            names = [line for line in body.splitlines() if line and not line.startswith(":")]
            found += [(page.parent / f"{name}.md").resolve() for name in names]
    assert sorted(found) == [page for page in PAGES if page.name != "index.md"]


@EVERY_PAGE
def test_what_a_page_includes_is_there(page):
    directive = r"^```\{include\} (.*)\n((?::.*\n)*)```"
    for file, options in re.findall(directive, page.read_text(), re.MULTILINE):
        text = (page.parent / file).read_text()
        start, end = (
            re.search(rf':{name}: "(.*)"', options) for name in ("start-after", "end-before")
        )
        rest = text.partition(start[1])[2] if start else text
        assert rest, (file, start[1])
        assert end is None or end[1] in rest, (file, end[1])


def test_every_public_name_has_its_part_of_the_reference():
    parts = re.findall(r"^```\{public\} (\S+)$", "\n".join(p.read_text() for p in PAGES), re.M)
    public = {f"keras_gimlp.layers.{name}" for name in layers.__all__}
    public |= {f"keras_gimlp.weights.{name}" for name in weights.__all__}
    public |= {f"keras_gimlp.applications.{name}" for name in dir(applications)}
    public |= {"keras_gimlp.rematerialize", "keras_gimlp.optimizers.AdamW"}
    public |= {
        f"keras_gimlp.distribution.{name}"
        for name in ("layout_map", "FamilyLayoutMap", "ModelParallel")
    }
    assert sorted(parts) == sorted(public)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_in_a_text_exist(path):
    text = path.read_text()
    for job in re.findall(r"python -m ((?:recipes|studies)\.[\w.]*\w)", text):
        assert path_of(job).exists(), job
    ours = r"(?<!keras\.)\b(applications|layers|weights|distribution)\.([A-Za-z]\w+)\("
    for module, name in re.findall(ours, text):
        assert name in dir(getattr(keras_gimlp, module)), f"{module}.{name}"
