"""The measurement of attention layers against the number of tokens."""

import numpy as np
import pytest

from recipes.program import files
from studies.scaling import attention, steps
from tests.conftest import once

TINY = ["--dim", "8", "--num_heads", "2", "--tokens", "32", "--warmup_steps", "1"]


def make_row(layer, length, milliseconds, mebibytes=None):
    """Steps of 1,024 tokens."""
    return {
        "layer": layer,
        "sequence_length": length,
        "parameters": 1234,
        "milliseconds": milliseconds,
        "mebibytes": mebibytes,
        "batch_size": 1024 // length,
    }


@once
def test_tiny_layers_are_measured(tmp_path, capsys):
    short = ["--rounds", "2", "--sequence_length", "32", "16"]
    layers = ["--layers", "MultiHeadAttention", "fixed"]
    attention.main(["--run_dir", str(tmp_path), *TINY, *short, *layers])
    table = files.read_json(tmp_path / "scaling.json")
    assert [(row["layer"], row["sequence_length"], row["batch_size"]) for row in table] == [
        (layer, length, 32 // length) for length in (16, 32) for layer in layers[1:]
    ]
    assert all(len(row["milliseconds"]) == 2 and row["mebibytes"] >= 0 for row in table)
    assert {row["parameters"] for row in table} == {4 * (8 * 8 + 8)}
    written = (tmp_path / "scaling.md").read_text()
    assert written in capsys.readouterr().out
    points, exponents = (part.splitlines() for part in written.split("\n\n"))
    assert (len(points), len(exponents)) == (2 + 4, 2 + 2)
    assert [line.endswith("| 1.00 |") for line in points[2::2]] == [True, True]
    assert (tmp_path / "scaling.png").stat().st_size > 10_000


@once
def test_every_layer_is_built_in_segments_and_rows_of_the_square_root():
    config = attention.CONFIGURATIONS["short"]
    for name in config.layers:
        point = attention.Point(name, 512)
        model = attention.build_model(config, point)
        assert model.input_shape == model.output_shape == (None, 512, 512)
        assert model.count_params() == 4 * (512 * 512 + 512)
        if name != "MultiHeadAttention":
            layer = model.layers[-1]
            assert (layer.pattern, layer.num_heads, layer.causal) == (name, 8, True)
            assert layer.segment_size or layer.columns or name == "logsparse"
    sides = [attention.side(length) for length in (256, 1024, 4096, 8192, 2)]
    assert sides == [16, 32, 64, 64, 1]


@once
def test_exponents_are_those_of_an_example_at_the_longest_lengths():
    """A step has as many tokens at every length, so its time grows with one exponent less."""
    lengths = (64, 128, 256, 512)
    table = [make_row("linear", n, [5.0, 1.0, 3.0], 7) for n in lengths]
    table += [make_row("square", n, [n / 10], n) for n in lengths]
    table[4]["milliseconds"] = [1000.0]  # of the shortest, which is not fitted
    rows = steps.group(table, "layer")
    for name, exponent in (("linear", 1), ("square", 2)):
        for value in (attention.milliseconds, attention.mebibytes):
            assert attention.fit_exponent(rows[name], value) == pytest.approx(exponent)
    assert attention.fit_exponent(rows["linear"][:1], attention.mebibytes) is None


@once
def test_tables_have_times_of_an_example_and_ratios_of_turns():
    table = [
        make_row("a", 256, [8.0, 4.0, 2.0], 80),
        make_row("b", 256, [4.0, 4.0, 4.0]),
        make_row("a", 512, [8.0]),
        make_row("b", 512, [32.0]),
    ]
    points, exponents = attention.format_tables(table).split("\n\n")
    assert points.splitlines()[2:] == [
        "| a | 256 | 1,234 | 1.00 | 20.0 | 1.00 |",
        "| b | 256 | 1,234 | 1.00 |  | 1.00 |",
        "| a | 512 | 1,234 | 4.00 |  | 1.00 |",
        "| b | 512 | 1,234 | 16.00 |  | 4.00 |",
    ]
    assert exponents.splitlines()[2:] == ["| a | 2.00 |  |", "| b | 4.00 |  |"]


@once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tokens", "300"], "--tokens must be a multiple of every length. Received: 300, 256"),
        (["--num_heads", "3"], "--dim must be a multiple of --num_heads. Received: 512, 3"),
        (["--layers", "fixd"], "There is no layer named 'fixd'. Did you mean fixed?"),
        (["--no_causal"], "--no_causal takes MultiHeadAttention and fixed. Received: logsparse"),
        (["--rounds", "0"], "--rounds must be at least 1. Received: 0"),
    ],
)
def test_mistakes_end_in_one_sentence(arguments, message, tmp_path):
    with pytest.raises(SystemExit, match=message):
        attention.main(["--run_dir", str(tmp_path), *arguments])
    assert not list(tmp_path.iterdir())


def test_a_layer_that_is_not_causal_attends_to_later_tokens():
    config = attention.Config(causal=False, dim=8, num_heads=2)
    x = np.random.default_rng(0).normal(size=(2, 16, 8)).astype("float32")
    for name in ("MultiHeadAttention", "fixed"):
        model = attention.build_model(config, attention.Point(name, 16))
        changed = x.copy()
        changed[:, -1] += 1
        first = np.abs(model.predict(changed, verbose=0) - model.predict(x, verbose=0))[:, 0]
        assert first.max() > 1e-4
