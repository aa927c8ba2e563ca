"""The spatial gating unit of gMLP."""

import keras
from keras import ops

from keras_gimlp.backend.layer_normalization import LayerNormalization
from keras_gimlp.layers.arguments import check_integers_with
from keras_gimlp.layers.composite import CompositeLayer
from keras_gimlp.layers.spatial_projection import SpatialProjection
from keras_gimlp.layers.toeplitz_projection import ToeplitzProjection, check_tokens

FORMS = {  # how `f(v)` gates the other half of the channels ("split"), or `v` itself
    "split": ops.multiply,
    "multiplicative": ops.multiply,
    "additive": ops.add,
    "linear": lambda v, f: f,
}


@keras.saving.register_keras_serializable(package="keras_gimlp")
class SpatialGatingUnit(CompositeLayer):
    """Gates half of the channels with the other half, mixed linearly across tokens.

    With `u` and `v` the halves of the input channels, `W` the `(tokens, tokens)` spatial weights
    and `b` one bias per token:

        f(v) = W LayerNorm(v) + b
        output = u * f(v)

    `W` starts near zero and `b` at one, so the unit starts as `output = u`, and a new block as an
    ordinary feed-forward block. The paper's other forms do not split the channels; `v` is the whole
    input:

        output = v * f(v)    form="multiplicative"
        output = v + f(v)    form="additive"
        output = f(v)        form="linear"

    With `spatial="toeplitz"`, `W_ij = w_(i-j)`: pairs of tokens at the same relative position share
    one of `2 sequence_length - 1` weights. Shorter inputs use the leading block of `W` and the
    first biases, so one unit serves all lengths.

    Args:
        spatial: `"dense"` for an unconstrained `W`, `"toeplitz"` for `W_ij = w_(i-j)`. Defaults to
            `"dense"`.
        form: `"split"`, `"multiplicative"`, `"additive"` or `"linear"`. Defaults to `"split"`.
        sequence_length: Integer, maximum number of tokens for `"toeplitz"`, which requires it.
            `None` for `"dense"`, which takes the number of tokens that it is built with. Defaults
            to `None`.
        epsilon: Float, added to the variance in the layer normalization of `v`. Defaults to `1e-5`.
        kernel_initializer: Initializer of the spatial weights. Defaults to `None`, a normal
            distribution with standard deviation 1e-6.
        bias_initializer: Initializer of the spatial bias. Defaults to `None`, ones where `f(v)`
            multiplies and zeros for `"additive"` and `"linear"`, which then start as `output = v`
            and `output = 0`.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: Tensor of shape `(batch, tokens, channels)`. `"dense"` fixes `tokens` when the layer
            is built; with `"toeplitz"` it may vary between calls, up to `sequence_length`.
            `channels` must be even to be split.
        gate_addend: Optional tensor of the output's shape, added to `f(v)`:
            `output = u * (W LayerNorm(v) + b + gate_addend)`. aMLP passes the output of its
            `TinyAttention` here.
        mask: Optional boolean tensor of shape `(batch, tokens)`, true where there is a token. A
            masked token contributes nothing to the gates of the others.

    Output shape:
        `(batch, tokens, channels / 2)`, or `(batch, tokens, channels)` for the forms without a
        split.

    Raises:
        ValueError: If `spatial` or `form` is not one of the values above, `sequence_length` is not
            what `spatial` requires, the inputs are not of rank 3, the number of channels (or of
            tokens, for `"dense"`) is unknown, an odd number of channels is to be split, or there
            are more than `sequence_length` tokens.

    Differences from the paper:
        The paper says only that the spatial weights start near zero, and gives no epsilon; 1e-6 and
        1e-5 are timm's. It has no mask, and one length per model. For the forms without a split it
        does not say where the normalization goes, here inside `f` as in the split form, nor how the
        bias starts.

    Low-rank adaptation and quantization apply to the weights of `"dense"`. Those of `"toeplitz"`,
    two values per token, are left as they are.

    Example:

    ```python
    import keras
    from keras_gimlp import layers

    unit = layers.SpatialGatingUnit()
    unit(keras.ops.ones((2, 196, 1536))).shape  # (2, 196, 768)

    unit = layers.SpatialGatingUnit("toeplitz", sequence_length=512)
    unit(keras.ops.ones((2, 128, 1536))).shape  # (2, 128, 768)
    ```

    Reference:
        Liu et al., "Pay Attention to MLPs" (2021), arXiv:2105.08050, Table 3 (forms) and Appendix C
        (Toeplitz).
    """

    def __init__(
        self,
        spatial="dense",
        form="split",
        sequence_length=None,
        *,
        epsilon=1e-5,
        kernel_initializer=None,
        bias_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if spatial not in ("dense", "toeplitz"):
            raise ValueError(
                f'`spatial` must be "dense" or "toeplitz". Received: spatial={spatial!r}'
            )
        if form not in FORMS:
            raise ValueError(
                '`form` must be "split", "multiplicative", "additive" or "linear". '
                f"Received: form={form!r}"
            )
        check_integers_with(
            f'spatial="{spatial}"', spatial == "toeplitz", sequence_length=sequence_length
        )
        # The attribute `spatial` is the sublayer: weights files use that name.
        self.form = form
        self.sequence_length = sequence_length
        self.epsilon = epsilon
        self.kernel_initializer = keras.initializers.get(
            kernel_initializer or keras.initializers.RandomNormal(stddev=1e-6)
        )
        self.bias_initializer = keras.initializers.get(
            bias_initializer or ("zeros" if form in ("additive", "linear") else "ones")
        )
        self.supports_masking = True

    def build(self, input_shape):
        toeplitz = self.sequence_length is not None
        if len(input_shape) != 3 or None in input_shape[2 if toeplitz else 1 :]:
            known = "channels" if toeplitz else "tokens and channels"
            raise ValueError(
                "`SpatialGatingUnit` needs `inputs` of shape (batch, tokens, channels) with known "
                f"{known}. Received: inputs.shape={tuple(input_shape)}"
            )
        _, tokens, channels = input_shape
        if self.form == "split" and channels % 2:
            raise ValueError(
                "`SpatialGatingUnit` gates half of the channels with the other half, so their "
                f"number must be even. Received: inputs.shape={tuple(input_shape)}"
            )
        self.input_spec = keras.layers.InputSpec(
            ndim=3, axes={2: channels} if toeplitz else {1: tokens, 2: channels}
        )
        v_shape = (None, tokens, channels // 2 if self.form == "split" else channels)
        self.norm = self.sublayer(LayerNormalization, "norm", v_shape, epsilon=self.epsilon)
        self.spatial = self.sublayer(
            ToeplitzProjection if toeplitz else SpatialProjection,
            "spatial",
            v_shape,
            **({"sequence_length": self.sequence_length} if toeplitz else {"units": tokens}),
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
        )

    def call(self, inputs, gate_addend=None, mask=None):
        # (B, N, C / 2) each, or the whole input
        u, v = ops.split(inputs, 2, axis=-1) if self.form == "split" else (inputs, inputs)
        f = self.spatial(self.norm(v), mask=mask)
        if gate_addend is not None:
            f = f + gate_addend
        return FORMS[self.form](u, f)

    def compute_output_shape(self, input_shape):
        if self.sequence_length is not None:
            check_tokens(input_shape, self.sequence_length)
        channels = input_shape[-1] // 2 if self.form == "split" else input_shape[-1]
        return (*input_shape[:-1], channels)

    def get_config(self):
        return {
            **super().get_config(),
            "spatial": "dense" if self.sequence_length is None else "toeplitz",
            "form": self.form,
            "sequence_length": self.sequence_length,
            "epsilon": self.epsilon,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
