"""From a frozen dataclass to a command line, and errors that name what was probably meant."""

import argparse
import dataclasses
import difflib
import sys

import tyro


def parse(configurations, program, description, arguments=None):
    """Returns the configuration that the command line asks for.

    `--config NAME` chooses one of `configurations`, every other option replaces one of its fields.

    Args:
        configurations: Dictionary of dataclass instances by name; the first is the default.
        program: How the recipe is called, for its messages.
        description: What the recipe does, the head of `--help`.
        arguments: List of strings, `None` for those of the process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chooser.add_argument("--config", default=next(iter(configurations)))
    name = chooser.parse_known_args(arguments)[0].config
    default = configurations[one_of(name, configurations, "configuration")]
    return tyro.cli(
        type(default),
        args=arguments,
        default=default,
        prog=program,
        description=description,
        use_underscores=True,
    )


def named(configurations):
    """Returns the configurations with their names in them."""
    return {
        name: dataclasses.replace(config, config=name) for name, config in configurations.items()
    }


def one_of(name, names, what):
    """Returns `name` if it is one of `names`, or ends the program and says which come nearest."""
    names = list(names)
    if name in names:
        return name
    lower = {known.lower(): known for known in names}
    nearest = [lower[n] for n in difflib.get_close_matches(name.lower(), lower)]
    hint = (
        f"Did you mean {' or '.join(nearest)}?" if nearest else f"Known: {', '.join(names[:20])}."
    )
    raise SystemExit(f"There is no {what} named {name!r}. {hint}")
