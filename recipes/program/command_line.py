"""From a frozen dataclass to a command line, and errors that name what was probably meant.

Nothing here imports Keras, so that `--help` and messages on misspelled options come at once.
"""

import argparse
import ast
import dataclasses
import difflib
import math
import sys
import types
import typing
from typing import Annotated

import tyro
from tyro.constructors import PrimitiveConstructorSpec


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers that an option takes, as the metadata of its type; `None` is no bound."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    def __contains__(self, number):
        return (
            (self.least is None or number >= self.least)
            and (self.most is None or number <= self.most)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )

    def __str__(self):
        words = {"at least": self.least, "above": self.above}
        words |= {"at most": self.most, "below": self.below}
        return " and ".join(f"{word} {bound}" for word, bound in words.items() if bound is not None)


Count = Annotated[int, Range(least=1)]
Whole = Annotated[int, Range(least=0)]
Seed = Annotated[int, Range(least=0, most=2**32 - 1)]  # what NumPy takes
Positive = Annotated[float, Range(above=0)]
NonNegative = Annotated[float, Range(least=0)]
Fraction = Annotated[float, Range(least=0, most=1)]
Rate = Annotated[float, Range(least=0, below=1)]


def _literal(text):
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _mapping(pairs):
    for pair in pairs:
        if "=" not in pair:
            raise ValueError(f"{pair!r} must be NAME=VALUE, such as depth=8.")
    return {name: _literal(value) for name, _, value in (pair.partition("=") for pair in pairs)}


# Arguments of a function, on the command line as `depth=8 "dims=(32,64)"`, in Python a dictionary.
Arguments = Annotated[
    dict,
    PrimitiveConstructorSpec(
        nargs="*",
        metavar="[NAME=VALUE [NAME=VALUE ...]]",
        instance_from_str=_mapping,
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda value: [f"{name}={x!r}" for name, x in value.items()],
    ),
]


def run(main):
    """Calls `main` as a program, which Ctrl-C ends with one line and the exit code of a shell."""
    try:
        main()
    except KeyboardInterrupt as interrupt:
        print("\nInterrupted.", *getattr(interrupt, "__notes__", ()), file=sys.stderr)
        sys.exit(130)


def parse(configurations, program, description, arguments=None):
    """Returns the configuration that the command line asks for.

    `--config NAME` chooses one of `configurations`, dataclass instances by name, by default the
    first; every other option replaces one of its fields. `program` is the command of the recipe,
    `description` the head of `--help`. Ends the program if a number is out of the `Range` of its
    field.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chooser.add_argument("--config", default=next(iter(configurations)))
    name = chooser.parse_known_args(arguments)[0].config
    default = configurations[one_of(name, configurations, "configuration")]
    names = f"Names for --config: {', '.join(configurations)}."
    return parse_options(
        type(default), program, f"{description.rstrip()}\n\n{names}", arguments, default=default
    )


def parse_options(options, program, description, arguments=None, **kwargs):
    """Returns an instance of the dataclass `options` from the command line; see `parse`."""
    parsed = tyro.cli(
        options,
        args=arguments,
        prog=program,
        description=description,
        use_underscores=True,
        **kwargs,
    )
    check_ranges(parsed)
    return parsed


def check_ranges(options):
    """Ends the program if a number in a dataclass instance is not finite or out of its `Range`."""
    for name, hint in typing.get_type_hints(type(options), include_extras=True).items():
        value = getattr(options, name)
        ranges = ranges_of(hint)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            if not math.isfinite(number):
                raise SystemExit(f"--{name} must be a finite number. Received: {number}")
            for bounds in ranges:
                if number not in bounds:
                    raise SystemExit(f"--{name} must be {bounds}. Received: {number}")


def ranges_of(hint):
    """Returns the `Range`s anywhere in a type, such as `Count | None` or `tuple[Fraction, ...]`."""
    ranges = [x for x in getattr(hint, "__metadata__", ()) if isinstance(x, Range)]
    for part in typing.get_args(hint):
        if isinstance(part, type | types.UnionType | types.GenericAlias) or typing.get_args(part):
            ranges += ranges_of(part)
    return ranges


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
