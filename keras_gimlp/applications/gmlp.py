"""gMLP and aMLP on images: "Pay Attention to MLPs" (Liu et al., 2021), arXiv:2105.08050."""

from keras_gimlp.applications.common import add_residual, drop_path_rates, variant
from keras_gimlp.applications.image_frame import ImageFrame
from keras_gimlp.backend.dense import Dense
from keras_gimlp.backend.layer_normalization import LayerNormalization
from keras_gimlp.layers import SpatialGatingUnit, TinyAttention
from keras_gimlp.layers.arguments import check_optional_integers, check_positive_integers

EPSILON = 1e-6  # of the layer normalizations, as in timm's gMLP-S; the paper gives none
SPATIAL = {"_gate/spatial/kernel": (0, 1), "_gate/spatial/bias": (None, 0)}


def gMLP(  # noqa: D417  the first arguments are those of keras.applications
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="gmlp",
    *,
    depth,
    dim,
    ffn_dim,
    patch_size=16,
    attention_dim=None,
    drop_path_rate=0.0,
    feature_maps=False,
    resize_spatial=False,
):
    """Builds gMLP for images, or aMLP if `attention_dim` is given.

    The image is cut into patches, one token each. Every block expands the channels, lets a
    `SpatialGatingUnit` mix the tokens, and contracts the channels again:

        z = GELU(LayerNorm(x) U)
        y = x + SpatialGatingUnit(z) V
        y = x + SpatialGatingUnit(z, TinyAttention(LayerNorm(x))) V    in aMLP

    There are no position embeddings: the spatial weights depend on the positions, so the image size
    is fixed when the model is built.

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
        ffn_dim: Even integer, channels of the expansion.
        attention_dim: Integer, size of the tiny attention's head, or `None` for no attention.
            Defaults to `None`.
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
        The paper's totals are 0.03M, 0.08M and 0.32M parameters above the count of the parts that
        it describes; this model has these parts, like timm's. The details that the paper leaves
        open (epsilon, the initial spatial weights) follow timm.

    Example:

    ```python
    from keras_gimlp import applications

    model = applications.gMLP(
        input_shape=(32, 32, 3), classes=10, depth=8, dim=128, ffn_dim=512, patch_size=4
    )
    model.summary()
    ```

    Reference:
        Liu et al., "Pay Attention to MLPs" (2021), arXiv:2105.08050, Table 1 and Appendix A.
    """
    check_positive_integers(depth=depth, dim=dim, ffn_dim=ffn_dim, patch_size=patch_size)
    check_optional_integers(attention_dim=attention_dim)
    frame = ImageFrame(
        *(include_top, weights, input_tensor, input_shape, pooling, classes),
        *(classifier_activation, name, feature_maps, depth),
    )
    x = frame.tokens(dim, patch_size)
    for i, rate in enumerate(drop_path_rates(drop_path_rate, depth)):
        x = gmlp_block(x, ffn_dim, attention_dim, rate, name=f"block{i}")
        frame.keep(i, x)
    x = LayerNormalization(epsilon=EPSILON, name="norm")(x)
    return frame.token_model(x, SPATIAL, resize_spatial)


def gmlp_block(x, ffn_dim, attention_dim, drop_path_rate, name):
    """One block of gMLP, or of aMLP with `attention_dim`, on tokens of shape `(batch, N, dim)`."""
    y = LayerNormalization(epsilon=EPSILON, name=f"{name}_norm")(x)
    z = Dense(ffn_dim, activation="gelu", name=f"{name}_expand")(y)
    unit = SpatialGatingUnit(name=f"{name}_gate")
    if attention_dim is None:
        z = unit(z)
    else:
        z = unit(z, TinyAttention(ffn_dim // 2, attention_dim, name=f"{name}_attention")(y))
    z = Dense(x.shape[-1], name=f"{name}_contract")(z)
    return add_residual(x, z, drop_path_rate, name)


# Table 1. The stochastic depth is one minus the paper's survival probability.
TABLE = "Table 1 of arXiv:2105.08050"
# fmt: off
gMLP_Ti = variant(gMLP, "gMLP_Ti",  5_867_328, TABLE, depth=30, dim=128, ffn_dim=768,  drop_path_rate=0.00)
gMLP_S  = variant(gMLP, "gMLP_S",  19_422_656, TABLE, depth=30, dim=256, ffn_dim=1536, drop_path_rate=0.05)
gMLP_B  = variant(gMLP, "gMLP_B",  73_075_392, TABLE, depth=30, dim=512, ffn_dim=3072, drop_path_rate=0.20)
# fmt: on
