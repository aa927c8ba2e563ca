"""The cycle fully-connected layer of CycleMLP."""

import functools

import keras
from keras import ops

from keras_gimlp.backend.dense import Dense
from keras_gimlp.backend.zero_padding import zero_pad
from keras_gimlp.layers.arguments import check_odd_integers, check_positive_integers
from keras_gimlp.layers.composite import CompositeLayer


@keras.saving.register_keras_serializable(package="keras_gimlp")
class CycleFC(CompositeLayer):
    """A dense layer that reads each channel at its own fixed offset along one axis.

    With kernel size `k`, channel `c` is shifted by `s(c) = (c + k // 2) mod k - k // 2` pixels:
    0, 1, -1, 0, 1, -1, ... for `k = 3`. Pixels outside the image are zero.

        output[h, w] = sum over c of kernel[c] inputs[h, w + s(c), c] + bias    for axis "width"
        output[h, w] = sum over c of kernel[c] inputs[h + s(c), w, c] + bias    for axis "height"

    It has as many parameters and multiplications as a dense layer, sees `k` pixels, and takes
    images of any size.

    Args:
        units: Integer, number of output channels.
        axis: `"width"` or `"height"`, the axis along which channels are shifted.
        kernel_size: Odd integer, number of pixels that an output pixel sees. Defaults to 3.
        kernel_initializer: Initializer of the kernel. Defaults to `None`, a truncated normal
            distribution with standard deviation 0.02.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: Tensor of shape `(batch, height, width, channels)`. Height and width may be unknown.

    Output shape:
        `(batch, height, width, units)`.

    Raises:
        ValueError: If `units` is not a positive integer, `axis` is not one of the values above,
            `kernel_size` is not odd and positive, or the inputs are not of rank 4 with known
            channels.

    Differences from the paper:
        The paper's Figure 4 draws the shifts in a different order from its released code; this
        layer follows the code. There it is a deformable convolution with constant offsets; `sfc_h`,
        with a 1x3 kernel, shifts along the width, and `sfc_w` along the height.

    Example:

    ```python
    import keras
    from keras_gimlp import layers

    layer = layers.CycleFC(units=64, axis="width")
    layer(keras.ops.ones((2, 56, 56, 32))).shape  # (2, 56, 56, 64)
    ```

    Reference:
        Chen et al., "CycleMLP: A MLP-like Architecture for Dense Prediction" (2021),
        arXiv:2107.10224.
    """

    def __init__(self, units, axis, kernel_size=3, *, kernel_initializer=None, **kwargs):
        super().__init__(**kwargs)
        check_positive_integers(units=units)
        if axis not in ("width", "height"):
            raise ValueError(f'`axis` must be "width" or "height". Received: axis={axis!r}')
        check_odd_integers(kernel_size=kernel_size)
        self.units = units
        self.axis = axis
        self.kernel_size = kernel_size
        self.kernel_initializer = keras.initializers.get(
            kernel_initializer or keras.initializers.TruncatedNormal(stddev=0.02)
        )

    def build(self, input_shape):
        if len(input_shape) != 4 or input_shape[3] is None:
            raise ValueError(
                "`CycleFC` needs `inputs` of shape (batch, height, width, channels) with known "
                f"channels. Received: inputs.shape={tuple(input_shape)}"
            )
        channels = input_shape[3]
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={3: channels})
        self.dense = self.sublayer(
            Dense,
            "dense",
            input_shape,
            units=self.units,
            kernel_initializer=self.kernel_initializer,
        )

    def call(self, inputs):
        # A sum of masked slices: of seven ways to shift, the only one that is among the fastest on
        # every backend, forward and backward.
        reach = self.kernel_size // 2
        around, no = (reach, reach), (0, 0)
        padded = zero_pad(inputs, *((around, no) if self.axis == "height" else (no, around)))
        shifts = (ops.arange(inputs.shape[-1]) + reach) % self.kernel_size  # (C,), from -reach
        parts = []
        for i in range(self.kernel_size):
            inside = slice(i, i - 2 * reach or None)
            part = padded[:, inside] if self.axis == "height" else padded[:, :, inside]
            parts.append(part * ops.cast(ops.equal(shifts, i), part.dtype))
        return self.dense(functools.reduce(ops.add, parts))  # (B, H, W, units)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "axis": self.axis,
            "kernel_size": self.kernel_size,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
