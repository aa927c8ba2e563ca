"""Writes what leaves Keras in which format: `python -m tests.export_matrix`.

It tries every model in every format, of which `make test` tries some, and writes a table into
docs/support.md, with the reason for each backend that cannot write a format.
"""

import os
import re
import subprocess
import sys
from xml.etree import ElementTree

from recipes.export.formats import FORMATS
from recipes.program import files
from tests.conftest import ROOT
from tests.support_matrix import BACKENDS, PAGE

TEST = "test_a_runtime_computes_what_the_model_computes"
PLACE = re.compile(r"(<!-- export matrix -->\n).*?(<!-- end -->)", re.DOTALL)


def main():
    passed = {}
    for backend in sorted({backend for form in FORMATS.values() for backend in form.writers}):
        report = tried(backend)
        passed |= {(*case, backend): whole for case, whole in cases(report).items()}
    text = f"{table(passed)}\n{reasons()}"
    print(text)
    PAGE.write_text(PLACE.sub(lambda place: place[1] + text + place[2], PAGE.read_text()))


def tried(backend):
    """Runs the test with every model and format on a backend, and returns its report."""
    report = ROOT / "runs" / f"export-{backend}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "--matrix", "--numprocesses", "auto", "-k", TEST]
    command += ["--junitxml", str(report), "tests/recipes/test_export.py"]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"KERAS_BACKEND": backend})
    if not report.exists():
        raise SystemExit(f"The tests did not run: {' '.join(command)}")
    return report


def cases(report):
    """Returns for each model and format in a report whether its test passed."""
    passed = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        test, _, parameters = case.get("name").partition("[")
        if test == TEST:
            model, _, form = parameters.removesuffix("]").rpartition("-")
            passed[model, form] = case.find("failure") is None and case.find("error") is None
    return passed


def table(passed):
    """Returns a table of the outcomes in `passed`, keyed by model, format and backend."""
    models = {model for model, _, _ in passed}
    rows = [
        [model, *(cell(passed, model, form) for form in FORMATS)]
        for model in sorted(models, key=lambda name: ("," in name, name.lower()))
    ]
    return files.markdown_table(["", *FORMATS], rows)


def cell(passed, model, form):
    """Returns the backends that write a model in a format, or that none does."""
    outcomes = {backend: passed.get((model, form, backend)) for backend in FORMATS[form].writers}
    if False in outcomes.values():
        return "fails"
    return ", ".join(BACKENDS[backend] for backend, whole in outcomes.items() if whole) or "no"


def reasons():
    """Returns a line for each format and backend that cannot write it, with the reason."""
    return "".join(
        f"- `{name}` from {BACKENDS[backend]}: not supported, because {reason}.\n"
        for name, form in FORMATS.items()
        for backend, reason in form.cannot.items()
    )


if __name__ == "__main__":
    main()
