"""ResMLP: "Feedforward networks for image classification" (Touvron et al., 2021)."""

import keras

from keras_gimlp.applications.common import add_residual, drop_path_rates, variant
from keras_gimlp.applications.image_frame import ImageFrame
from keras_gimlp.backend.dense import Dense
from keras_gimlp.layers import Affine
from keras_gimlp.layers.arguments import check_positive_integers

SPATIAL = {"_tokens_mix/kernel": (0, 1), "_tokens_mix/bias": (None, 0)}


def ResMLP(  # noqa: D417  the first arguments are those of keras.applications
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="resmlp",
    *,
    depth,
    dim,
    patch_size=16,
    mlp_ratio=4,
    layer_scale=1e-4,
    drop_path_rate=0.0,
    feature_maps=False,
    resize_spatial=False,
):
    """Builds ResMLP.

    The image is cut into patches, one token each. Every block mixes the tokens within each channel,
    then the channels within each token. Affine transformations replace normalization, and every
    residual is scaled by learned parameters (LayerScale):

        y = x + gamma_1 * (W Affine(x) + b)
        z = y + gamma_2 * (GELU(Affine(y) W_1) W_2)

    Token mixing depends on the positions, so the image size is fixed when the model is built.

    The first eight arguments are those of `keras.applications`. Of these, `weights`, `input_shape`
    and `pooling` are described here.

    Args:
        weights: `None` for newly initialized weights; `"imagenet"` or a name in
            `keras_gimlp.weights.list_weights()`, which is downloaded; the path of a published
            `.safetensors` or `.pth` file, or of a `.weights.h5` or `.keras` file saved from such a
            model; or `"hf://timm/NAME"` on the Hugging Face hub. A classifier in the file is
            ignored with `include_top=False`, and if it has another number of classes. Defaults to
            `None`.
        input_shape: Tuple `(height, width, channels)` in pixels; `patch_size` must divide height
            and width. Defaults to `(224, 224, 3)`.
        pooling: With `include_top=False`, `None` returns the tokens after the last layer, of shape
            `(batch, tokens, dim)`; `"avg"` or `"max"` returns their mean or maximum, of shape
            `(batch, dim)`. Defaults to `None`.
        depth: Integer, number of blocks.
        dim: Integer, channels of a token.
        mlp_ratio: Integer, hidden units of the MLP over channels, as a multiple of `dim`. Defaults
            to 4.
        layer_scale: Float, initial value of `gamma_1` and `gamma_2`. Defaults to 1e-4.
        patch_size: Integer, side of a patch in pixels. Defaults to 16.
        drop_path_rate: Float in [0, 1), stochastic depth of the last block; it rises linearly from
            0 in the first. Survival is `1 - drop_path_rate`. Defaults to 0.
        feature_maps: Which blocks' outputs to return, before the last normalization, as maps of
            shape `(batch, height / patch_size, width / patch_size, dim)` in a dictionary by block,
            `"block0"` the first. `True`: the last block's. A list or tuple: the blocks of these
            numbers, negative ones counted from the end; the model ends with the last of them.
            Requires `include_top=False` and `pooling=None`. Defaults to `False`.
        resize_spatial: Whether to interpolate the spatial weights of a file for another image size,
            as `keras_gimlp.weights.Spatial` explains: `True` if that file is for square images,
            else the grid `(rows, columns)` of its tokens. Defaults to `False`.

    Returns:
        A `keras.Model` that takes images preprocessed by `preprocess_input`.

    Raises:
        ValueError: If an argument is invalid or contradicts another, `patch_size` does not divide
            the image, or the file in `weights` does not fit the model.

    Differences from the paper:
        None known in the forward pass. The dense layers use Keras' default initializer, Glorot's
        uniform distribution; the released code uses a truncated normal distribution.

    Example:

    ```python
    from keras_gimlp import applications

    model = applications.ResMLP_S12(classes=10, input_shape=(64, 64, 3))
    model.summary()
    ```

    Reference:
        Touvron et al., "ResMLP: Feedforward networks for image classification with data-efficient
        training" (2021), arXiv:2105.03404.
    """
    check_positive_integers(depth=depth, dim=dim, patch_size=patch_size, mlp_ratio=mlp_ratio)
    frame = ImageFrame(
        *(include_top, weights, input_tensor, input_shape, pooling, classes),
        *(classifier_activation, name, feature_maps, depth),
    )
    x = frame.tokens(dim, patch_size)
    for i, rate in enumerate(drop_path_rates(drop_path_rate, depth)):
        x = resmlp_block(x, mlp_ratio, layer_scale, rate, name=f"block{i}")
        frame.keep(i, x)
    x = Affine(name="norm")(x)
    return frame.token_model(x, SPATIAL, resize_spatial)


def resmlp_block(x, mlp_ratio, layer_scale, drop_path_rate, name):
    """One block of ResMLP on tokens of shape `(batch, N, dim)`."""
    _, tokens, dim = x.shape
    start = keras.initializers.Constant(layer_scale)
    y = Affine(name=f"{name}_tokens_norm")(x)
    y = keras.layers.Permute((2, 1), name=f"{name}_tokens_last")(y)  # (B, C, N)
    y = Dense(tokens, name=f"{name}_tokens_mix")(y)
    y = keras.layers.Permute((2, 1), name=f"{name}_channels_last")(y)  # (B, N, C)
    y = Affine(use_bias=False, alpha_initializer=start, name=f"{name}_tokens_scale")(y)
    x = add_residual(x, y, drop_path_rate, f"{name}_tokens")

    y = Affine(name=f"{name}_channels_norm")(x)
    y = Dense(mlp_ratio * dim, activation="gelu", name=f"{name}_channels_expand")(y)
    y = Dense(dim, name=f"{name}_channels_contract")(y)
    y = Affine(use_bias=False, alpha_initializer=start, name=f"{name}_channels_scale")(y)
    return add_residual(x, y, drop_path_rate, f"{name}_channels")


TABLE = "arXiv:2105.03404"
# fmt: off
ResMLP_S12 = variant(ResMLP, "ResMLP_S12",  15_350_872, TABLE, depth=12, dim=384, layer_scale=0.1)
ResMLP_S24 = variant(ResMLP, "ResMLP_S24",  30_020_680, TABLE, depth=24, dim=384, layer_scale=1e-5)
ResMLP_S36 = variant(ResMLP, "ResMLP_S36",  44_690_488, TABLE, depth=36, dim=384, layer_scale=1e-6)
ResMLP_B24 = variant(ResMLP, "ResMLP_B24", 115_736_776, TABLE, depth=24, dim=768, layer_scale=1e-6)  # 129,138,280 with the published files' patch_size=8
# fmt: on
