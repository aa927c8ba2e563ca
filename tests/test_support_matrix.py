import pytest

from recipes.export.formats import FORMATS
from tests import export_matrix
from tests.conftest import ROOT, once
from tests.support_matrix import MEANS

pytestmark = once


@pytest.mark.parametrize("test", sorted({test for tests in MEANS.values() for test in tests}))
def test_every_test_that_a_cell_means_exists(test):
    file, _, name = test.partition("::")
    assert f"def {name or 'test_'}" in (ROOT / file).read_text()


REPORT = """<testsuites><testsuite>
<testcase classname="tests.recipes.test_export" name="TEST[CycleMLP, maps-onnx]"/>
<testcase classname="tests.recipes.test_export" name="TEST[gMLP-onnx]"/>
<testcase classname="tests.recipes.test_export" name="TEST[gMLP-litert]"><failure/></testcase>
<testcase classname="tests.recipes.test_export" name="test_another[gMLP-torch]"/>
</testsuite></testsuites>""".replace("TEST", export_matrix.TEST)


def test_a_model_is_exported_where_its_test_passed(tmp_path):
    (tmp_path / "report.xml").write_text(REPORT)
    found = export_matrix.cases(tmp_path / "report.xml")
    onnx, litert = ("gMLP", "onnx"), ("gMLP", "litert")
    assert found == {("CycleMLP, maps", "onnx"): True, onnx: True, litert: False}
    passed = {(*onnx, "torch"): True, (*onnx, "tensorflow"): True, (*litert, "tensorflow"): False}
    assert export_matrix.cell(passed, *onnx) == "PyTorch, TensorFlow"
    assert export_matrix.cell(passed, *litert) == "fails"
    assert export_matrix.cell(passed, "gMLP", "torch") == "no"
    assert "| gMLP | PyTorch, TensorFlow | no | fails | no | no |" in export_matrix.table(passed)


def test_the_test_of_the_export_matrix_exists():
    text = (ROOT / "tests" / "recipes" / "test_export.py").read_text()
    assert f"def {export_matrix.TEST}(" in text
    assert export_matrix.reasons().count("\n") == sum(len(x.cannot) for x in FORMATS.values())
