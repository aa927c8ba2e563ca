"""The benchmark takes the steps that it says and computes with them rightly; no time is tested."""

import dataclasses
import importlib.util
import json
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

from keras_gimlp import applications
from keras_gimlp.counting import count_macs
from studies.speed import __main__ as benchmark
from studies.speed import keras_models, report, subjects
from tests.conftest import ROOT, once

BACKEND = keras.backend.backend()
IMAGES = "gMLP_Ti(depth=1, dim=8, ffn_dim=16, patch_size=8)"
TEXTS = "giBERT_Tiny(num_layers=1, hidden_dim=8, intermediate_dim=12, vocabulary_size=20)"
# Embedding of four patches; expansion, tokens and contraction; classifier.
IMAGE_MACS = 4 * (8 * 8 * 3 * 8) + 4 * (8 * 16 + 4 * 8 + 8 * 8) + 8 * 1000
# Four matrices of the attention and two of the feed-forward network; the attention; classifier.
BERT_MACS = 6 * (4 * 8 * 8 + 2 * 8 * 12) + 2 * 6 * 6 * 8 + 8 * 2
GATE_MACS = 6 * (8 * 16 + 2 * 8 * 8)


def configured(**options):
    config = benchmark.CONFIGURATIONS["short"]
    return dataclasses.replace(config, **{"backends": (BACKEND,), "peers": False} | options)


def make_row(label="a", seconds=(0.5, 1.0, 2.0), **known):
    """A row of 8 examples in a step, of which the median takes a second."""
    (subject,) = subjects.list_subjects(configured(models=("gMLP_S",), modes=("inference",)))
    fields = {k: known.pop(k) for k in list(known) if k in subjects.Subject.__dataclass_fields__}
    subject = dataclasses.replace(subject, **{"model": label} | fields)
    facts = {"parameters": 1_234_567, "macs": 3_000, "mebibytes": 100.0, "accelerator": None}
    facts |= {"first_step_seconds": 9.0, "matrix_size": 100}
    turns = [{"seconds": s, "matrix_seconds": 10.0} for s in seconds]
    return report.make_row(subject, facts | known, turns)


@pytest.fixture
def no_libraries(monkeypatch):
    """No package of PyTorch peers is installed but those that the test adds to the returned set."""
    peers = set()
    find = importlib.util.find_spec

    def find_spec(name):
        known = name not in (subjects.TIMM, subjects.TORCHVISION, subjects.G_MLP)
        return find(name) if known else name in peers or None

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    return peers


# The measurement


def test_the_command_measures_a_tiny_model_beside_its_peer(tmp_path):
    sizes = ["--batch_sizes", "2", "--image_sizes", "16", "--sequence_lengths", "6"]
    short = ["--matrix_size", "32", "--rounds", "2", "--warmup_steps", "1", "--modes", "training"]
    models = ["--models", IMAGES, TEXTS, "--backends", BACKEND, "--run_dir", str(tmp_path)]
    command = [sys.executable, "-m", "studies.speed", *models, *sizes, *short]
    program = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    text = (tmp_path / "benchmark.md").read_text()
    assert text in program.stdout

    record = json.loads((tmp_path / "benchmark.json").read_text())
    assert record["versions"]["keras"] == keras.__version__
    image, gated, plain = record["rows"]
    assert [row.get("error") for row in record["rows"]] == [None] * 3
    assert image["group"] == "gMLP_Ti, training, float32, 2 x 16 px"
    assert gated["group"] == plain["group"] == f"Text on {BACKEND}, training, float32, 2 x 6 tokens"
    assert (gated["library"], plain["library"]) == ("keras_gimlp", "keras_hub")
    assert plain["model"] == TEXTS.removeprefix("gi")

    assert image["macs"] == IMAGE_MACS
    assert (gated["macs"], plain["macs"]) == (BERT_MACS + GATE_MACS, BERT_MACS)
    assert gated["parameters"] - plain["parameters"] == 8 * 16 + 16 + 2 * (8 * 8 + 8)
    for row in record["rows"]:
        assert len(row["seconds"]) == len(row["matrix_seconds"]) == 2
        assert row["examples_per_second"] == pytest.approx(2 / np.median(row["seconds"]))
        assert row["milliseconds"] == pytest.approx(1000 * np.median(row["seconds"]))
        products = 3 * 2 * row["macs"] / np.array(row["seconds"])
        matrix_rate = 32**3 / np.array(row["matrix_seconds"])
        assert row["matrix_share"] == pytest.approx(np.median(products / matrix_rate))
        assert row["first_step_seconds"] > 0
        assert row["mebibytes"] > 0
    ratio = np.median(np.divide(plain["seconds"], gated["seconds"]))
    assert f"| {ratio:.2f} |\n| {plain['label']}" in text

    assert (tmp_path / "benchmark.png").stat().st_size > 10_000


@pytest.mark.backends("torch")
def test_a_profile_lists_the_operations_of_a_step(tmp_path):
    short = ["--matrix_size", "32", "--rounds", "1", "--warmup_steps", "1", "--steps", "2"]
    short += ["--models", IMAGES, "--image_sizes", "16", "--backends", "torch", "--no_peers"]
    benchmark.main([*short, "--modes", "inference", "--profile", "--run_dir", str(tmp_path)])
    (row,) = json.loads((tmp_path / "benchmark.json").read_text())["rows"]
    profile = row["profile"]
    assert [x["share"] for x in profile] == sorted((x["share"] for x in profile), reverse=True)
    assert sum(x["share"] for x in profile) == pytest.approx(1)
    calls = {x["name"]: x["calls"] for x in profile}
    # Expansion, contraction and classifier; the tokens are mixed by `baddbmm`.
    assert (calls["aten::addmm"], calls["aten::baddbmm"]) == (3, 1)
    assert f"| `{profile[0]['name']}` |" in (tmp_path / "benchmark.md").read_text()


@pytest.mark.parametrize("training", [False, True])
def test_a_step_is_one_of_predict_or_fit(training):
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
    x, y = keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor([3, 5])
    _, arguments = subjects.parse(IMAGES)
    model = keras_models.build_image_model("gMLP_Ti", arguments, 16)
    expected = model.predict(images, verbose=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adamw", loss)
    step = keras_models.step_of(model, x, y, training)
    outputs = [step() for _ in range(3)]
    if BACKEND == "jax":  # with the new state
        outputs = [logs for logs, _ in outputs]
    if training:
        losses = [float(logs["loss"]) for logs in outputs]
        first = loss(keras.ops.convert_to_tensor([3, 5]), keras.ops.convert_to_tensor(expected))
        assert losses[0] == pytest.approx(float(first), rel=1e-5)
        assert losses[0] > losses[1] > losses[2]
    else:
        np.testing.assert_allclose(keras.ops.convert_to_numpy(outputs[2]), expected, atol=1e-5)


@once
def test_a_model_that_cannot_be_measured_is_told_and_the_others_are_measured(tmp_path, capfd):
    config = configured(
        models=(IMAGES,), modes=("inference",), batch_sizes=(2,), image_sizes=(16,), matrix_size=32
    )
    (subject,) = subjects.list_subjects(config)
    wrong = dataclasses.replace(subject, model="gMLP_Ti(depth=0)")
    failed, row = benchmark.measure(config, [wrong, subject])
    assert "`depth` must be a positive integer" in failed["error"]
    assert row["macs"] == IMAGE_MACS
    assert failed["error"] in capfd.readouterr().out
    report.write(tmp_path, {}, [failed, row])
    assert f"| {failed['label']} | {failed['error']} |" in (tmp_path / "benchmark.md").read_text()


# What is measured


@once
def test_models_are_written_as_calls():
    assert subjects.parse("gMLP_S") == ("gMLP_S", {})
    assert subjects.parse("CycleMLP_B1(depths=(1, 2), remat=True)") == (
        "CycleMLP_B1",
        {"depths": (1, 2), "remat": True},
    )


@once
def test_every_configuration_can_be_measured():
    for config in benchmark.CONFIGURATIONS.values():
        chosen = subjects.list_subjects(dataclasses.replace(config, backends=("jax", "torch")))
        assert chosen
        assert len(set(chosen)) == len(chosen)


@once
def test_images_are_compared_over_the_backends_and_texts_on_each(no_libraries):
    no_libraries |= {"timm", "g_mlp_pytorch"}
    config = configured(
        models=("gMLP_S", "gMLP_S(remat=True)", "gMLP_MLM_Base"),
        backends=("tensorflow", "jax", "torch"),
        jit_compile=("on", "off"),
        peers=True,
    )
    groups = {}
    for subject in subjects.list_subjects(config):
        groups.setdefault(subject.group, []).append(subject.label)
    timm = ["gmlp_s16_224, timm, compiled", "gmlp_s16_224, timm"]
    assert groups["gMLP_S, inference, float32, 8 x 224 px"] == [
        *("gMLP_S, tensorflow, compiled", "gMLP_S, tensorflow", "gMLP_S, jax, compiled"),
        *("gMLP_S, torch, compiled", "gMLP_S, torch", *timm),
    ]
    # Without a backward pass nothing is computed again.
    again = groups["gMLP_S, training, float32, 8 x 224 px"]
    assert len(again) == 5 + 5 + 2
    assert again[5] == "gMLP_S(remat=True), tensorflow, compiled"
    assert again[-2:] == timm
    assert groups["Text on jax, training, float32, 8 x 128 tokens"] == [
        "gMLP_MLM_Base, jax, compiled",
        "BERT_Base, jax, compiled",
    ]
    assert groups["Text on torch, training, float32, 8 x 128 tokens"] == [
        *("gMLP_MLM_Base, torch, compiled", "gMLP_MLM_Base, torch"),
        *("BERT_Base, torch, compiled", "BERT_Base, torch"),
        *("gMLP_MLM_Base, g_mlp_pytorch, compiled", "gMLP_MLM_Base, g_mlp_pytorch"),
    ]


@once
def test_a_peer_has_the_sizes_of_ours_or_is_left_out(no_libraries):
    no_libraries |= {"timm", "torchvision", "g_mlp_pytorch"}
    assert subjects.torch_peers("gMLP_S", {"depth": 2}) == []
    (peer,) = subjects.torch_peers("CycleMLP_B1", {"depths": (1, 1, 1, 1), "remat": True})
    assert peer["model"] == "CycleMLP_B1(depths=(1, 1, 1, 1))"
    assert dict(peer["arguments"]) == {
        "depths": (1, 1, 1, 1),
        "dims": (64, 128, 320, 512),
        "mlp_ratios": (4, 4, 4, 4),
        "stem_size": 7,
        "stem_strides": 4,
    }
    assert subjects.plain_encoders("gMLP_MLM_Base", {"depth": 2}) == []
    assert subjects.plain_encoders("giBERT_Base", {"rank": 64, "num_layers": 2}) == [
        "BERT_Base(num_layers=2)"
    ]
    no_libraries.clear()
    assert subjects.torch_peers("gMLP_S", {}) == []


@once
def test_weights_of_bfloat16_are_not_trained():
    config = configured(models=("gMLP_S",), precisions=("bfloat16", "mixed_bfloat16"))
    cases = [(subject.mode, subject.precision) for subject in subjects.list_subjects(config)]
    assert cases == [
        ("inference", "bfloat16"),
        ("inference", "mixed_bfloat16"),
        ("training", "mixed_bfloat16"),
    ]


@once
def test_encoders_of_kerashub_are_counted():
    model = applications.giDeBERTaV3(
        vocabulary_size=9,
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=12,
        bucket_size=3,
    )
    layer = 6 * (4 * 8 * 8 + 2 * 8 * 12) + 2 * 6 * 6 * 8 + GATE_MACS
    # Six positions, projected as queries and keys, and their products with 6 tokens.
    layer += 6 * 2 * 8 * 8 + 2 * 6 * 6 * 8
    assert count_macs(model, tokens=6) == 2 * layer


@pytest.mark.backends("torch")
def test_the_deformable_form_of_cyclemlp_equals_ours(monkeypatch):
    import torch

    def deform_conv2d(x, offset, weight, bias):
        """For offsets that are whole numbers, the same everywhere; zero outside of the image."""
        shifted = torch.zeros_like(x)
        _, channels, height, width = x.shape
        offset = offset[0, :, 0, 0].reshape(channels, 2).int().tolist()
        for c, (down, right) in enumerate(offset):
            for i in range(max(-down, 0), min(height - down, height)):
                for j in range(max(-right, 0), min(width - right, width)):
                    shifted[:, c, i, j] = x[:, c, i + down, j + right]
        return torch.nn.functional.conv2d(shifted, weight, bias)

    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    ops = types.SimpleNamespace(deform_conv2d=deform_conv2d)
    monkeypatch.setitem(sys.modules, "torchvision.ops", ops)
    from studies.speed import torch_peers

    sizes = {"depths": (1, 2), "dims": (8, 12), "mlp_ratios": (2, 3)}
    sizes |= {"stem_size": 3, "stem_strides": 2}
    (subject,) = subjects.list_subjects(configured(models=("CycleMLP_B1",), modes=("inference",)))
    subject = dataclasses.replace(
        subject, library="torchvision", size=16, batch_size=2, arguments=tuple(sizes.items())
    )
    assert torch_peers.difference(subject) < benchmark.TOLERANCE


# Tables and mistakes


@once
def test_the_share_of_the_matrix_rate_counts_three_products_in_training():
    # 8 examples of 3,000 in a second, beside 1,000,000 in ten.
    assert make_row()["matrix_share"] == pytest.approx(0.24)
    assert make_row(mode="training")["matrix_share"] == pytest.approx(0.72)


@once
def test_ratios_are_medians_over_the_rounds():
    slow, fast = make_row(seconds=(1.0, 2.0, 9.0)), make_row(seconds=(0.5, 2.0, 3.0))
    assert report.ratio(fast, slow) == 2.0
    assert report.ratio(slow, fast) == 0.5


@once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "gMLP_X"], "no model named 'gMLP_X'. Did you mean"),
        (["--models", "gMLP_S(deep=3)"], "no argument of gMLP_S named 'deep'. Did you mean depth"),
        (["--models", "gMLP_S(3)"], "A model is a name, or a call such as 'gMLP_S.depth=2.'"),
        (["--models", "gMLP S"], "A model is a name, or a call"),
        (["--rounds", "0"], "--rounds must be at least 1. Received: 0"),
    ],
)
def test_mistakes_end_in_one_sentence(arguments, message, tmp_path):
    with pytest.raises(SystemExit, match=message):
        benchmark.main([*arguments, "--run_dir", str(tmp_path / "new")])
    assert not list(tmp_path.iterdir())


@once
def test_results_are_not_overwritten(tmp_path):
    (tmp_path / "benchmark.json").write_text("{}")
    with pytest.raises(SystemExit, match="holds files already, and was left as it is"):
        benchmark.main(["--run_dir", str(tmp_path), "--models", IMAGES, "--backends", BACKEND])
