"""The command line: fields, configurations, and errors with the nearest names."""

import dataclasses
import importlib
import subprocess
import sys
import typing

import pytest

from recipes.__main__ import GROUPS, path_of
from recipes.__main__ import main as list_jobs
from recipes.image_classification import CONFIGURATIONS, Config
from recipes.program import command_line
from tests.conftest import ROOT, once

pytestmark = once

JOBS = tuple(job for jobs in GROUPS.values() for job in jobs)


def parse(*arguments):
    return command_line.parse(CONFIGURATIONS, "recipe", "what it does", list(arguments))


def test_no_argument_gives_the_first_configuration():
    assert parse() == CONFIGURATIONS["digits"]


def test_configuration_gives_the_defaults_and_options_replace_them():
    config = parse("--config", "cifar10", "--epochs", "3", "--no_flip", "--ema", "0.9")
    assert config == dataclasses.replace(CONFIGURATIONS["cifar10"], epochs=3, flip=False, ema=0.9)


def test_every_configuration_carries_its_own_name():
    assert {name: config.config for name, config in CONFIGURATIONS.items()} == {
        name: name for name in CONFIGURATIONS
    }


def test_help_explains_every_field(capsys):
    with pytest.raises(SystemExit) as stop:
        parse("--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "what it does" in text
    for field in dataclasses.fields(Config):
        assert f"--{field.name}" in text, field.name


def test_help_lists_every_configuration(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    text = capsys.readouterr().out
    assert all(name in text for name in CONFIGURATIONS)


@pytest.mark.process
@pytest.mark.parametrize(
    "job",
    [
        *("recipes.image_classification", "recipes.card", "recipes.compare"),
        *("studies.speed", "studies.scaling.attention", "studies.scaling.plan"),
    ],
)
def test_help_comes_without_the_heavy_imports(job):
    command = [sys.executable, "-X", "importtime", "-m", job, "--help"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"usage: python -m {job}" in found.stdout
    lines = found.stderr.splitlines()
    assert all(line.startswith("import time:") for line in lines)
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert "tyro" in imported
    assert not imported & {"keras", "tensorflow", "jax", "torch", "matplotlib", "sklearn"}


def takes_numbers(hint):
    return hint in (int, float) or any(map(takes_numbers, typing.get_args(hint)))


@pytest.mark.parametrize("job", JOBS)
def test_every_number_has_its_range(job):
    module = importlib.import_module(
        ".".join((*path_of(job).relative_to(ROOT).parts[:-1], path_of(job).stem))
    )
    if hasattr(module, "CONFIGURATIONS"):
        (options,) = set(map(type, module.CONFIGURATIONS.values()))
    else:
        options = module.Config
    hints = typing.get_type_hints(options, include_extras=True)
    numbers = {name for name, hint in hints.items() if takes_numbers(hint)}
    numbers.discard("null_threshold")  # a difference of scores, which may be any number
    assert numbers or job in ("recipes.card", "recipes.compare")
    assert [name for name in numbers if not command_line.ranges_of(hints[name])] == []


def test_every_configuration_is_within_its_ranges():
    for config in CONFIGURATIONS.values():
        command_line.check_ranges(config)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--learning_rate", "-1"], "--learning_rate must be above 0. Received: -1"),
        (["--learning_rate", "inf"], "--learning_rate must be a finite number. Received: inf"),
        (["--weight_decay", "nan"], "--weight_decay must be a finite number. Received: nan"),
        (["--steps_per_epoch", "0"], "--steps_per_epoch must be at least 1. Received: 0"),
        (["--clip_norm", "0"], "--clip_norm must be above 0. Received: 0"),
        (["--label_smoothing", "1"], "--label_smoothing must be at least 0 and below 1. Received"),
        (["--random_erasing", "1.1"], "--random_erasing must be at least 0 and at most 1. Rece"),
        (["--seed", "-1"], "--seed must be at least 0 and at most 4294967295. Received: -1"),
        (["--image_size", "0"], "--image_size must be at least 1. Received: 0"),
        (["--crop_padding", "-1"], "--crop_padding must be at least 0. Received: -1"),
    ],
)
def test_impossible_numbers_are_refused(arguments, message):
    with pytest.raises(SystemExit, match=message):
        parse(*arguments)


def test_every_number_of_a_tuple_is_checked():
    @dataclasses.dataclass(frozen=True)
    class Levels:
        levels: tuple[command_line.Fraction, ...] = (0.5,)
        few: command_line.Count | None = None
        flag: bool = False

    def levels(*arguments):
        return command_line.parse_options(Levels, "recipe", "", ["--levels", *arguments])

    assert levels("0", "1").levels == (0.0, 1.0)
    with pytest.raises(SystemExit, match="--levels must be at least 0 and at most 1. Received: 2"):
        levels("0", "2")


def test_arguments_of_a_function_are_read_as_python_writes_them():
    config = parse("--model_args", "depth=2", "dims=(8,16)", "gating=subtract", "name='a=b'")
    expected = {"depth": 2, "dims": (8, 16), "gating": "subtract", "name": "a=b"}
    assert config.model_args == expected
    assert parse("--model_args").model_args == {}
    assert parse().model_args == CONFIGURATIONS["digits"].model_args


def test_arguments_of_a_function_need_a_value(capsys):
    with pytest.raises(SystemExit):
        parse("--model_args", "depth")
    assert "depth=8" in capsys.readouterr().err


def test_jobs_are_listed_in_groups_one_a_line(capsys):
    list_jobs()
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in GROUPS] == ["Train", "Use", "Measure"]
    assert [line.split()[2] for line in lines if line.startswith("  ")] == list(JOBS)
    assert "  python -m recipes.image_classification  Trains an image classifier" in "\n".join(
        lines
    )


def test_every_job_is_listed():
    programs = {
        path
        for folder in ("recipes", "studies")
        for path in (ROOT / folder).rglob("*.py")
        if "\nPROGRAM = " in path.read_text()
    }
    assert {path_of(job) for job in JOBS} == programs


def test_unknown_field_names_the_nearest(capsys):
    with pytest.raises(SystemExit):
        parse("--epoch", "3")
    error = capsys.readouterr().err
    assert "Unrecognized options: --epoch" in error
    assert "--epochs INT" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "cifar"], "There is no configuration named 'cifar'. Did you mean cifar10"),
        (
            ["--config", "xyz"],
            "There is no configuration named 'xyz'. Known: digits, digits_",
        ),
    ],
)
def test_unknown_configuration_names_the_nearest(arguments, message):
    with pytest.raises(SystemExit, match=message):
        parse(*arguments)
