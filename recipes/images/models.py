"""The image model that a configuration describes, and the scale of its pixels."""

import functools
import inspect

from keras_gimlp import applications, rematerialize
from keras_gimlp.weights import find
from recipes.program.command_line import one_of


def builder(config):
    """Returns the function that builds the model."""
    one_of(config.model, applications.list_models(kind="image"), "image model")
    return getattr(applications, config.model)


def build(config, data):
    """Returns the model that gives the logits of the classes of an `ImageData`."""
    arguments = dict(config.model_args)
    if config.drop_path_rate is not None:
        arguments["drop_path_rate"] = config.drop_path_rate
    fixed = {
        "input_shape": (config.image_size, config.image_size, data.channels),
        "classes": len(data.class_names),
        "classifier_activation": None,
        "weights": config.weights,
    }
    taken = sorted(fixed.keys() & arguments.keys())
    if taken:
        raise SystemExit(f"--model_args cannot set {', '.join(taken)}, which other options give.")
    model = built(config.model, arguments | fixed)
    if config.remat:
        rematerialize(model)
    return model


def built(name, arguments):
    """Returns a model of `keras_gimlp.applications`, or ends the program and says what is wrong."""
    build = getattr(applications, name)
    for argument in arguments:
        one_of(argument, inspect.signature(build).parameters, f"argument of {name}")
    try:
        return build(**arguments)
    except (TypeError, ValueError, OSError, ImportError) as error:
        raise SystemExit(f"{name} cannot be built: {error}") from error


def preprocessing(config, channels=3):
    """Returns the function from pixels in [0, 255] to the scale that the initial weights expect."""
    weights = config.preprocessing or config.weights
    try:
        # Files that this recipe wrote are of models trained on the default scale.
        published = find(weights, model=config.model) is not None
    except ValueError as error:
        raise SystemExit(
            f"How to scale the pixels for {weights!r} is not known: {error} Name the published "
            "weights whose scale applies with --preprocessing."
        ) from error
    if published and channels != 3:
        raise SystemExit(f"{weights!r} needs images of 3 channels. {config.data} has {channels}.")
    return functools.partial(applications.preprocess_input, weights=weights, model=config.model)


def describe(config, model):
    """Returns name, replaced sizes and number of parameters of the model."""
    sizes = [f"{name} {value}" for name, value in config.model_args.items()]
    return f"{config.model} ({', '.join([*sizes, f'{model.count_params():,} parameters'])})"
