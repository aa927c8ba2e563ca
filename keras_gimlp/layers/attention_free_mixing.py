"""The attention-free mixing of tokens: AFT-full, AFT-local and AFT-simple."""

import functools

import keras
from keras import ops

from keras_gimlp.backend.dense import Dense
from keras_gimlp.backend.mix_tokens import mix_tokens
from keras_gimlp.layers.arguments import check_integers_with, check_optional_integers
from keras_gimlp.layers.composite import CompositeLayer
from keras_gimlp.layers.exponential_mean import NONE, exponential, exponential_mean
from keras_gimlp.layers.toeplitz_projection import check_tokens

FORMS = ("full", "local", "simple")


@keras.saving.register_keras_serializable(package="keras_gimlp")
class AttentionFreeMixing(CompositeLayer):
    """Mixes tokens by weighted means, one for every channel, without comparing pairs of tokens.

        q, k, v  = inputs W_qkv + b_qkv
        mean_t   = sum_s exp(k_s + w_ts) * v_s / sum_s exp(k_s + w_ts)
        output_t = (sigmoid(q_t) * mean_t) W_o + b_o

    All products with `*` are per channel. It replaces self-attention, and is a form of it with one
    head per channel and scores that do not depend on the queries. All channels share the position
    biases `w`, in which the forms differ:

        w = A Bᵀ                                        form="full"
        w = A Bᵀ where |t - s| < window, 0 elsewhere    form="local"
        w = 0                                           form="simple"

    Tokens outside the window still count, with the weight `exp(k_s)`. A and B have
    `sequence_length` rows; shorter inputs use the first of them.

    Args:
        form: `"full"`, `"local"` or `"simple"`. Defaults to `"full"`.
        sequence_length: Integer, maximum number of tokens for `"full"` and `"local"`, which require
            it. `None` for `"simple"`, which takes any number. Defaults to `None`.
        window: Integer, for `"local"`, which requires it: a token has biases for the `2 window - 1`
            tokens less than `window` away. `None` for the other forms. Defaults to `None`.
        bias_dim: Integer, columns of A and B; `None` for a `w` without factors. Defaults to 128.
        causal: Whether a token's mean is over itself and those before it. Defaults to `False`.
        bias_initializer: Initializer of A and B, or of `w`. Defaults to `None`, a normal
            distribution with standard deviation 0.01.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: Tensor of shape `(batch, tokens, channels)`.
        mask: Optional boolean tensor of shape `(batch, tokens)`, true where there is a token. A
            masked token takes no part in the means of the others.

    Output shape:
        Same as `inputs`.

    Raises:
        ValueError: If `form` is not one of the values above, `sequence_length` or `window` is not
            what it requires, `bias_dim` is not a positive integer, the inputs are not of rank 3
            with known channels, or there are more tokens than `sequence_length`.

    Differences from the paper:
        The paper does not say whether the projections have biases. Here they do, which gives its
        numbers of parameters. Nor does it say how sums are kept from overflowing. Here they are
        computed in float32 and are always finite; they are exact to 1e-5 if the keys of a channel
        differ by up to 80, and the position biases by up to 80. `"local"` computes all pairs, like
        `"full"`, so its window saves no time. We read "N(0, 10⁻²)" as a standard deviation of 0.01,
        not as a variance. The paper has no masks for padding.

    Example:

    ```python
    import keras
    from keras_gimlp import layers

    layer = layers.AttentionFreeMixing("full", sequence_length=196)
    layer(keras.ops.ones((2, 196, 64))).shape  # (2, 196, 64)

    layer = layers.AttentionFreeMixing("simple", causal=True)
    layer(keras.ops.ones((2, 50, 64))).shape  # (2, 50, 64)
    ```

    Reference:
        Zhai et al., "An Attention Free Transformer" (2021), arXiv:2105.14103, equations 2, 4 and 5.
    """

    def __init__(
        self,
        form="full",
        sequence_length=None,
        window=None,
        bias_dim=128,
        causal=False,
        *,
        bias_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if form not in FORMS:
            raise ValueError(f'`form` must be "full", "local" or "simple". Received: form={form!r}')
        choice = f'form="{form}"'
        check_integers_with(choice, form != "simple", sequence_length=sequence_length)
        check_integers_with(choice, form == "local", window=window)
        check_optional_integers(bias_dim=bias_dim)
        self.form = form
        self.sequence_length = sequence_length
        self.window = window
        self.bias_dim = bias_dim
        self.causal = causal
        self.bias_initializer = keras.initializers.get(
            bias_initializer or keras.initializers.RandomNormal(stddev=0.01)
        )
        self.supports_masking = True

    def build(self, input_shape):
        if len(input_shape) != 3 or input_shape[2] is None:
            raise ValueError(
                "`AttentionFreeMixing` needs `inputs` of shape (batch, tokens, channels) with "
                f"known channels. Received: inputs.shape={tuple(input_shape)}"
            )
        channels = input_shape[2]
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={2: channels})
        self.qkv = self.sublayer(Dense, "qkv", input_shape, units=3 * channels)
        self.projection = self.sublayer(Dense, "projection", input_shape, units=channels)
        tokens = self.sequence_length
        if self.form == "simple":
            shapes = {}
        elif self.bias_dim is None:
            shapes = {"bias": (tokens, tokens)}
        else:
            shapes = dict.fromkeys(("bias_rows", "bias_columns"), (tokens, self.bias_dim))
        # Their exponentials count: under mixed precision they stay in float32.
        self.factors = [
            self.add_weight(shape, self.bias_initializer.clone(), name=name, autocast=False)
            for name, shape in shapes.items()
        ]

    def call(self, inputs, mask=None):
        q, k, v = ops.split(self.qkv(inputs), 3, axis=-1)  # (B, N, C) each
        if self.form == "simple":
            over = ops.cumsum if self.causal else functools.partial(ops.sum, keepdims=True)
            weigh = functools.partial(over, axis=1)
        else:
            check_tokens(inputs.shape, self.sequence_length)
            w = self.biases(ops.shape(inputs)[1], mask)
            weights = exponential(w, ops.amax(w, axis=-1, keepdims=True))
            weigh = functools.partial(mix_tokens, weights)
        mean = exponential_mean(weigh, k, v, mask)  # (B, N or 1, C)
        return self.projection(ops.sigmoid(q) * ops.cast(mean, q.dtype))

    def biases(self, tokens, mask):
        """Returns `w`, of shape `(..., tokens, tokens)`, with `NONE` for the tokens not seen."""
        if self.bias_dim is None:
            w = self.factors[0][:tokens, :tokens]
        else:
            rows, columns = (factor[:tokens] for factor in self.factors)
            w = ops.matmul(rows, ops.transpose(columns))
        places = ops.arange(self.sequence_length)[:tokens]
        distances = ops.expand_dims(places, 1) - ops.expand_dims(places, 0)  # t - s
        if self.form == "local":
            w = ops.where(ops.abs(distances) < self.window, w, 0.0)
        if not self.causal:
            return w
        seen = distances >= 0
        if mask is not None:  # so that the largest of a row is a bias that counts
            seen = ops.logical_and(seen, ops.expand_dims(mask, 1))  # (B, N, N)
        return ops.where(seen, w, NONE)

    def compute_output_shape(self, input_shape):
        if self.form != "simple":
            check_tokens(input_shape, self.sequence_length)
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "form": self.form,
            "sequence_length": self.sequence_length,
            "window": self.window,
            "bias_dim": self.bias_dim,
            "causal": self.causal,
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
