"""The language recipes as their users run them: whole studies, continued ones, and mistakes."""

import csv
import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_gimlp import applications
from keras_gimlp.layers import GateWithInhibition
from recipes import glue, ner, squad, swag
from recipes.program import layers_within
from recipes.text import encoders, fine_tuning, study, synthetic
from tests.conftest import mostly_once, once
from tests.recipes.jobs import shorten_data
from tests.test_package import other_backend, python

RECIPES = {"glue": glue, "squad": squad, "swag": swag, "ner": ner}
SIZES = ("--num_layers", "1", "--num_heads", "2", "--hidden_dim", "8", "--intermediate_dim", "16")
SHORT = (*SIZES, "--epochs", "1", "--steps_per_epoch", "2", "--batch_size", "8")
FILES = {"config.json", "metrics.csv", "checkpoint-1.npz", "curves.png", "preset", "summary.json"}
FILES |= {"run.lock"}


@pytest.fixture(autouse=True, scope="module")
def less_data():
    with pytest.MonkeyPatch.context() as patch:
        shorten_data(patch.setattr)
        yield


def run(recipe, folder, *arguments):
    recipe.main(["--run_dir", str(folder), *SHORT, *map(str, arguments)])


def results(folder):
    return json.loads((folder / "results.json").read_text())


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "config", "scores"),
    mostly_once(
        [
            ("glue", "generated", {"matthews"}),
            ("glue", "generated_pairs", {"pearson", "spearman"}),
            ("squad", "generated", {"em", "f1"}),
            ("squad", "generated_v2", {"em", "f1", "best_f1"}),
            ("swag", "generated", {"accuracy"}),
            ("ner", "generated", {"f1", "precision", "recall"}),
        ],
        # The others train on every backend in test_devices.py.
        ("glue", "generated", {"matthews"}),
        ("ner", "generated", {"f1", "precision", "recall"}),
    ),
)
def test_every_recipe_compares_the_plain_with_the_gated_encoder(name, config, scores, tmp_path):
    run(RECIPES[name], tmp_path, "--config", config)
    plain, gated = results(tmp_path)
    assert (plain["model"], plain["inhibition"]) == ("BERT", None)
    assert (gated["model"], gated["inhibition"], gated["activation"]) == ("giBERT", 0.3, "gelu")
    assert gated["parameters"] - plain["parameters"] == 2 * 2 * (8 * 8 + 8)
    for row in (plain, gated):
        assert row["mean"].keys() == scores
        assert all(-1 <= value <= 1 for value in row["mean"].values())
    folder = tmp_path / f"giBERT-0.3-gelu-{keras.backend.backend()}-seed0"
    own = {"squad": {"predictions.json"}, "glue": {"test_predictions.json"}}
    expected = FILES | own.get(name, set())
    assert {path.name for path in folder.iterdir()} == expected
    assert np.isfinite(float(rows(folder)[0]["loss"]))
    assert (tmp_path / "results.md").read_text().count("| giBERT | 0.3 | gelu | 1 |") == 1


# BERT, giBERT and aMLP are trained by other tests of this file.
@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    mostly_once(sorted(set(encoders.KINDS) - {"BERT", "giBERT", "aMLP"}), "giDeBERTaV3", "AFT"),
)
def test_every_encoder_is_trained_by_name(model, tmp_path):
    run(glue, tmp_path, "--model", model)
    assert results(tmp_path)[0]["model"] == model


# What the other recipes make of aMLP is compared in test_devices.py.
def test_ner_trains_amlp(tmp_path):
    run(ner, tmp_path, "--model", "aMLP", "--attention_dim", "4")
    assert results(tmp_path)[0]["model"] == "aMLP"


# KerasHub leaves the file of the vocabulary open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_swag_trains_gmlp_with_dense_spatial_weights_on_texts_of_every_length(tmp_path):
    contexts = [context for context, *_ in synthetic.continuations(50, seed=0)]
    tokenizer = encoders.KINDS["gMLP"].new_tokenizer(contexts, 60)
    backbone = applications.gMLP_MLM(
        vocabulary_size=tokenizer.vocabulary_size(),
        depth=1,
        dim=8,
        ffn_dim=16,
        sequence_length=40,
        spatial="dense",
    )
    encoders.save(applications.gMLPMaskedLM(backbone), tokenizer, tmp_path / "dense")
    dense = ("--model", "gMLP", "--weights", tmp_path / "dense", "--sequence_length", 40)
    run(swag, tmp_path / "study", *dense)
    assert results(tmp_path / "study")[0]["model"] == "gMLP"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Returns the folder of a finished study of glue with two seeds."""
    folder = tmp_path_factory.mktemp("finished")
    run(glue, folder, "--model", "giBERT", "--epochs", "2", "--seeds", "2")
    return folder


@pytest.mark.slow
def test_seeds_give_a_mean_and_a_spread(finished):
    (row,) = results(finished)
    values = row["scores"]["matthews"]
    assert row["seeds"] == len(values) == 2
    assert row["mean"]["matthews"] == pytest.approx(np.mean(values))
    assert row["std"]["matthews"] == pytest.approx(np.std(values, ddof=1))
    losses = [
        float(rows(finished / f"giBERT-0.3-gelu-{keras.backend.backend()}-seed{seed}")[0]["loss"])
        for seed in (0, 1)
    ]
    assert losses[0] != losses[1]


@pytest.mark.slow
@once
def test_finished_runs_are_not_repeated(finished, capsys):
    run(glue, finished, "--model", "giBERT", "--epochs", "2", "--seeds", "2")
    assert capsys.readouterr().out.count("This run is complete") == 2


# The file that the interrupted run was writing is closed by the garbage collector.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_killed_study_goes_on_where_it_was(finished, tmp_path, monkeypatch):
    score = fine_tuning.Score.on_epoch_end

    def killed(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt
        score(self, epoch, logs)

    arguments = ("--model", "giBERT", "--epochs", "2")
    monkeypatch.setattr(fine_tuning.Score, "on_epoch_end", killed)
    with pytest.raises(KeyboardInterrupt):
        run(glue, tmp_path, *arguments)
    monkeypatch.setattr(fine_tuning.Score, "on_epoch_end", score)
    run(glue, tmp_path, *arguments)
    name = f"giBERT-0.3-gelu-{keras.backend.backend()}-seed0"
    assert [row["epoch"] for row in rows(tmp_path / name)] == ["0", "1"]
    weights = [
        np.load(folder / name / "checkpoint-2.npz").values() for folder in (finished, tmp_path)
    ]
    for expected, got in zip(*weights, strict=True):
        np.testing.assert_array_equal(got, expected)


# KerasHub compiles what it loads, and misses the optimizer's state in the file.
@pytest.mark.process
@once
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_a_trained_preset_predicts_the_same_from_texts_on_another_backend(finished):
    folder = finished / f"giBERT-0.3-gelu-{keras.backend.backend()}-seed0" / "preset"
    texts = ["the old fox sees a small river .", "fox the old sees a small river .", ""]
    task = applications.giBERTTextClassifier.from_preset(str(folder))
    expected = task.predict(texts, verbose=0)
    assert expected.shape == (3, 2)
    python(
        "import sys, json, numpy as np\n"
        "from keras_gimlp import applications\n"
        "task = applications.giBERTTextClassifier.from_preset(sys.argv[1])\n"
        "np.save(sys.argv[2], task.predict(json.loads(sys.argv[3]), verbose=0))\n",
        folder,
        finished / "y.npy",
        json.dumps(texts),
        backend=other_backend(),
    )
    np.testing.assert_allclose(np.load(finished / "y.npy"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@once
def test_a_trained_preset_is_where_another_task_begins(finished, tmp_path):
    folder = finished / f"giBERT-0.3-gelu-{keras.backend.backend()}-seed0" / "preset"
    run(ner, tmp_path, "--model", "giBERT", "--inhibition", "0.1", "--weights", folder)
    assert results(tmp_path)[0]["inhibition"] == 0.1


@pytest.mark.slow
def test_gates_alone_are_trained_on_request(tmp_path, capsys):
    run(glue, tmp_path, "--model", "giBERT", "--train", "gates", "--rank", "2")
    # Two gates of rank 2, the head, and nothing of the encoder.
    trained = 2 * (8 * 2 + 2 + 2 * 8 + 8) + 8 * 2 + 2
    assert f"{trained:,} of them trained" in capsys.readouterr().out


def test_gates_start_as_they_are_told():
    gates = {}
    for stddev, seed in ((0.02, 0), (0.02, 0), (0.02, 1), (0.0, 0)):
        config = dataclasses.replace(
            glue.Config(), gate_stddev=stddev, seed=seed, hidden_dim=32, intermediate_dim=32
        )
        setting = study.Setting("giBERT", 0.3, "gelu")
        encoder = encoders.load(config, setting, ["some words to begin with"])
        found = layers_within.find(encoder.backbone, GateWithInhibition)
        gates.setdefault((stddev, seed), []).append(
            [keras.ops.convert_to_numpy(p.kernel) for g in found for p in g.inhibition_projections]
        )
    first, again = gates[0.02, 0]
    (other,), (still,) = gates[0.02, 1], gates[0.0, 0]
    assert len(first) == 4  # queries and keys of two layers
    np.testing.assert_array_equal(first, again)
    assert np.std(first, axis=(1, 2)) == pytest.approx(np.full(4, 0.02), rel=0.1)
    assert len({kernel[0, 0] for kernel in first + other}) == 8
    assert not np.any(still)


@pytest.mark.slow
@once
def test_texts_that_are_too_long_are_counted(tmp_path, capsys):
    run(glue, tmp_path, "--model", "BERT", "--sequence_length", "8")
    output = capsys.readouterr().out
    assert "of 200 training examples are longer than --sequence_length 8 and were trunc" in output


@once
@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("glue", ["--task", "colo"], "There is no task named 'colo'. Did you mean cola"),
        (
            "glue",
            ["--model", "gBERT"],
            "no text encoder named 'gBERT'. Did you mean giBERT or",
        ),
        ("glue", ["--model", "BERT", "--train", "gates"], "--train gates needs a gated encoder"),
        (
            "glue",
            ["--model", "giBERT", "--inhibition", "1.5"],
            "--inhibition must be at least 0 and",
        ),
        (
            "glue",
            ["--model", "giBERT", "--gated_layers", "2"],
            "`gated_layers` must be at most `num_layers`",
        ),
        ("glue", ["--weights", "nowhere"], "(?s)BERT cannot be built: .*preset=.nowhere."),
        ("glue", ["--seeds", "0"], "--seeds must be at least 1. Received: 0"),
        ("glue", ["--learning_rate", "-1"], "--learning_rate must be above 0. Received: -1.0"),
        ("glue", ["--steps_per_epoch", "0"], "--steps_per_epoch must be at least 1. Received: 0"),
        ("glue", ["--dropout", "1"], "--dropout must be at least 0 and below 1. Received: 1.0"),
        ("ner", ["--sequence_length", "2"], "--sequence_length must be at least 5. Received: 2"),
        ("glue", ["--batch_size", "201"], "at most the number of training examples, 200"),
        (
            "glue",
            ["--config", "cola", "--data_dir", "nowhere"],
            "'glue/cola/2.0.0' is not prepared",
        ),
        ("squad", ["--stride", "0"], "--stride must be at least 1. Received: 0"),
        ("squad", ["--question_length", "44"], "must leave room for the text beside --question_"),
        ("squad", ["--stride", "40"], "--stride must be at most 28"),
        ("squad", ["--held_out", "1"], "--held_out must be at least 0 and below 1. Received: 1.0"),
        ("swag", ["--data", "swag"], "--data swag needs --data_dir, a folder with one file train"),
        ("swag", ["--data", "xyz"], "There is no data set named 'xyz'. Known: generated, swag"),
        ("ner", ["--data", "files"], "--data files needs --train_file"),
        (
            "ner",
            ["--data", "files", "--train_file", "no", "--test_file", "no"],
            "no cannot be read",
        ),
    ],
)
def test_mistakes_end_in_one_sentence(name, arguments, message, tmp_path, monkeypatch):
    monkeypatch.setattr("tensorflow_datasets.core.DatasetBuilder.download_and_prepare", refuse)
    with pytest.raises(SystemExit, match=message):
        run(RECIPES[name], tmp_path, *arguments)
    # So that the corrected command finds its folder free.
    assert not list(tmp_path.iterdir())


def refuse(self, **kwargs):
    raise ConnectionError("no network")


@pytest.mark.slow
@once
def test_an_encoder_that_is_too_short_is_refused(finished, tmp_path):
    folder = finished / f"giBERT-0.3-gelu-{keras.backend.backend()}-seed0" / "preset"
    arguments = ("--model", "giBERT", "--weights", folder, "--sequence_length", "64")
    with pytest.raises(SystemExit, match="takes at most 32 tokens. Received: --sequence_length 64"):
        run(glue, tmp_path, *arguments)


@pytest.mark.process
@once
def test_a_missing_extra_is_named_with_the_command_that_installs_it():
    python(
        "import importlib, sys\n"
        "for called in sys.argv[1:]:\n"
        "    package, name, *arguments = called.split()\n"
        "    sys.modules[package] = None\n"
        "    try:\n"
        "        importlib.import_module(f'recipes.{name}').main(arguments)\n"
        "    except SystemExit as error:\n"
        "        expected = f'need {package}: pip install -c constraints.txt -e \".[language]\"'\n"
        "        assert expected in str(error), error\n"
        "    else:\n"
        "        raise AssertionError(f'not refused: {called}')\n"
        "    del sys.modules[package]\n",
        *("keras_hub glue", "keras_hub fill_masks --preset none --texts [MASK]"),
        *("keras_hub mlm_pretraining", "sentencepiece squad", "seqeval ner"),
    )


@pytest.mark.process
@once
@pytest.mark.parametrize("recipe", ["glue --weights none", "fill_masks --preset none --texts a"])
def test_presets_of_this_package_are_known_in_a_new_process(recipe):
    python(
        "import importlib, sys, keras\n"
        "name, *arguments = sys.argv[1].split()\n"
        "try:\n"
        "    importlib.import_module(f'recipes.{name}').main(arguments)\n"
        "except SystemExit:\n"
        "    pass\n"
        "assert keras.saving.get_registered_object('keras_gimlp>gMLPTokenizer') is not None\n",
        recipe,
    )


@pytest.mark.process
@once
def test_help_of_the_language_recipes_imports_nothing_heavy():
    python(
        "import contextlib, importlib, io, sys\n"
        "for name in sys.argv[1:]:\n"
        "    recipe = importlib.import_module(name)\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "        with contextlib.suppress(SystemExit):\n"
        "            recipe.main(['--help'])\n"
        "    assert 'usage' in out.getvalue(), name\n"
        "heavy = {'keras', 'tensorflow', 'keras_hub', 'sklearn', 'scipy', 'torch', 'jax'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n",
        *("recipes.glue", "recipes.squad", "recipes.swag", "recipes.ner"),
        *("recipes.mlm_pretraining", "recipes.fill_masks", "recipes.compare"),
        *("studies.scaling.text", "studies.gates.levels", "studies.gates.diagnosis"),
    )
