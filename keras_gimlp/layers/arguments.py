"""Checks of integers among the arguments of layers and models."""


def check_positive_integers(**arguments):
    """Raises `ValueError` if an argument is not a positive integer. `True` is not one."""
    for name, value in arguments.items():
        require(is_positive(value), "a positive integer", name, value)


def check_optional_integers(**arguments):
    """Raises `ValueError` if an argument is neither a positive integer nor `None`."""
    for name, value in arguments.items():
        require(value is None or is_positive(value), "a positive integer or None", name, value)


def check_odd_integers(**arguments):
    """Raises `ValueError` if an argument is not an odd positive integer."""
    for name, value in arguments.items():
        require(is_positive(value) and value % 2 == 1, "an odd positive integer", name, value)


def check_integers_with(choice, needed, **arguments):
    """Raises `ValueError` unless an argument is a positive integer if `needed`, and `None` if not.

    Args:
        choice: String, the argument that decides it, such as `'form="full"'`.
        needed: Whether it needs the arguments.
        **arguments: The arguments.
    """
    what = "a positive integer" if needed else "None"
    for name, value in arguments.items():
        valid = is_positive(value) if needed else value is None
        require(valid, f"{what} with {choice}", name, value)


def is_positive(value):
    return type(value) is int and value > 0


def require(valid, what, name, value):
    if not valid:
        raise ValueError(f"`{name}` must be {what}. Received: {name}={value}")
