"""CycleMLP (Chen et al., 2021), arXiv:2107.10224, and giCycleMLP (Kang et al., 2022)."""

import math

import keras

from keras_gimlp.applications.common import add_residual, drop_path_rates, variant
from keras_gimlp.applications.image_frame import ImageFrame
from keras_gimlp.backend.dense import Dense
from keras_gimlp.backend.functional_model import FunctionalModel
from keras_gimlp.backend.layer_normalization import LayerNormalization
from keras_gimlp.backend.zero_padding import ZeroPadding2D
from keras_gimlp.layers import CycleFC, GateWithInhibition, Inhibition, SplitAttention
from keras_gimlp.layers.arguments import check_positive_integers

EPSILON = 1e-5  # of the layer normalizations, as in the released code


def CycleMLP(  # noqa: D417 the first arguments are those of keras.applications
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="cyclemlp",
    *,
    depths,
    dims,
    mlp_ratios,
    stem_size=7,
    stem_strides=4,
    drop_path_rate=0.0,
    feature_maps=False,
    gating=None,
    inhibition=0.3,
    scope="example",
    gate_residual=False,
):
    """Builds CycleMLP, or giCycleMLP if `gating` is given.

    A pyramid of stages, each at half the resolution of the one before. Every block mixes pixels
    along both axes, then channels:

        b = CycleFC along the width (h), CycleFC along the height (h), h W    with h = LayerNorm(x)
        y = x + SplitAttention(b) V
        z = y + MLP(LayerNorm(y))

    giCycleMLP multiplies the MLP's output by a gate (`gating="gate"`) or subtracts a threshold from
    it (`gating="subtract"`):

        z = y + MLP(LayerNorm(y)) * GateWithInhibition(LayerNorm'(y))
        z = y + Inhibition(MLP(LayerNorm(y)))

    No parameter depends on the position, so one model takes images of any size.

    The first eight arguments are those of `keras.applications`. Of these, `weights`, `input_shape`
    and `pooling` are described here.

    Args:
        weights: `None` for newly initialized weights; `"imagenet"` or a name in
            `keras_gimlp.weights.list_weights()`, which is downloaded; or the path of the paper's
            `.pth` file, or of a `.weights.h5` or `.keras` file saved from such a model. A
            classifier in the file is ignored with `include_top=False`, and if it has another number
            of classes. giCycleMLP also takes CycleMLP's weights: always with `"subtract"`, and with
            `"gate"` if `gate_residual` makes the new gates start at 1. Defaults to `None`.
        input_shape: Tuple `(height, width, channels)` in pixels. Height and width may be `None`,
            for images of any size. Defaults to `(224, 224, 3)`.
        pooling: With `include_top=False`, `None` returns the last feature map after normalization,
            of shape `(batch, height / 32, width / 32, dims[-1])`, rounded up; `"avg"` or `"max"`
            returns its mean or maximum, of shape `(batch, dims[-1])`. Defaults to `None`.
        depths: Integers, number of blocks in each stage.
        dims: Integers, channels of each stage, at least 4.
        mlp_ratios: Integers, hidden units of each stage's MLPs, as a multiple of its channels.
        stem_size: Integer, side of the stem's convolution kernel, in pixels. Defaults to 7.
        stem_strides: Integer, stride of the stem's convolution, in pixels. Smaller strides suit
            small images. Defaults to 4.
        drop_path_rate: Float in [0, 1), stochastic depth of the last block; it rises linearly from
            0 in the first. Defaults to 0.
        feature_maps: Which stages' layer-normalized maps to return, in a dictionary by level:
            `"P2"` at stride 4 to `"P5"` at stride 32 with the default stem. `True`: all stages. A
            list or tuple: the stages of these numbers, from 0, negative ones counted from the end;
            the model ends with the last of them. Requires `include_top=False`, `pooling=None`
            and a power of two as `stem_strides`. Published files have no weights for these
            normalizations, which keep their initial values. The model is a `FeaturePyramid`, which
            KerasHub's detectors and segmenters accept as `image_encoder`. Defaults to `False`.
        gating: `None` for CycleMLP, `"gate"` for the giMLP paper's Figure 2, `"subtract"` for its
            released training script. Defaults to `None`.
        inhibition: Float in [0, 1], fraction of the maximum that giCycleMLP subtracts. Defaults
            to 0.3.
        scope: `"example"`, `"token"` (a pixel of the map) or `"batch"`, what giCycleMLP takes the
            maximum over; see `keras_gimlp.layers.Inhibition`. Defaults to `"example"`.
        gate_residual: Whether `"gate"` multiplies by 1 + gate, which starts at 1. Defaults to
            `False`.

    Returns:
        A `keras.Model` that takes images preprocessed by `preprocess_input`.

    Raises:
        ValueError: If an argument is invalid or contradicts another, or the file in `weights` does
            not fit the model.

    Differences from the paper:
        CycleMLP: none known in the forward pass; the convolutions use Keras' default initializers.
        giCycleMLP: the released script takes the maximum over the whole batch (`scope="batch"`). It
        also subtracts in the small MLP of `SplitAttention`; this is left out here, since it cancels
        in the softmax. The parameters and FLOPs published for giCycleMLP, 15M and 2.1G, are those
        of `"subtract"`; `"gate"` has 22.97M and 3.38G.

    Example:

    ```python
    from keras_gimlp import applications

    model = applications.CycleMLP_B1(
        include_top=False, feature_maps=True, input_shape=(None, None, 3)
    )
    model.output["P4"].shape  # (None, None, None, 320)
    ```

    Reference:
        Chen et al., "CycleMLP: A MLP-like Architecture for Dense Prediction" (2021),
        arXiv:2107.10224; Kang et al., "giMLPs: Gate with Inhibition Mechanism in MLPs" (2022),
        arXiv:2208.00929.
    """
    check_positive_integers(stem_size=stem_size, stem_strides=stem_strides)
    for argument, values in (("depths", depths), ("dims", dims), ("mlp_ratios", mlp_ratios)):
        if len(values) != len(depths):
            raise ValueError(
                f"`{argument}` must have one number for each of the {len(depths)} stages. "
                f"Received: {argument}={values}, depths={depths}"
            )
        check_positive_integers(**{f"{argument}[{i}]": value for i, value in enumerate(values)})
    if gating not in (None, "gate", "subtract"):
        raise ValueError(f'`gating` must be None, "gate" or "subtract". Received: {gating=}')
    stages = range(len(depths))
    frame = ImageFrame(
        *(include_top, weights, input_tensor, input_shape, pooling, classes),
        *(classifier_activation, name, feature_maps, len(depths), list(stages)),
    )
    if frame.chosen and stem_strides & (stem_strides - 1):
        raise ValueError(
            "`stem_strides` must be a power of two with `feature_maps`, since the map of "
            f"stride 2^n is named Pn. Received: stem_strides={stem_strides}"
        )
    if stem_size < stem_strides - 1:
        raise ValueError(
            "`stem_size` must be at least `stem_strides - 1`: the stem does not crop images. "
            f"Received: stem_size={stem_size}, stem_strides={stem_strides}"
        )
    rates = iter(drop_path_rates(drop_path_rate, sum(depths)))

    x = frame.first(padding(stem_size, stem_strides, name="stem"))
    x = convolution(x, dims[0], stem_size, stem_strides, name="stem")
    for s, (depth, dim, mlp_ratio) in enumerate(zip(depths, dims, mlp_ratios, strict=True)):
        if s > 0:
            down = f"stage{s}_downsample"
            x = convolution(padding(3, 2, down)(x), dim, 3, 2, down)
        for i in range(depth):
            block, rate = f"stage{s}_block{i}", next(rates)
            x = add_residual(x, cycle_mixing(x, f"{block}_mix"), rate, f"{block}_mix")
            y = channel_mlp(x, mlp_ratio, f"{block}_mlp")
            if gating == "gate":
                y = keras.layers.Multiply(name=f"{block}_gated")(
                    [y, gate(x, mlp_ratio, inhibition, scope, gate_residual, f"{block}_gate")]
                )
            elif gating == "subtract":
                y = Inhibition(inhibition, scope, name=f"{block}_inhibition")(y)
            x = add_residual(x, y, rate, f"{block}_mlp")
        if s in frame.chosen:
            level = f"P{int(math.log2(stem_strides)) + s}"
            frame.maps[level] = layer_norm(x, name=f"stage{s}_norm")
    x = layer_norm(x, name="norm")

    fresh = [f"stage{s}_norm" for s in frame.chosen]
    if gating == "gate" and gate_residual:
        fresh += ["_gate", "_gate_norm"]
    # The file of another pyramid may have the norms of stages that are not chosen here.
    unused = [f"stage{s}_norm" for s in stages if s not in frame.chosen]
    return frame.model(x, FeaturePyramid, fresh=tuple(fresh), unused=unused)


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


def padding(size, strides, name):
    """Returns the layer that pads images for the convolution `name`, equally on both sides."""
    return ZeroPadding2D(
        (size - strides + 1) // 2, data_format="channels_last", name=f"{name}_padding"
    )


def convolution(x, dim, size, strides, name):
    return keras.layers.Conv2D(dim, size, strides=strides, data_format="channels_last", name=name)(
        x
    )


def layer_norm(x, name):
    return LayerNormalization(epsilon=EPSILON, name=name)(x)


def dense(x, units, name, **kwargs):
    start = keras.initializers.TruncatedNormal(stddev=0.02)
    return Dense(units, kernel_initializer=start, name=name, **kwargs)(x)


def cycle_mixing(x, name):
    """Mixes pixels along the width, along the height, and not at all; returns a weighted sum."""
    dim = x.shape[-1]
    x = layer_norm(x, name=f"{name}_norm")
    width = CycleFC(dim, "width", name=f"{name}_width")(x)
    height = CycleFC(dim, "height", name=f"{name}_height")(x)
    channel = dense(x, dim, f"{name}_channel", use_bias=False)
    x = SplitAttention(name=f"{name}_fuse")([width, height, channel])
    return dense(x, dim, f"{name}_project")


def channel_mlp(x, mlp_ratio, name):
    dim = x.shape[-1]
    x = layer_norm(x, name=f"{name}_norm")
    x = dense(x, mlp_ratio * dim, f"{name}_expand", activation="gelu")
    return dense(x, dim, f"{name}_contract")


def gate(x, mlp_ratio, inhibition, scope, residual, name):
    """The gate beside the channel MLP, with as many hidden units as the MLP."""
    dim = x.shape[-1]
    x = layer_norm(x, name=f"{name}_norm")
    return GateWithInhibition(
        units=dim,
        hidden_units=mlp_ratio * dim,
        inhibition=inhibition,
        scope=scope,
        residual=residual,
        # Without the residual, a gate of zero would stop the gradient of the MLP.
        kernel_initializer="zeros" if residual else keras.initializers.TruncatedNormal(stddev=0.02),
        name=name,
    )(x)


# The sizes of the released code.
CODE = "the code of arXiv:2107.10224"
GI = "arXiv:2208.00929"
# fmt: off
B1 = {"depths": (2, 2, 4, 2),  "dims": (64, 128, 320, 512), "mlp_ratios": (4, 4, 4, 4), "drop_path_rate": 0.1}
B2 = {"depths": (2, 3, 10, 3), "dims": (64, 128, 320, 512), "mlp_ratios": (4, 4, 4, 4), "drop_path_rate": 0.1}
B3 = {"depths": (3, 4, 18, 3), "dims": (64, 128, 320, 512), "mlp_ratios": (8, 8, 4, 4), "drop_path_rate": 0.1}
B4 = {"depths": (3, 8, 27, 3), "dims": (64, 128, 320, 512), "mlp_ratios": (8, 8, 4, 4), "drop_path_rate": 0.1}
B5 = {"depths": (3, 4, 24, 3), "dims": (96, 192, 384, 768), "mlp_ratios": (4, 4, 4, 4), "drop_path_rate": 0.1}
CycleMLP_B1   = variant(CycleMLP, "CycleMLP_B1",    15_155_400, CODE, **B1)
CycleMLP_B2   = variant(CycleMLP, "CycleMLP_B2",    26_802_504, CODE, **B2)
CycleMLP_B3   = variant(CycleMLP, "CycleMLP_B3",    38_385_720, CODE, **B3)
CycleMLP_B4   = variant(CycleMLP, "CycleMLP_B4",    51_796_552, CODE, **B4)
CycleMLP_B5   = variant(CycleMLP, "CycleMLP_B5",    75_747_280, CODE, **B5)
giCycleMLP_B1 = variant(CycleMLP, "giCycleMLP_B1",  22_973_000, GI, **B1, gating="gate")
giCycleMLP_B2 = variant(CycleMLP, "giCycleMLP_B2",  41_781_448, GI, **B2, gating="gate")
giCycleMLP_B3 = variant(CycleMLP, "giCycleMLP_B3",  60_726_776, GI, **B3, gating="gate")
giCycleMLP_B4 = variant(CycleMLP, "giCycleMLP_B4",  82_584_776, GI, **B4, gating="gate")
giCycleMLP_B5 = variant(CycleMLP, "giCycleMLP_B5", 119_703_472, GI, **B5, gating="gate")
# fmt: on
