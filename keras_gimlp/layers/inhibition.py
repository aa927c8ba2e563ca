"""The threshold that the gate with inhibition subtracts."""

import keras
from keras import ops

SCOPES = ("example", "token", "batch")


@keras.saving.register_keras_serializable(package="keras_gimlp")
class Inhibition(keras.layers.Layer):
    """Subtracts a fraction of the largest value from all values.

        output = inputs - inhibition * max inputs

    Args:
        inhibition: Float in [0, 1], the fraction. Defaults to 0.3.
        scope: What the maximum is taken over. `"example"`: the unmasked positions and all channels
            of an example. `"token"`: the channels of a position. `"batch"`: everything, including
            masked positions and other examples, so that an output depends on the rest of its batch;
            for parity with the released code. On several devices, that is the whole batch on JAX,
            and a device's part of it on TensorFlow and PyTorch. Defaults to `"example"`.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: Tensor of shape `(batch, ..., channels)`: tokens, images, or anything of rank 2 or
            more.
        mask: Optional boolean tensor of the shape of `inputs` without the channels, true where
            there is a token. Nothing is subtracted from an example that has none.

    Output shape:
        Same as `inputs`.

    Raises:
        ValueError: If `inhibition` is outside [0, 1], or `scope` is not one of the values above.

    Differences from the paper:
        The released code always takes the maximum over the whole batch (`scope="batch"`).

    Example:

    ```python
    import keras
    from keras_gimlp import layers

    inhibit = layers.Inhibition(0.5)
    inhibit(keras.ops.convert_to_tensor([[[1.0, 4.0]], [[2.0, -2.0]]]))  # [[[-1, 2]], [[1, -3]]]
    ```

    Reference:
        Kang et al., "giMLPs: Gate with Inhibition Mechanism in MLPs" (2022), arXiv:2208.00929.
    """

    def __init__(self, inhibition=0.3, scope="example", **kwargs):
        super().__init__(**kwargs)
        if not 0 <= inhibition <= 1:
            raise ValueError(f"`inhibition` must be in [0, 1]. Received: inhibition={inhibition}")
        if scope not in SCOPES:
            raise ValueError(f'`scope` must be "example", "token" or "batch". Received: {scope=}')
        self.inhibition = inhibition
        self.scope = scope
        self.supports_masking = True

    def call(self, inputs, mask=None):
        return inputs - self.inhibition * self.maximum(inputs, mask)

    def maximum(self, inputs, mask):  # `amax`, since torch.compile cannot trace `ops.max`
        if self.scope == "batch":
            return ops.amax(inputs)
        if self.scope == "token":
            return ops.amax(inputs, axis=-1, keepdims=True)  # (B, ..., 1)
        axes = tuple(range(1, len(inputs.shape)))
        if mask is None:
            return ops.amax(inputs, axis=axes, keepdims=True)  # (B, 1, ..., 1)
        mask = ops.expand_dims(ops.cast(mask, "bool"), -1)
        maximum = ops.amax(ops.where(mask, inputs, float("-inf")), axis=axes, keepdims=True)
        return ops.where(ops.any(mask, axis=axes, keepdims=True), maximum, 0.0)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "inhibition": self.inhibition, "scope": self.scope}
