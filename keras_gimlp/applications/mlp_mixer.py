"""MLP-Mixer: "An all-MLP Architecture for Vision" (Tolstikhin et al., 2021), arXiv:2105.01601."""

import keras

from keras_gimlp.applications.common import add_residual, drop_path_rates, variant
from keras_gimlp.applications.image_frame import ImageFrame
from keras_gimlp.backend.dense import Dense
from keras_gimlp.backend.layer_normalization import LayerNormalization
from keras_gimlp.layers.arguments import check_positive_integers

EPSILON = 1e-6  # of the layer normalizations, as in the released code
SPATIAL = {
    "_tokens_expand/kernel": (0, None),
    "_tokens_contract/kernel": (None, 1),
    "_tokens_contract/bias": (None, 0),
}


def MLPMixer(  # noqa: D417  the first arguments are those of keras.applications
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="mlp_mixer",
    *,
    depth,
    dim,
    tokens_mlp_dim,
    channels_mlp_dim,
    patch_size=16,
    drop_path_rate=0.0,
    feature_maps=False,
    resize_spatial=False,
):
    """Builds MLP-Mixer.

    The image is cut into patches, one token each. Every block mixes the tokens within each channel,
    then the channels within each token:

        y = x + (W_2 GELU(W_1 LayerNorm(x)))
        z = y + GELU(LayerNorm(y) W_3) W_4

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
        tokens_mlp_dim: Integer, hidden units of the MLP over tokens.
        channels_mlp_dim: Integer, hidden units of the MLP over channels.
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
        The released code initializes the dense layers with LeCun's normal distribution and the
        classifier with zeros; here both use Keras' default, Glorot's uniform distribution.

    Example:

    ```python
    from keras_gimlp import applications

    model = applications.MLPMixer_S16(classes=10, input_shape=(64, 64, 3))
    model.summary()
    ```

    Reference:
        Tolstikhin et al., "MLP-Mixer: An all-MLP Architecture for Vision" (2021),
        arXiv:2105.01601, Table 1.
    """
    check_positive_integers(
        depth=depth,
        dim=dim,
        tokens_mlp_dim=tokens_mlp_dim,
        channels_mlp_dim=channels_mlp_dim,
        patch_size=patch_size,
    )
    frame = ImageFrame(
        *(include_top, weights, input_tensor, input_shape, pooling, classes),
        *(classifier_activation, name, feature_maps, depth),
    )
    x = frame.tokens(dim, patch_size)
    for i, rate in enumerate(drop_path_rates(drop_path_rate, depth)):
        x = mixer_block(x, tokens_mlp_dim, channels_mlp_dim, rate, name=f"block{i}")
        frame.keep(i, x)
    x = LayerNormalization(epsilon=EPSILON, name="norm")(x)
    return frame.token_model(x, SPATIAL, resize_spatial)


def mixer_block(x, tokens_mlp_dim, channels_mlp_dim, drop_path_rate, name):
    """One block of MLP-Mixer on tokens of shape `(batch, N, dim)`."""
    _, tokens, dim = x.shape
    y = LayerNormalization(epsilon=EPSILON, name=f"{name}_tokens_norm")(x)
    y = keras.layers.Permute((2, 1), name=f"{name}_tokens_last")(y)  # (B, C, N)
    y = Dense(tokens_mlp_dim, activation="gelu", name=f"{name}_tokens_expand")(y)
    y = Dense(tokens, name=f"{name}_tokens_contract")(y)
    y = keras.layers.Permute((2, 1), name=f"{name}_channels_last")(y)  # (B, N, C)
    x = add_residual(x, y, drop_path_rate, f"{name}_tokens")

    y = LayerNormalization(epsilon=EPSILON, name=f"{name}_channels_norm")(x)
    y = Dense(channels_mlp_dim, activation="gelu", name=f"{name}_channels_expand")(y)
    y = Dense(dim, name=f"{name}_channels_contract")(y)
    return add_residual(x, y, drop_path_rate, f"{name}_channels")


# Table 1.
TABLE = "Table 1 of arXiv:2105.01601"
# fmt: off
MLPMixer_S32 = variant(MLPMixer, "MLPMixer_S32",  19_104_624, TABLE, depth=8,  dim=512,  tokens_mlp_dim=256, channels_mlp_dim=2048, patch_size=32)
MLPMixer_S16 = variant(MLPMixer, "MLPMixer_S16",  18_528_264, TABLE, depth=8,  dim=512,  tokens_mlp_dim=256, channels_mlp_dim=2048, patch_size=16)
MLPMixer_B32 = variant(MLPMixer, "MLPMixer_B32",  60_293_428, TABLE, depth=12, dim=768,  tokens_mlp_dim=384, channels_mlp_dim=3072, patch_size=32)
MLPMixer_B16 = variant(MLPMixer, "MLPMixer_B16",  59_880_472, TABLE, depth=12, dim=768,  tokens_mlp_dim=384, channels_mlp_dim=3072, patch_size=16)
MLPMixer_L32 = variant(MLPMixer, "MLPMixer_L32", 206_939_264, TABLE, depth=24, dim=1024, tokens_mlp_dim=512, channels_mlp_dim=4096, patch_size=32)
MLPMixer_L16 = variant(MLPMixer, "MLPMixer_L16", 208_196_168, TABLE, depth=24, dim=1024, tokens_mlp_dim=512, channels_mlp_dim=4096, patch_size=16)
MLPMixer_H14 = variant(MLPMixer, "MLPMixer_H14", 432_350_952, TABLE, depth=32, dim=1280, tokens_mlp_dim=640, channels_mlp_dim=5120, patch_size=14)
# fmt: on
