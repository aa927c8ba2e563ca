import pytest

from tests.conftest import ROOT
from tests.support_matrix import MEANS


@pytest.mark.parametrize("test", sorted({test for tests in MEANS.values() for test in tests}))
def test_every_test_that_a_cell_means_exists(test):
    file, _, name = test.partition("::")
    assert f"def {name or 'test_'}" in (ROOT / file).read_text()
