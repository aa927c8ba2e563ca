"""The dense projection over tokens."""

import keras
from keras import ops

from keras_gimlp.backend.mix_tokens import mix_tokens


@keras.saving.register_keras_serializable(package="keras_gimlp")
class SpatialProjection(keras.layers.Dense):
    """Mixes tokens with an unconstrained matrix: the spatial weights of a `SpatialGatingUnit`.

        output_i = sum_j kernel_ji inputs_j + b_i

    It is a `keras.layers.Dense` over tokens instead of channels. Low-rank adaptation and
    quantization to int8, int4 and float8 apply to its kernel.

    Args:
        units: Integer, number of output tokens.
        **kwargs: Arguments of `keras.layers.Dense`.

    Call arguments:
        inputs: Tensor of shape `(batch, tokens, channels)`, with the number of tokens that it was
            built with.
        mask: Optional boolean tensor of shape `(batch, tokens)`, true where there is a token. A
            masked token contributes nothing to the output.

    Output shape:
        `(batch, units, channels)`.
    """

    def build(self, input_shape):
        *batch, tokens, channels = input_shape
        super().build((*batch, channels, tokens))
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={1: tokens})

    def call(self, inputs, training=None, mask=None):
        matrix = ops.transpose(self.kernel)
        x = mix_tokens(matrix, inputs, self.bias if self.use_bias else None, mask)  # (B, units, C)
        return x if self.activation is None else self.activation(x)

    def quantized_call(self, inputs, training=None, mask=None):
        if mask is not None:
            inputs = inputs * ops.cast(ops.expand_dims(mask, -1), inputs.dtype)
        # Keras' quantized products contract the last axis.
        x = super().quantized_call(ops.transpose(inputs, (0, 2, 1)), training=training)
        return ops.transpose(x, (0, 2, 1))

    def quantize(self, mode=None, type_check=True, config=None):
        # By default, Keras refuses subclasses of `Dense`. GPTQ and AWQ stay refused, since they
        # calibrate on the last axis of the inputs: the channels, not the tokens.
        type_check = type_check and mode in ("gptq", "awq")
        super().quantize(mode, type_check=type_check, config=config)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-2], self.units, input_shape[-1])
