import pytest

from recipes.export.formats import FORMATS
from tests import export_matrix, support_matrix
from tests.conftest import ROOT, once
from tests.support_matrix import MEANS

pytestmark = once


@pytest.mark.parametrize("matrix", [support_matrix, export_matrix], ids=["support", "export"])
def test_the_page_has_one_place_for_each_table(matrix):
    assert len(matrix.PLACE.findall(support_matrix.PAGE.read_text())) == 1


def test_the_tables_of_the_page_have_the_columns_and_reasons_of_the_scripts():
    text = support_matrix.PAGE.read_text()
    assert f"\n|  | {' | '.join(MEANS)} |\n" in text
    assert f"\n|  | {' | '.join(FORMATS)} |\n" in text
    assert export_matrix.reasons() in text


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
    cases = export_matrix.cases(tmp_path / "report.xml")
    onnx, litert = ("gMLP", "onnx"), ("gMLP", "litert")
    assert cases == {("CycleMLP, maps", "onnx"): True, onnx: True, litert: False}
    passed = {(*onnx, "torch"): True, (*onnx, "tensorflow"): True, (*litert, "tensorflow"): False}
    assert export_matrix.cell(passed, *onnx) == "PyTorch, TensorFlow"
    assert export_matrix.cell(passed, *litert) == "fails"
    assert export_matrix.cell(passed, "gMLP", "torch") == "no"
    assert "| gMLP | PyTorch, TensorFlow | no | fails | no | no |" in export_matrix.table(passed)


def test_the_test_of_the_export_matrix_exists():
    text = (ROOT / "tests" / "recipes" / "test_export.py").read_text()
    assert f"def {export_matrix.TEST}(" in text
    assert export_matrix.reasons().count("\n") == sum(len(x.cannot) for x in FORMATS.values())
