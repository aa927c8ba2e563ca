"""The spatial gating unit of gMLP."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_gimlp")
class SpatialGatingUnit(keras.layers.Layer):
    """Gates one half of the channels with a linear mix over tokens of the other half.

    With `u, v` the halves of the input's channels, `W` the `(tokens, tokens)` spatial weights and
    `b` one bias per token:

        output = u * (W LayerNorm(v) + b)

    `W` starts near zero and `b` at one, so that the unit starts as `output = u` and a new block as
    an ordinary feed-forward block.

    Args:
        epsilon: Float, added to the variance in the layer normalization of `v`. Defaults to `1e-5`.
        kernel_initializer: Initializer of the spatial weights. Defaults to `None`, a normal
            distribution of standard deviation 1e-6.
        bias_initializer: Initializer of the spatial bias. Defaults to `"ones"`.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: Tensor of shape `(batch, tokens, channels)`. `tokens` is fixed when the layer is
            built, since `W` has a row and a column for each; `channels` is even.
        gate_addend: Optional tensor of shape `(batch, tokens, channels / 2)`, added to the gate
            before it multiplies: `output = u * (W LayerNorm(v) + b + gate_addend)`. aMLP passes
            the output of its `TinyAttention` here.
        mask: Optional boolean tensor of shape `(batch, tokens)`, true where there is a token. A
            masked token contributes nothing to the gates of the others.

    Output shape:
        `(batch, tokens, channels / 2)`.

    Raises:
        ValueError: If the inputs are not of rank 3, their tokens or channels are unknown, or their
            channels are odd.

    Differences from the paper:
        The paper calls the initial spatial weights near zero and gives no figure; 1e-6 is timm's.
        The epsilon, which the paper does not give either, is timm's too. The paper has no mask.

    Example:

    ```python
    import keras
    from keras_gimlp import layers

    unit = layers.SpatialGatingUnit()
    unit(keras.ops.ones((2, 196, 1536))).shape  # (2, 196, 768)
    ```

    Reference:
        Liu et al., "Pay Attention to MLPs" (2021), arXiv:2105.08050.
    """

    def __init__(self, *, epsilon=1e-5, kernel_initializer=None, bias_initializer="ones", **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.kernel_initializer = keras.initializers.get(
            kernel_initializer or keras.initializers.RandomNormal(stddev=1e-6)
        )
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.supports_masking = True

    def build(self, input_shape):
        if len(input_shape) != 3 or input_shape[1] is None or input_shape[2] is None:
            raise ValueError(
                "`SpatialGatingUnit` mixes a fixed number of tokens, so `inputs` must have the "
                "shape (batch, tokens, channels) with tokens and channels known. "
                f"Received: inputs.shape={tuple(input_shape)}"
            )
        _, tokens, channels = input_shape
        if channels % 2:
            raise ValueError(
                "`SpatialGatingUnit` gates one half of the channels with the other, so the "
                f"channels of `inputs` must be even. Received: inputs.shape={tuple(input_shape)}"
            )
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={1: tokens, 2: channels})
        self.norm = keras.layers.LayerNormalization(
            epsilon=self.epsilon, dtype=self.dtype_policy, name="norm"
        )
        self.norm.build((None, tokens, channels // 2))
        # A Dense between two transpositions: an einsum is no faster on any backend, and Dense
        # keeps int8 quantization, LoRA and both together.
        self.spatial = keras.layers.Dense(
            tokens,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            dtype=self.dtype_policy,
            name="spatial",
        )
        self.spatial.build((None, channels // 2, tokens))

    def call(self, inputs, gate_addend=None, mask=None):
        u, v = ops.split(inputs, 2, axis=-1)  # (B, N, C / 2) each
        v = self.norm(v)
        if mask is not None:
            v = v * ops.cast(ops.expand_dims(mask, -1), v.dtype)
        gate = self.spatial(ops.transpose(v, (0, 2, 1)))  # (B, C / 2, N)
        gate = ops.transpose(gate, (0, 2, 1))
        if gate_addend is not None:
            gate = gate + gate_addend
        return u * gate

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // 2)

    def get_config(self):
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
