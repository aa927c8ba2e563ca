"""The attention-free mixing of an image's positions: AFT-conv."""

import functools

import keras
from keras import ops

from keras_gimlp.backend.dense import Dense
from keras_gimlp.backend.depthwise_convolution import depthwise_convolution
from keras_gimlp.backend.mix_tokens import mix_tokens
from keras_gimlp.layers.arguments import check_odd_integers, check_positive_integers
from keras_gimlp.layers.composite import CompositeLayer
from keras_gimlp.layers.exponential_mean import exponential, exponential_mean, spread


@keras.saving.register_keras_serializable(package="keras_gimlp")
class AttentionFreeConvolution(CompositeLayer):
    """Mixes positions by weighted means, whose position biases depend on relative positions.

        q, k, v  = inputs W_qkv + b_qkv
        mean_t   = sum_s exp(k_s + w_(s-t)) * v_s / sum_s exp(k_s + w_(s-t))
        output_t = (sigmoid(q_t) * mean_t) W_o + b_o

    Every head has one key for each position, one kernel `w`, and as many channels of `v`. The
    kernel reaches `kernel_size` positions along each axis of an image (or along a sequence); the
    positions beyond still count, with `w = 0`. It is standardized:

        w = gamma (kernel - mean kernel) / deviation kernel + beta

    with one `gamma` and one `beta` per head that start at zero, so that a new layer weights
    positions by their keys alone, as `AttentionFreeMixing("simple")` does.

    Args:
        num_heads: Integer, number of heads, which divides the number of channels.
        kernel_size: Odd integer, number of positions that a kernel reaches along each axis.
        epsilon: Float, added to the variance of a kernel. Defaults to `1e-5`.
        kernel_initializer: Initializer of the kernels. Defaults to `None`, a normal distribution
            with standard deviation 1.
        gamma_initializer: Initializer of `gamma`. Defaults to `"zeros"`.
        beta_initializer: Initializer of `beta`. Defaults to `"zeros"`.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: Tensor of shape `(batch, height, width, channels)`, or `(batch, tokens, channels)`.
            Height, width and tokens may be unknown, and vary between calls.
        mask: Optional boolean tensor of the shape of `inputs` without the channels, true where
            there is a token. A masked position takes no part in the means of the others.

    Output shape:
        Same as `inputs`.

    Raises:
        ValueError: If `num_heads` or `kernel_size` is not a positive integer, `kernel_size` is
            even, or the inputs are not of rank 3 or 4 with known channels that `num_heads` divides.

    Differences from the paper:
        The paper adds a convolution with `exp(w) - 1` to the sum over all positions, which is the
        same in exact arithmetic, but loses all digits where `exp(w)` is small. Here a convolution
        with `exp(w)` is added to the sum over the positions beyond the kernel. The paper leaves
        open the kernel's initial values, whether the deviation is that of a sample (here it is
        not), `epsilon`, biases of the projections (here they have them), and masks. Sums are
        computed in float32 and are always finite; they are exact to 1e-5 if the keys of a head
        differ by up to 80, and its position biases by up to 80. As in the paper's experiments,
        there is no causal form: for text there is `AttentionFreeMixing`.

    Example:

    ```python
    import keras
    from keras_gimlp import layers

    layer = layers.AttentionFreeConvolution(num_heads=16, kernel_size=11)
    layer(keras.ops.ones((2, 14, 14, 64))).shape  # (2, 14, 14, 64)
    ```

    Reference:
        Zhai et al., "An Attention Free Transformer" (2021), arXiv:2105.14103, section 3.2 and
        equation 6.
    """

    def __init__(
        self,
        num_heads,
        kernel_size,
        *,
        epsilon=1e-5,
        kernel_initializer=None,
        gamma_initializer="zeros",
        beta_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive_integers(num_heads=num_heads)
        check_odd_integers(kernel_size=kernel_size)
        self.num_heads = num_heads
        self.kernel_size = kernel_size
        self.epsilon = epsilon
        self.kernel_initializer = keras.initializers.get(
            kernel_initializer or keras.initializers.RandomNormal(stddev=1.0)
        )
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.beta_initializer = keras.initializers.get(beta_initializer)
        self.supports_masking = True

    def build(self, input_shape):
        rank, channels = len(input_shape), input_shape[-1]
        if rank not in (3, 4) or channels is None or channels % self.num_heads:
            raise ValueError(
                "`AttentionFreeConvolution` needs `inputs` of shape (batch, height, width, "
                "channels) or (batch, tokens, channels) with known channels that `num_heads` "
                f"divides. Received: inputs.shape={tuple(input_shape)}, num_heads={self.num_heads}"
            )
        self.input_spec = keras.layers.InputSpec(ndim=rank, axes={rank - 1: channels})
        units = 2 * channels + self.num_heads
        self.qkv = self.sublayer(Dense, "qkv", input_shape, units=units)
        self.projection = self.sublayer(Dense, "projection", input_shape, units=channels)
        size = self.kernel_size
        # A sequence is an image of one column.
        shape = (size, size if rank == 4 else 1, self.num_heads)
        # Their exponentials count: under mixed precision they stay in float32.
        add = functools.partial(self.add_weight, autocast=False)
        self.kernel = add(shape, self.kernel_initializer, name="kernel")
        self.gamma = add((self.num_heads,), self.gamma_initializer, name="gamma")
        self.beta = add((self.num_heads,), self.beta_initializer, name="beta")

    def call(self, inputs, mask=None):
        channels, image = inputs.shape[-1], len(inputs.shape) == 4
        qkv = self.qkv(inputs)
        q, k, v = qkv[..., :channels], qkv[..., channels:-channels], qkv[..., -channels:]
        if not image:
            k, v = (ops.expand_dims(x, 2) for x in (k, v))  # (B, N, 1, ...)
            mask = None if mask is None else ops.expand_dims(mask, 2)
        weigh = functools.partial(self.weigh, self.position_weights())
        mean = exponential_mean(weigh, k, v, mask)  # (B, H, W, C)
        mean = mean if image else ops.squeeze(mean, 2)
        return self.projection(ops.sigmoid(q) * ops.cast(mean, q.dtype))

    def position_weights(self):
        """Returns the exponentials of the position biases, within the kernel's reach and beyond.

        Their shapes are `(kernel_size, kernel_size or 1, heads)` and `(heads,)`.
        """
        middle = ops.mean(self.kernel, axis=(0, 1))
        variance = ops.mean(ops.square(self.kernel - middle), axis=(0, 1))
        scale = self.gamma * ops.rsqrt(variance + self.epsilon)
        w = (self.kernel - middle) * scale + self.beta
        beyond = 0.0
        largest = ops.maximum(ops.amax(w, axis=(0, 1)), beyond)
        return exponential(w, largest), exponential(beyond, largest)

    def weigh(self, weights, x):
        """Returns the weighted sums of images of shape `(batch, height, width, channels)`."""
        # The keys of the heads stand behind the values of their channels.
        channels = x.shape[-1] - self.num_heads
        kernel, beyond = (ops.concatenate([spread(w, channels), w], axis=-1) for w in weights)
        return depthwise_convolution(x, kernel) + beyond * self.sums_beyond(x)

    def sums_beyond(self, x):
        """Returns for every position the sum over the positions that the kernel does not reach.

        These are the rows beyond its reach, and the columns beyond it in the rows within.
        """
        _, height, width, channels = ops.shape(x)
        reach = self.kernel_size // 2
        beyond = ops.cast(distances(x[0, :, 0, 0]) > reach, x.dtype)
        total = ops.expand_dims(mix_tokens(beyond, ops.sum(x, axis=2)), 2)  # (B, H, 1, C)
        if self.input_spec.ndim == 3:
            return total
        beside = ops.cast(distances(x[0, 0, :, 0]) > reach, x.dtype)
        beside = ops.reshape(ops.matmul(beside, x), (-1, height, width * channels))
        return total + ops.reshape(mix_tokens(1 - beyond, beside), ops.shape(x))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "kernel_size": self.kernel_size,
            "epsilon": self.epsilon,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "gamma_initializer": keras.initializers.serialize(self.gamma_initializer),
            "beta_initializer": keras.initializers.serialize(self.beta_initializer),
        }


def distances(line):
    """Returns `|t - s|` for the positions of a line of values, of shape `(size, size)`."""
    # Counted, since a range of an unknown size becomes a constant where PyTorch is traced.
    places = ops.cumsum(ops.ones_like(line))
    return ops.abs(ops.expand_dims(places, 1) - ops.expand_dims(places, 0))
