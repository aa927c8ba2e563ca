"""The model that `feature_maps=True` builds."""

import keras


@keras.saving.register_keras_serializable(package="keras_gimlp")
class FeaturePyramid(keras.Model):
    """A model from images to a dictionary of feature maps by level: `"P2"` at stride 4, and so on.

    KerasHub's detectors and segmenters take it as their `image_encoder`. They read the maps from
    `pyramid_outputs`, which a saved, loaded or cloned model has as well.
    """

    @property
    def pyramid_outputs(self):
        """The symbolic feature maps by level, as `keras_hub.models.FeaturePyramidBackbone` has."""
        return self.output
