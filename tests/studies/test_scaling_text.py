"""The measurement of text encoders against the length of the text and the depth."""

import numpy as np
import pytest

from recipes import mlm_pretraining
from recipes.program import files
from studies.scaling import text
from tests.conftest import once


def make_row(model, length, depth, factor, milliseconds, mebibytes=None):
    return {
        "model": model,
        "sequence_length": length,
        "depth_factor": factor,
        "depth": depth,
        "parameters": 1234,
        "milliseconds": milliseconds,
        "mebibytes": mebibytes,
    }


@once
def test_time_and_memory_are_measured(tmp_path):
    sizes = ["--tokens", "64", "--sequence_length", "16", "--depth_length", "16"]
    short = ["--depth_factor", "1", "--rounds", "2", "--models", "python", "small_bert"]
    text.main(["--run_dir", str(tmp_path), *sizes, *short])
    table = files.read_json(tmp_path / "scaling.json")
    assert [(row["model"], row["sequence_length"], row["depth"]) for row in table] == [
        ("python", 16, 4),
        ("small_bert", 16, 8),
    ]
    assert all(len(row["milliseconds"]) == 2 and row["mebibytes"] > 0 for row in table)
    lines = (tmp_path / "scaling.md").read_text().splitlines()
    assert len(lines) == 4
    assert lines[2].endswith("| 1.00 |")
    assert (tmp_path / "scaling.png").stat().st_size > 10_000


@once
def test_tables_have_medians_and_ratios_of_turns_to_the_first_model():
    table = [
        make_row("a", 256, 8, 1.0, [8.0, 4.0, 2.0], 1080),
        make_row("b", 256, 6, 1.0, [4.0, 4.0, 4.0]),
        make_row("a", 256, 16, 2.0, [8.0]),
        make_row("b", 256, 12, 2.0, [32.0]),
    ]
    assert text.format_table(table).splitlines()[2:] == [
        "| a | 256 | 8 | 1,234 | 4 | 1,080 | 1.00 |",
        "| b | 256 | 6 | 1,234 | 4 |  | 1.00 |",
        "| a | 256 | 16 | 1,234 | 8 |  | 1.00 |",
        "| b | 256 | 12 | 1,234 | 32 |  | 4.00 |",
    ]


@once
def test_points_have_as_many_tokens_and_a_share_of_the_depth():
    config = text.CONFIGURATIONS["small"]
    points = [text.Point("small_bert", 128, 0.25), text.Point("small_bert", 64, 0)]
    for point, depth in zip(points, (2, 1), strict=True):
        run = text.scale(config, point)
        assert (run.depth, run.sequence_length) == (depth, point.sequence_length)
        assert run.batch_size * run.sequence_length == config.tokens


@once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tokens", "100"], "--tokens must be a multiple of every length. Received: 100, 128"),
        (["--models", "small_gml"], "no pretraining configuration named 'small_gml'. Did you mean"),
        (["--depth_factor", "0"], "--depth_factor must be above 0. Received: 0.0"),
        (["--rounds", "0"], "--rounds must be at least 1. Received: 0"),
    ],
)
def test_mistakes_end_in_one_sentence(arguments, message, tmp_path):
    with pytest.raises(SystemExit, match=message):
        text.main(["--run_dir", str(tmp_path), *arguments])
    assert not list(tmp_path.iterdir())


@once
def test_random_batches_have_the_inputs_of_a_model():
    config = mlm_pretraining.CONFIGURATIONS["python"]
    x, y = text.random_batch(config, ["token_ids", "mask_positions"])
    assert list(x) == ["token_ids", "mask_positions"]
    assert x["token_ids"].shape == (32, 64)
    assert y.shape == x["mask_positions"].shape == (32, 9)
    assert (np.diff(x["mask_positions"]) > 0).all()
