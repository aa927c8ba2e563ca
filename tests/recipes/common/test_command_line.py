"""The command line: fields, configurations, and errors with the nearest names."""

import dataclasses

import pytest

from recipes.common import command_line
from recipes.image_classification import CONFIGURATIONS, Config


def parse(*arguments):
    return command_line.parse(CONFIGURATIONS, "recipe", "what it does", list(arguments))


def test_no_argument_gives_the_first_configuration():
    assert parse() == CONFIGURATIONS["digits"] == Config()


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
        (["--config", "xyz"], "There is no configuration named 'xyz'. Known: digits, cifar10, "),
    ],
)
def test_unknown_configuration_names_the_nearest(arguments, message):
    with pytest.raises(SystemExit, match=message):
        parse(*arguments)
