"""Model cards: they say what is in the run folder, hubs read them, and their examples run."""

import json
import sys

import keras
import numpy as np
import pytest
from huggingface_hub import ModelCard

from recipes import card, glue, image_classification, mlm_pretraining
from studies.gates import diagnosis
from tests.conftest import once
from tests.recipes.jobs import shorten_data
from tests.test_package import run_examples

pytestmark = [once, pytest.mark.slow]

COMMANDS = {
    "image_classification": (
        *("--model", "MLPMixer_S16", "--model_args", "patch_size=4", "depth=1", "dim=8"),
        *("tokens_mlp_dim=4", "channels_mlp_dim=8", "--epochs", "2", "--steps_per_epoch", "2"),
        *("--warmup_steps", "1", "--seed", "3"),
    ),
    "glue": (
        *("--num_layers", "1", "--num_heads", "2", "--hidden_dim", "8", "--intermediate_dim", "16"),
        *("--epochs", "1", "--steps_per_epoch", "2", "--batch_size", "8"),
    ),
    "diagnosis": (
        *("--num_layers", "1", "--num_heads", "2", "--hidden_dim", "8", "--intermediate_dim", "16"),
        *("--epochs", "1", "--steps_per_epoch", "1", "--batch_size", "8", "--model", "giBERT"),
    ),
    "mlm_pretraining": (
        *("--depth", "1", "--dim", "8", "--ffn_dim", "16", "--vocabulary_size", "60"),
        *("--sequence_length", "16", "--batch_size", "4", "--steps", "2", "--test_every", "1"),
        *("--warmup_steps", "1"),
    ),
}


def trained(job, folder, *arguments):
    """Runs a job as its command would, by which a run knows it."""
    name = job.__name__
    arguments = ["--run_dir", str(folder), *COMMANDS[name.rpartition(".")[2]], *arguments]
    with pytest.MonkeyPatch.context() as patch:
        shorten_data(patch.setattr)
        patch.setattr(sys, "orig_argv", ["python", "-m", name, *arguments])
        job.main(arguments)
    return folder


@pytest.fixture(scope="module")
def images_run(tmp_path_factory):
    return trained(image_classification, tmp_path_factory.mktemp("images"))


def written(folder, *arguments):
    """Writes the card of a run and returns it as a hub reads it."""
    card.main(["--run_dir", str(folder), *arguments])
    return ModelCard.load(folder / "README.md")


def test_a_card_says_what_an_image_run_holds(images_run, monkeypatch):
    found = written(images_run)
    summary = json.loads((images_run / "summary.json").read_text())
    expected = {"license": "unknown", "library_name": "keras", "datasets": ["digits"]}
    expected |= {"tags": ["keras_gimlp", "MLPMixer_S16"], "metrics": ["accuracy"]}
    assert found.data.to_dict() == expected | {"pipeline_tag": "image-classification"}
    for line in (
        f"{summary['parameters']:,} parameters, trained by\n`python -m recipes.image_classif",
        "Its initial weights were random.",
        f"| test_accuracy | {summary['test_accuracy']:.6g} |",
        "One run of 2 epochs with seed 3.",
        "| learning_rate | `0.002` |",
        "License: unknown: neither this nor that of the data is in the run.",
        f"on {summary['hardware']}, commit\n",
        f"keras {keras.__version__}",
        "    python -m recipes.image_classification --run_dir",
    ):
        assert line in found.content
    assert "None`, whose license" not in found.content
    monkeypatch.chdir(images_run)
    example = "```python\nimages = __import__('numpy').ones((1, 8, 8, 1))\n```\n"
    run_examples(f"{example}{found.content}```python\nassert logits.shape == (1, 10)\n```")


def test_a_license_is_what_its_owner_says_it_is(images_run, tmp_path):
    output = tmp_path / "new" / "card.md"
    card.main(["--run_dir", str(images_run), "--license", "mit", "--output", str(output)])
    found = ModelCard.load(output)
    assert found.data.license == "mit"
    assert "License: mit.\n" in found.content


# KerasHub compiles what it loads, and misses the state of the optimizer. It leaves closing the
# SentencePiece model to the garbage collector.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_card_says_what_text_runs_hold(tmp_path, monkeypatch):
    study = trained(glue, tmp_path / "glue", "--model", "BERT", "giBERT")
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"the cat {i} sat on a mat and saw the dog ." for i in range(80)))
    pretrained = trained(mlm_pretraining, tmp_path / "mlm", "--files", str(text))
    watched = trained(diagnosis, tmp_path / "diagnosis")
    backend = keras.backend.backend()
    for folder, model, task, metrics in (
        (study / f"BERT-{backend}-seed0", "BERT", "text-classification", ["matthews"]),
        (study / f"giBERT-0.3-gelu-{backend}-seed0", "giBERT", "text-classification", ["matthews"]),
        (
            watched / f"giBERT-0.3-gelu-{backend}-seed0",
            "giBERT",
            "text-classification",
            ["matthews"],
        ),
        (pretrained, "gMLP", "fill-mask", ["perplexity"]),
    ):
        found = written(folder)
        assert found.data.tags == ["keras_gimlp", model]
        assert found.data.library_name == "keras-hub"  # which reads presets
        assert (found.data.pipeline_tag, found.data.metrics) == (task, metrics)
        assert found.data.datasets == ([] if model == "gMLP" else ["generated"])
        assert ("One run of 2 steps" if model == "gMLP" else "One run of 1 epochs") in found.content
        monkeypatch.chdir(folder)
        run_examples(f"{found.content}```python\nassert task.count_params()\n```")
    with pytest.raises(SystemExit, match="in a study the folder of a model and a seed"):
        written(study)


def test_what_is_no_finished_run_of_a_model_is_refused_in_one_sentence(images_run, tmp_path):
    def refused(message):
        with pytest.raises(SystemExit, match=message):
            card.main(["--run_dir", str(tmp_path), "--output", str(tmp_path / "card.md")])
        assert not (tmp_path / "card.md").exists()

    refused("is no run folder: it has no config.json. Name the folder of one run")
    record = json.loads((images_run / "config.json").read_text())
    path = tmp_path / "config.json"
    path.write_text(json.dumps(record))
    refused("is not finished. The command that began it continues it")
    (tmp_path / "summary.json").write_text((images_run / "summary.json").read_text())
    refused("holds no trained model of recipes.image_classification, ")
    (tmp_path / "model.keras").touch()
    record["starts"][-1]["command"] = ["python", "-m", "studies.scaling.text"]
    path.write_text(json.dumps(record))
    refused("holds no trained model of recipes.image_classification, ")
    for damaged in ({}, {"config": {}, "starts": []}, [], {"config": {}, "starts": [{}]}):
        path.write_text(json.dumps(damaged))
        refused("holds no record of a training recipe")
    path.write_text("{")
    refused("config.json cannot be read")


def test_weights_that_a_run_began_with_are_named():
    run = card.Run.__new__(card.Run)
    run.config = {"weights": "CycleMLP_B1", "preprocessing": None, "test_crop": 0.9}
    run.model, run.saved = "CycleMLP_B1", card.pathlib.Path("model.keras")
    assert "were `CycleMLP_B1`, whose license and data apply" in card.origin(run)
    images = np.ones((1, 8, 8, 3))
    code = (
        card.usage(run)
        .split("```python\n")[1]
        .split("```")[0]
        .replace("keras.saving.load_model", "str")
    )
    lines = code.replace("logits = model(", "scaled = (").splitlines()
    namespace = {"images": images}
    exec("\n".join(lines), namespace)
    assert namespace["scaled"].mean() < 0  # as ImageNet's mean and deviation scale them
