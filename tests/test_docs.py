"""The documents, as far as they can be checked without Sphinx; `make docs` runs their examples."""

import ast
import re
import urllib.parse

import pytest

import keras_gimlp
from keras_gimlp import applications, layers, weights
from recipes.__main__ import path_of
from tests.conftest import ROOT, once

pytestmark = once
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
OUTSIDE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "recipes/*.md")
OUTSIDE += ("studies/*.md", "studies/*/*.md", "tests/golden/*.md")
TEXTS = [*PAGES, *sorted(path for pattern in OUTSIDE for path in ROOT.glob(pattern))]
INCLUDE = re.compile(r"^```\{include\} (.*)\n((?::.*\n)*)```", re.MULTILINE)


def name_of(path):
    return str(path.relative_to(ROOT))


EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=name_of)
EVERY_TEXT = pytest.mark.parametrize("path", TEXTS, ids=name_of)


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
    listed = []
    for page in PAGES:
        for body in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(), re.M | re.S):
            names = [line for line in body.splitlines() if line and not line.startswith(":")]
            listed += [(page.parent / f"{name}.md").resolve() for name in names]
    assert sorted(listed) == [page for page in PAGES if page != DOCS / "index.md"]


@EVERY_PAGE
def test_a_page_includes_whole_files_that_exist(page):
    for file, options in INCLUDE.findall(page.read_text()):
        assert (page.parent / file).is_file(), file
        assert not re.search(":(start|end)", options), "a slice breaks when a heading changes"


def test_every_document_of_the_studies_is_a_page():
    included = {
        (page.parent / file).resolve()
        for page in PAGES
        for file, _ in INCLUDE.findall(page.read_text())
    }
    assert {path for path in TEXTS if path.is_relative_to(ROOT / "studies")} <= included


def test_every_document_is_checked():
    folders = [ROOT / name for name in ("docs", "keras_gimlp", "recipes", "studies", "tests")]
    documents = {path for folder in folders for path in folder.rglob("*.md")}
    documents |= set(ROOT.glob("*.md"))
    assert {path for path in documents if "_build" not in path.parts} == set(TEXTS)


@pytest.mark.parametrize(("path", "most"), [("README.md", 120), ("recipes/README.md", 150)])
def test_a_readme_is_read_in_minutes(path, most):
    assert len((ROOT / path).read_text().splitlines()) <= most


def test_every_public_name_has_its_part_of_the_reference():
    parts = re.findall(r"^```\{public\} (\S+)$", "\n".join(p.read_text() for p in PAGES), re.M)
    public = {f"keras_gimlp.layers.{name}" for name in layers.__all__}
    public |= {f"keras_gimlp.weights.{name}" for name in weights.__all__}
    public |= {f"keras_gimlp.applications.{name}" for name in dir(applications)}
    public |= {"keras_gimlp.count_macs", "keras_gimlp.rematerialize"}
    public |= {"keras_gimlp.optimizers.AdamW"}
    public |= {
        f"keras_gimlp.distribution.{name}"
        for name in ("layout_map", "FamilyLayoutMap", "ModelParallel")
    }
    assert sorted(parts) == sorted(public)


@EVERY_TEXT
def test_names_in_a_text_exist(path):
    text = path.read_text()
    ours = r"(?<!keras\.)\b(applications|layers|weights|distribution)\.([A-Za-z]\w+)\("
    for module, name in re.findall(ours, text):
        assert name in dir(getattr(keras_gimlp, module)), f"{module}.{name}"
    for file in re.findall(r"`((?:docs|recipes|studies|tests|keras_gimlp)/[\w./]*\w\.\w+)`", text):
        assert (ROOT / file).exists(), file


@EVERY_TEXT
def test_commands_of_a_text_exist(path):
    text = path.read_text()
    for job in re.findall(r"-m ((?:recipes|studies|tests)\.[\w.]*\w)", text):
        assert job.endswith(".NAME") or path_of(job).is_file(), job
    rules = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"(?:^ +|`|&& )make ([a-z]+)", text, re.MULTILINE):
        assert target in rules, target


@EVERY_TEXT
def test_links_and_images_of_a_text_exist(path):
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^ {4}.*$|`[^`\n]*`", "", text, flags=re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target = urllib.parse.urlsplit(link)
        if not target.scheme and target.path:
            assert (path.parent / target.path).exists(), link
