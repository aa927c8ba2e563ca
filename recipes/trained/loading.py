"""The trained model that options name: by name, in a file, or in a preset."""

import json
import pathlib
import warnings

from recipes import language
from recipes.program.command_line import one_of


def load(config):
    """Returns the model that the options name, or ends the program and says what is wrong."""
    if config.preset:
        if config.model or config.weights:
            raise SystemExit("--preset holds a model and its weights: leave out the other options.")
        return from_preset(config.preset)
    if config.weights and pathlib.Path(config.weights).suffix == ".keras":
        if config.model:
            raise SystemExit("A .keras file holds its model: leave out --model.")
        return from_file(config.weights)
    if not config.model:
        raise SystemExit("Name the model: --model NAME, --weights FILE.keras or --preset FOLDER.")
    return by_name(config)


def by_name(config):
    """Returns a model of `keras_gimlp.applications`."""
    from keras_gimlp import applications
    from recipes.images import models

    one_of(config.model, applications.list_models(), "model")
    weights = {"weights": config.weights} if config.weights else {}
    return models.built(config.model, config.model_args | weights)


def from_file(path):
    """Returns the model in a `.keras` file."""
    import keras

    import keras_gimlp  # noqa: F401  its layers are in the file

    try:
        model = keras.saving.load_model(pathlib.Path(path).expanduser(), compile=False)
    except (TypeError, ValueError, OSError, ImportError) as error:
        raise SystemExit(f"--weights cannot be loaded: {error}") from error
    if isinstance(getattr(model, "input", None), list) and len(model.input) == 1:
        # Some models take a list after Keras has loaded them.
        return keras.Model(model.input[0], model.output, name=model.name)
    return model


def from_preset(preset):
    """Returns the task in a preset, or its encoder if it holds no task."""
    import keras

    with language():
        import keras_hub

        from recipes.text import transformer  # noqa: F401  KerasHub knows all our presets
    try:
        kind, task = keras_hub.models.Backbone, pathlib.Path(preset).expanduser() / "task.json"
        if task.exists():
            name = json.loads(task.read_text())["registered_name"]
            kind = keras.saving.get_registered_object(name)
        with warnings.catch_warnings():
            # KerasHub compiles what it loads, and misses the optimizer's state in the file.
            warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")
            return kind.from_preset(str(preset))
    except (TypeError, ValueError, OSError, ImportError) as error:
        raise SystemExit(f"--preset cannot be loaded: {error}") from error
