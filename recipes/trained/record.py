"""The run in whose folder a model lies: its options, and the scale of its images."""

import dataclasses
import json
import pathlib

from keras_gimlp import applications


def transform_of(options):
    """Returns the `ImageTransform` of the image model that options name, `None` if not known."""
    trained = config_of_run(options.weights)
    if trained is not None:  # by `image_classification`
        scale = applications.image_transform(
            trained["preprocessing"] or trained["weights"], trained["model"]
        )
        return dataclasses.replace(scale, crop=trained["test_crop"], interpolation="bicubic")
    if options.weights is None or options.weights.endswith(".keras"):
        return None
    return applications.image_transform(options.weights, options.model)


def config_of_run(path):
    """Returns the configuration of the run in whose folder a model lies, or `None`."""
    record = pathlib.Path(path or "").expanduser().parent / "config.json"
    return json.loads(record.read_text()).get("config") if path and record.exists() else None


def options(config, cls):
    """Returns the options of a run as an instance of the dataclass `cls`, from its record."""
    names = {field.name for field in dataclasses.fields(cls)}
    known = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k in names}
    return cls(**known)
