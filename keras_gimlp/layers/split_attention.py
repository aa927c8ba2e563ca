"""The weighted sum that fuses CycleMLP's branches."""

import functools

import keras
from keras import ops

from keras_gimlp.backend.dense import Dense
from keras_gimlp.layers.arguments import check_positive_integers
from keras_gimlp.layers.composite import CompositeLayer

add = functools.partial(functools.reduce, ops.add)  # `sum` would add a zero first


@keras.saving.register_keras_serializable(package="keras_gimlp")
class SplitAttention(CompositeLayer):
    """Sums branches with weights per example and channel, computed from their spatial averages.

    With `n` branches `x_1 ... x_n`:

        a = mean over height and width of x_1 + ... + x_n
        w = softmax over the branches of (GELU(a W_1 + b_1) W_2 + b_2)    # n weights per channel
        output = w_1 * x_1 + ... + w_n * x_n

    Args:
        reduction: Integer, factor by which the hidden layer has fewer channels than a branch.
            Defaults to 4.
        kernel_initializer: Initializer of both kernels. Defaults to `None`, a truncated normal
            distribution with standard deviation 0.02.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: List of two or more tensors of the same shape `(batch, height, width, channels)`.

    Output shape:
        `(batch, height, width, channels)`.

    Raises:
        ValueError: If `reduction` is not a positive integer, or the inputs are not a list of two or
            more tensors of rank 4 with the same known number of channels, at least `reduction`.

    Differences from the paper:
        None known. The columns of `W_2` run over the branches fastest, as in the released code.

    Example:

    ```python
    import keras
    from keras_gimlp import layers

    fuse = layers.SplitAttention()
    branches = [keras.ops.ones((2, 14, 14, 64)) for _ in range(3)]
    fuse(branches).shape  # (2, 14, 14, 64)
    ```

    Reference:
        Chen et al., "CycleMLP: A MLP-like Architecture for Dense Prediction" (2021),
        arXiv:2107.10224; split attention is from ResNeSt, arXiv:2004.08955.
    """

    def __init__(self, reduction=4, *, kernel_initializer=None, **kwargs):
        super().__init__(**kwargs)
        check_positive_integers(reduction=reduction)
        self.reduction = reduction
        self.kernel_initializer = keras.initializers.get(
            kernel_initializer or keras.initializers.TruncatedNormal(stddev=0.02)
        )

    def build(self, input_shape):
        shapes = [tuple(shape) for shape in input_shape if isinstance(shape, (tuple, list))]
        channels = {shape[-1] for shape in shapes}
        if len(shapes) < 2 or channels == {None} or len(channels) > 1 or len(shapes[0]) != 4:
            raise ValueError(
                "`SplitAttention` needs a list of two or more `inputs`, each of shape (batch, "
                "height, width, channels) with the same known number of channels. "
                f"Received: shapes={input_shape}"
            )
        (channels,) = channels
        if channels < self.reduction:
            raise ValueError(
                "`reduction` must be at most the number of channels. "
                f"Received: reduction={self.reduction}, channels={channels}"
            )
        hidden_units = channels // self.reduction
        self.contract = self.sublayer(
            Dense,
            "contract",
            (None, channels),
            units=hidden_units,
            activation="gelu",
            kernel_initializer=self.kernel_initializer.clone(),
        )
        self.expand = self.sublayer(
            Dense,
            "expand",
            (None, hidden_units),
            units=channels * len(shapes),
            kernel_initializer=self.kernel_initializer.clone(),
        )

    def call(self, inputs):
        n, channels = len(inputs), inputs[0].shape[-1]
        average = add(ops.mean(x, axis=(1, 2)) for x in inputs)  # (B, C)
        scores = self.expand(self.contract(average))  # (B, C n)
        scores = ops.reshape(scores, (-1, 1, 1, channels, n))
        weights = ops.split(ops.softmax(scores, axis=-1), n, axis=-1)  # (B, 1, 1, C, 1) each
        return add(x * ops.squeeze(w, -1) for x, w in zip(inputs, weights, strict=True))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])

    def get_config(self):
        return {
            **super().get_config(),
            "reduction": self.reduction,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
