"""The model that CycleMLP builds with `feature_maps`."""

import keras

from keras_gimlp.backend.functional_model import FunctionalModel


@keras.saving.register_keras_serializable(package="keras_gimlp")
class FeaturePyramid(FunctionalModel, keras.Model):
    """A model from images to a dictionary of feature maps by level: `"P2"` at stride 4, and so on.

    KerasHub's detectors and segmenters accept it as `image_encoder`. They read the maps from
    `pyramid_outputs`, which a loaded or cloned model has too.
    """

    @property
    def pyramid_outputs(self):
        """The symbolic feature maps by level, as in `keras_hub.models.FeaturePyramidBackbone`."""
        return self.output
