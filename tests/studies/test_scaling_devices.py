"""The measurement of how training scales over devices."""

import pytest

from recipes.program import files
from studies.scaling import devices
from tests.conftest import XLA_FLAGS, once

TINY = ["--model_args", "depth=1", "dim=8", "ffn_dim=16", "patch_size=4", "--image_size", "8"]


def test_a_tiny_model_is_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", XLA_FLAGS)  # each process has one device
    short = ["--steps", "1", "--rounds", "1", "--batch_size", "4"]
    devices.main(["--run_dir", str(tmp_path), *TINY, *short])
    record = files.read_json(tmp_path / "scaling.json")
    assert [row["setting"] for row in record["table"]] == ["one", "weak", "strong"]
    assert [row["batch of a device"] for row in record["table"]] == [4, 4, 2]
    assert all(len(seconds) == 1 and seconds[0] > 0 for seconds in record["seconds"].values())
    assert (tmp_path / "scaling.md").read_text() in capsys.readouterr().out


@once
def test_ratios_are_those_of_the_rounds():
    config = devices.Config(batch_size=8, devices=2)
    seconds = {
        "one": [1.0, 3.0],
        "weak": [1.25, 3.75],  # a fifth of the rate is lost
        "weak, apart": [1.125, 3.375],
        "strong": [1.0, 3.0],
        "strong, apart": [0.5, 1.5],
    }
    one, weak, strong = devices.summarize(config, seconds)
    assert one["images/s"] == pytest.approx(8 / 2)
    assert weak["images/s"] == pytest.approx(16 / 2.5)
    assert (weak["speed-up"], weak["efficiency"]) == pytest.approx((1.6, 0.8))
    assert weak["communication"] == pytest.approx(0.1)
    assert (strong["speed-up"], strong["efficiency"]) == pytest.approx((1.0, 0.5))
    assert strong["communication"] == pytest.approx(0.5)


@once
def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(SystemExit, match="--batch_size must be a multiple of --devices"):
        devices.main(["--devices", "3"])
