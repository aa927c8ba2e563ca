"""CycleMLP (Chen et al., 2021), arXiv:2107.10224, and giCycleMLP (Kang et al., 2022)."""

import math

import keras

from keras_gimlp.applications.common import (
    add_residual,
    check_head_arguments,
    check_positive_integers,
    chosen_maps,
    drop_path_rates,
    head,
    image_input,
    layers_left_out,
    on_image,
    sources,
    variant,
)
from keras_gimlp.applications.feature_pyramid import FeaturePyramid
from keras_gimlp.backend.dense import Dense
from keras_gimlp.backend.functional_model import ImageModel
from keras_gimlp.backend.layer_normalization import LayerNormalization
from keras_gimlp.backend.zero_padding import ZeroPadding2D
from keras_gimlp.layers import CycleFC, GateWithInhibition, Inhibition, SplitAttention
from keras_gimlp.weights import load_weights

EPSILON = 1e-5  # of the layer normalizations, as in the released code


def CycleMLP(
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

    Args:
        include_top: Whether to include the classifier. Defaults to `True`.
        weights: `None` for newly initialized weights; `"imagenet"` or a name in
            `keras_gimlp.weights.list_weights()`, which is downloaded; or the path to the paper's
            `.pth` file, or to a `.weights.h5` or `.keras` file saved from such a model. With
            `include_top=False`, the classifier in the file is ignored; if the file has a different
            number of classes, the new classifier keeps its initial weights. giCycleMLP also takes
            CycleMLP's weights: always with `"subtract"`, and with `"gate"` if `gate_residual` makes
            the new gates start at 1. Defaults to `None`.
        input_tensor: Optional Keras tensor of shape `(batch, height, width, channels)` to use as
            the input of the model.
        input_shape: Optional tuple `(height, width, channels)` in pixels. Height and width may be
            `None`, for images of any size. Defaults to `(224, 224, 3)`.
        pooling: What the model returns with `include_top=False`. `None`: the last feature map after
            normalization, of shape `(batch, height / 32, width / 32, dims[-1])`, rounded up.
            `"avg"` or `"max"`: its mean or maximum, of shape `(batch, dims[-1])`. Defaults to
            `None`.
        classes: Integer, number of classes. Ignored with `include_top=False`. Defaults to 1000.
        classifier_activation: Activation of the classifier, `None` for logits. Defaults to
            `"softmax"`.
        name: Name of the model.
        depths: Integers, number of blocks in each stage.
        dims: Integers, channels of each stage, at least 4.
        mlp_ratios: Integers, hidden units of each stage's MLPs, as a multiple of its channels.
        stem_size: Integer, side of the stem's convolution kernel, in pixels. Defaults to 7.
        stem_strides: Integer, stride of the stem's convolution, in pixels. Smaller strides suit
            small images. Defaults to 4.
        drop_path_rate: Float in [0, 1), stochastic depth of the last block; it rises linearly from
            0 in the first. Defaults to 0.
        feature_maps: Which stages' layer-normalized maps to return, in a dictionary by level:
            `"P2"` at stride 4 to `"P5"` at stride 32 with the default stem. `True`: those of all
            stages. A list or tuple: those of these numbers from 0, negative ones counted from the
            end; the model ends with the last of them. Requires `include_top=False`, `pooling=None`
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
    check_head_arguments(include_top, pooling, classes)
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
    stages = list(range(len(depths)))
    chosen = chosen_maps(feature_maps, len(depths), stages, include_top, pooling)
    if chosen and stem_strides & (stem_strides - 1):
        raise ValueError(
            "`stem_strides` must be a power of two with `feature_maps`, since the map of "
            f"stride 2^n is named Pn. Received: stem_strides={stem_strides}"
        )
    if stem_size < stem_strides - 1:
        raise ValueError(
            "`stem_size` must be at least `stem_strides - 1`: the stem does not crop images. "
            f"Received: stem_size={stem_size}, stem_strides={stem_strides}"
        )
    inputs = image_input(input_tensor, input_shape)
    rates = iter(drop_path_rates(drop_path_rate, sum(depths)))
    maps = {}

    x = convolution(inputs, dims[0], stem_size, stem_strides, name="stem")
    for s, (depth, dim, mlp_ratio) in enumerate(zip(depths, dims, mlp_ratios, strict=True)):
        if s > 0:
            x = convolution(x, dim, 3, 2, name=f"stage{s}_downsample")
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
        if s in chosen:
            level = f"P{int(math.log2(stem_strides)) + s}"
            maps[level] = layer_norm(x, name=f"stage{s}_norm")
    x = layer_norm(x, name="norm")
    x = head(x, include_top, pooling, classes, classifier_activation)

    complete = ImageModel(sources(inputs), [x, *maps.values()] if maps else x, name=name)
    model = FeaturePyramid(sources(inputs), maps, name=name) if maps else complete
    if weights is not None:
        # Of stages that are not chosen, the file of another pyramid may have one.
        unused = {f"stage{s}_norm" for s in stages if s not in chosen}
        unused |= layers_left_out(complete, model)
        fresh = [f"stage{s}_norm" for s in chosen]
        if gating == "gate" and gate_residual:
            fresh += [x.name for x in model.layers if x.name.endswith(("_gate", "_gate_norm"))]
        load_weights(complete, weights, fresh=fresh, unused=unused)
    return model


def convolution(x, dim, size, strides, name):
    """A strided convolution, padded by the same number of pixels on both sides of each axis."""
    pad = ZeroPadding2D(
        (size - strides + 1) // 2, data_format="channels_last", name=f"{name}_padding"
    )
    x = on_image(pad, x) if name == "stem" else pad(x)
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
