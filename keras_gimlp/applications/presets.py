"""What of KerasHub's presets is not public; `tests/test_gated_encoders.py` notices changes."""

import keras_hub
from keras_hub.src.utils.preset_utils import KerasPresetLoader, get_preset_loader


def backbone_class(preset):
    """Returns the class of the backbone in a preset, `None` where KerasHub knows none."""
    try:
        return get_preset_loader(str(preset)).check_backbone_class()
    except ValueError:
        return None


def load_task(cls, preset, load_weights, **kwargs):
    """Returns a task from its own preset, or a new head on the backbone in a preset.

    KerasHub's own `from_preset` does so only for tasks that name one class of backbone.
    """
    loader = get_preset_loader(str(preset))
    if isinstance(loader, KerasPresetLoader):
        return loader.load_task(cls, load_weights, "num_classes" not in kwargs, **kwargs)
    backbone = keras_hub.models.Backbone.from_preset(str(preset), load_weights=load_weights)
    return cls(backbone=backbone, **kwargs)
