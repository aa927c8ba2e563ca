"""The affine transformation of the channels in ResMLP."""

import keras

from keras_gimlp.backend.scale_and_shift import scale_and_shift


@keras.saving.register_keras_serializable(package="keras_gimlp")
class Affine(keras.layers.Layer):
    """Scales and shifts each channel by learned parameters, in place of normalization.

        output = alpha * inputs + beta

    Args:
        use_bias: Whether to add `beta`. Without it, this is LayerScale. Defaults to `True`.
        alpha_initializer: Initializer of `alpha`. Defaults to `"ones"`.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: Tensor of shape `(batch, ..., channels)`.

    Output shape:
        Same as `inputs`.

    Raises:
        ValueError: If the number of channels is unknown.

    Differences from the paper:
        None known.

    Example:

    ```python
    import keras
    from keras_gimlp import layers

    layers.Affine()(keras.ops.ones((2, 196, 384))).shape  # (2, 196, 384)
    ```

    Reference:
        Touvron et al., "ResMLP: Feedforward networks for image classification with data-efficient
        training" (2021), arXiv:2105.03404, equation 1. LayerScale: arXiv:2103.17239.
    """

    def __init__(self, use_bias=True, *, alpha_initializer="ones", **kwargs):
        super().__init__(**kwargs)
        self.use_bias = use_bias
        self.alpha_initializer = keras.initializers.get(alpha_initializer)
        self.supports_masking = True

    def build(self, input_shape):
        if input_shape[-1] is None:
            raise ValueError(
                "`Affine` needs `inputs` with known channels. "
                f"Received: inputs.shape={tuple(input_shape)}"
            )
        shape = (input_shape[-1],)
        self.alpha = self.add_weight(shape, self.alpha_initializer, name="alpha")
        self.beta = self.add_weight(shape, "zeros", name="beta") if self.use_bias else None

    def call(self, inputs):
        if not self.use_bias:
            return inputs * self.alpha
        return scale_and_shift(inputs, self.alpha, self.beta)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "use_bias": self.use_bias,
            "alpha_initializer": keras.initializers.serialize(self.alpha_initializer),
        }
