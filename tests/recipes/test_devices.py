"""Recipes on several devices and in several processes train what one device trains."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from recipes import image_classification
from recipes.program import files
from tests.conftest import ROOT, XLA_FLAGS
from tests.recipes.jobs import leave_out_dropout

BACKEND = keras.backend.backend()
# With a smaller epsilon, Adam divides gradients that are zero but for rounding by themselves.
SHORT = "--epochs 1 --steps_per_epoch 5 --batch_size 16 --adam_epsilon 1e-3"
TEXT = (
    "--model aMLP --num_layers 1 --hidden_dim 8 --intermediate_dim 16 --attention_dim 4 "
    "--vocabulary_size 60"
)
TOKENS = "--files README.md --max_examples 60 --vocabulary_size 200 --sequence_length 16"
RECIPES = {
    "image_classification": f"{SHORT} --warmup_steps 2 --drop_path_rate 0.3 "
    "--model_args depth=1 dim=8 ffn_dim=16 patch_size=4",
    "mlm_pretraining": f"{TOKENS} --steps 5 --batch_size 16 --adam_epsilon 1e-3 --warmup_steps 2 "
    "--depth 1 --dim 8 --ffn_dim 16 --dropout 0.1",
    **dict.fromkeys(("glue", "squad", "swag"), f"{SHORT} {TEXT}"),
}
if BACKEND == "jax":
    # Elsewhere, each device takes the mean over its own words, of which there are more or fewer.
    RECIPES["ner"] = f"{SHORT} {TEXT}"
# The ways in which one process of a backend can train.
WAYS = {
    "jax": {"data": ("--devices", "4"), "model": ("--devices", "4", "--strategy", "model")},
    "tensorflow": {"two": ("--devices", "2")},
    "torch": {},
}[BACKEND]
# The last: TensorFlow cannot divide the processor once it has computed.
WAYS |= {"one": ("--devices", "1"), "remat": ("--devices", "1", "--remat")}


def recipes_of(way):
    """Returns the recipes to train in a way: of the fine-tunings, glue stands for the others."""
    few = ("image_classification", "mlm_pretraining", "glue") if way in ("model", "remat") else ()
    return {name: options for name, options in RECIPES.items() if name in few or not few}


def jobs(folder, recipes, *arguments):
    return [
        (recipe, *options.split(), *arguments, "--run_dir", str(folder / recipe))
        for recipe, options in recipes.items()
    ]


def processes(count, jobs):
    """Starts the processes that run `jobs` together, as a user would."""
    program = ["-m", "tests.recipes.jobs", json.dumps(jobs)]
    # Each process of JAX has one device, unless it is alone.
    flags = {"XLA_FLAGS": XLA_FLAGS} if count > 1 else {}
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | flags
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    if BACKEND == "torch" and count > 1:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count)]
        commands = [([*torchrun, "--master-port", port, *program], {})]
    else:
        together = {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"localhost:{port}",
            "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
            "JAX_COORDINATOR_BIND_ADDRESS": f"0.0.0.0:{port}",  # also where there is no IPv6
        }
        commands = [
            (
                [sys.executable, *program],
                together | {"KERAS_DISTRIBUTION_PROCESS_ID": str(i)} if count > 1 else {},
            )
            for i in range(count)
        ]
    return [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command, more in commands
    ]


def finish(started):
    outputs = [process.communicate(timeout=500)[0] for process in started]
    assert [process.returncode for process in started] == [0] * len(started), outputs


def run_of(folder, recipe):
    """Returns the folder of the only run of a recipe; a study has one in its own."""
    return next(folder.glob(f"{recipe}/**/summary.json")).parent


def state_of(run):
    with np.load(next(run.glob("checkpoint-*.npz"))) as arrays:
        return dict(arrays)


def figures(run):
    """Returns the metrics of the last epoch without rates and times."""
    row = files.read_metrics(run)[-1]
    return {k: float(v) for k, v in row.items() if not k.endswith(("seconds", "_per_second"))}


def assert_same(folder, other, recipe, tolerance=1e-5):
    expected, got = (state_of(run_of(x, recipe)) for x in (folder, other))
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        if tolerance and name.startswith("adam_w/"):
            continue
        # A bias that only rounding moves is measured by the learning rate, the size of a step.
        scale = np.abs(value).max(initial=1e-3)
        np.testing.assert_allclose(got[name], value, rtol=0, atol=tolerance * scale, err_msg=name)
    expected, got = (figures(run_of(x, recipe)) for x in (folder, other))
    assert got == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.process
def test_devices_and_processes_train_what_one_device_trains(tmp_path):
    finish(
        processes(
            1,
            [
                job
                for way, arguments in WAYS.items()
                for job in jobs(tmp_path / way, recipes_of(way), *arguments)
            ],
        )
    )
    if BACKEND != "tensorflow":
        finish(processes(2, jobs(tmp_path / "processes", RECIPES)))
    for way, (_, devices, *_) in WAYS.items():
        for recipe in recipes_of(way):
            assert_same(tmp_path / "one", tmp_path / way, recipe)
            summary = files.read_json(run_of(tmp_path / way, recipe) / "summary.json")
            assert summary["devices"]["devices"] == int(devices)
    if BACKEND != "tensorflow":
        for recipe in RECIPES:
            assert_same(tmp_path / "one", tmp_path / "processes", recipe)
            run = run_of(tmp_path / "processes", recipe)
            devices = files.read_json(run / "summary.json")["devices"]
            assert (devices["processes"], devices["devices"], devices["replicas"]) == (2, 2, 2)
            # It looks like any other.
            one = run_of(tmp_path / "one", recipe)
            assert {x.name for x in run.iterdir()} == {x.name for x in one.iterdir()}


@pytest.mark.process
@pytest.mark.backends("jax", "torch")
def test_a_process_that_dies_ends_the_others_and_the_run_continues(tmp_path, monkeypatch):
    options = RECIPES["image_classification"].replace("--epochs 1", "--epochs 3")
    whole, killed, fewer = (
        jobs(tmp_path / name, {"image_classification": options})
        for name in ("whole", "killed", "fewer")
    )
    finish(processes(2, whole))
    kept = tmp_path / "killed" / "image_classification" / "checkpoint-1.npz"
    started = processes(2, killed)
    while not kept.exists():
        time.sleep(0.05)
        assert all(process.poll() is None for process in started)
    kill_last(started)
    begin = time.monotonic()
    for process in started:
        process.communicate(timeout=120)
    assert time.monotonic() - begin < 60
    assert any(process.returncode for process in started)
    shutil.copytree(tmp_path / "killed", tmp_path / "fewer")
    finish(processes(2, killed))
    assert_same(tmp_path / "whole", tmp_path / "killed", "image_classification", tolerance=0)
    leave_out_dropout(monkeypatch.setattr)
    ((_, *arguments),) = fewer
    image_classification.main(arguments)  # in this process alone
    keras.distribution.set_distribution(None)
    assert_same(tmp_path / "whole", tmp_path / "fewer", "image_classification")


def kill_last(started):
    """Kills one of the processes that train together, as the system would."""
    pid = started[-1].pid
    if BACKEND == "torch":  # that is torchrun
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
        pid = int(children.split()[-1])
    os.kill(pid, signal.SIGKILL)


@pytest.mark.backends("tensorflow")
def test_several_workers_of_tensorflow_are_refused(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(SystemExit, match="For many hosts, use JAX or PyTorch"):
        image_classification.main([])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--devices", "3", "--batch_size", "32"),
            "--batch_size must be a multiple of the 3 devices|--devices (must be at most 1|3 on)",
        ),
        (
            ("--strategy", "model", "--devices", "3"),
            "--strategy model requires JAX|--model_devices must divide the 3 devices",
        ),
    ],
)
def test_devices_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(SystemExit, match=message):
        image_classification.main(list(arguments))
    keras.distribution.set_distribution(None)
