"""AFT: "An Attention Free Transformer" (Zhai et al., 2021), arXiv:2105.14103."""

import functools

from keras_gimlp.applications.common import add_residual, drop_path_rates, variant
from keras_gimlp.applications.image_frame import ImageFrame
from keras_gimlp.backend.dense import Dense
from keras_gimlp.backend.layer_normalization import LayerNormalization
from keras_gimlp.backend.token_slice import TokenSlice
from keras_gimlp.layers.arguments import check_odd_integers, check_positive_integers
from keras_gimlp.layers.attention_free_convolution import AttentionFreeConvolution
from keras_gimlp.layers.attention_free_mixing import AttentionFreeMixing
from keras_gimlp.layers.class_token import ClassToken

EPSILON = 1e-6  # of the layer normalizations; the paper gives none, DeiT has this one
# Weights over tokens are interpolated, except for the class token's.
SPATIAL = {
    "class_token/positions": (None, 0),
    "_mix/bias_rows": (None, 0),
    "_mix/bias_columns": (None, 0),
}


def AFT(  # noqa: D417  the first arguments are those of keras.applications
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="aft",
    *,
    depth,
    dim,
    form="full",
    num_heads=None,
    kernel_size=None,
    bias_dim=128,
    mlp_ratio=4,
    patch_size=16,
    drop_path_rate=0.0,
    feature_maps=False,
    resize_spatial=False,
):
    """Builds AFT, a vision transformer without attention.

    The image is cut into patches, one token each. Every block mixes the tokens, then the channels
    of each token:

        y = x + Mix(LayerNorm(x))
        z = y + GELU(LayerNorm(y) W_1) W_2

    `Mix` is `keras_gimlp.layers.AttentionFreeMixing` for `form="full"` and `"simple"`, and
    `AttentionFreeConvolution` for `"conv"`. The first two have a class token, whose last state is
    classified, and trained embeddings of the positions, so that the image size is fixed when the
    model is built. `"conv"` has neither, classifies the mean over all positions, and takes images
    of any size: `input_shape=(None, None, 3)`.

    The first eight arguments are those of `keras.applications`. Of these, `weights`, `input_shape`
    and `pooling` are described here.

    Args:
        weights: `None` for newly initialized weights, or the path of a `.weights.h5` or `.keras`
            file saved from such a model; none are published. A classifier in the file is ignored
            with `include_top=False`, and if it has another number of classes. Defaults to `None`.
        input_shape: Tuple `(height, width, channels)` in pixels; `patch_size` must divide height
            and width. Defaults to `(224, 224, 3)`.
        pooling: With `include_top=False`, `None` returns the class token and the tokens of the
            image after the last layer, of shape `(batch, 1 + tokens, dim)`, or with `"conv"` a map
            of shape `(batch, height / patch_size, width / patch_size, dim)`. `"avg"` or `"max"`
            returns the mean or maximum over the image, of shape `(batch, dim)`. Defaults to `None`.
        depth: Integer, number of blocks.
        dim: Integer, channels of a token.
        form: `"full"`, `"simple"` or `"conv"`. Defaults to `"full"`.
        num_heads: Integer, heads of `"conv"`, which divide `dim`. `None` for the other forms.
            Defaults to `None`.
        kernel_size: Odd integer, patches that a kernel of `"conv"` reaches along each axis. `None`
            for the other forms. Defaults to `None`.
        bias_dim: Integer, size of the factors of the position biases of `"full"`. Defaults to 128.
        mlp_ratio: Integer, hidden units of the MLP over channels per channel. Defaults to 4.
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
        The paper says that the forms for images follow DeiT, whose embeddings start with a standard
        deviation of 0.02, as here. DeiT's dense layers do too; here they use Keras' default,
        Glorot's uniform distribution. The text removes the embeddings of the positions for `"conv"`
        alone, so we read that `"full"` keeps them: with them, the parameters are 6.32 and 22.66
        million, without 6.28 and 22.58; the paper has 6.3 and 22.6. Two sizes of `"conv"` have 5.96
        and 79.86 million parameters here, and 5.9 and 79.7 in the paper. It does not say whether
        the last normalization comes before the mean, as here.

    Example:

    ```python
    from keras_gimlp import applications

    model = applications.AFT(
        input_shape=(32, 32, 3), classes=10, depth=8, dim=128, patch_size=4,
        form="conv", num_heads=16, kernel_size=5,
    )
    model.summary()
    ```

    Reference:
        Zhai et al., "An Attention Free Transformer" (2021), arXiv:2105.14103, Table 7.
    """
    check_positive_integers(
        depth=depth, dim=dim, bias_dim=bias_dim, mlp_ratio=mlp_ratio, patch_size=patch_size
    )
    check_form(form, num_heads, kernel_size, resize_spatial)
    frame = ImageFrame(
        *(include_top, weights, input_tensor, input_shape, pooling, classes),
        *(classifier_activation, name, feature_maps, depth),
    )
    if form == "conv":
        x = frame.patches(dim, patch_size)  # (B, H / P, W / P, C)
        kwargs = {"num_heads": num_heads, "kernel_size": kernel_size}
        mix = functools.partial(AttentionFreeConvolution, **kwargs)
    else:
        x = ClassToken(name="class_token")(frame.tokens(dim, patch_size))  # (B, 1 + N, C)
        kwargs = {"sequence_length": x.shape[1], "bias_dim": bias_dim} if form == "full" else {}
        mix = functools.partial(AttentionFreeMixing, form, **kwargs)
    for i, rate in enumerate(drop_path_rates(drop_path_rate, depth)):
        x = aft_block(x, mix, mlp_ratio, rate, name=f"block{i}")
        frame.keep(i, x, others=0 if form == "conv" else 1)
    x = LayerNormalization(epsilon=EPSILON, name="norm")(x)
    if form != "conv" and include_top:  # of the class token alone, the mean is that token
        x = TokenSlice(0, 1, name="class_alone")(x)
    elif form != "conv" and pooling:
        x = TokenSlice(1, name="image_tokens")(x)
    return frame.token_model(x, SPATIAL, resize_spatial, others=1)


def check_form(form, num_heads, kernel_size, resize_spatial):
    """Raises `ValueError` if the form is unknown, or another argument does not belong to it."""
    if form not in ("full", "simple", "conv"):
        raise ValueError(f'`form` must be "full", "simple" or "conv". Received: form={form!r}')
    if form != "conv":
        if (num_heads, kernel_size) != (None, None):
            raise ValueError(
                '`num_heads` and `kernel_size` are of form="conv". Received: '
                f"form={form!r}, num_heads={num_heads}, kernel_size={kernel_size}"
            )
        return
    check_positive_integers(num_heads=num_heads)
    check_odd_integers(kernel_size=kernel_size)
    if resize_spatial is not False:
        raise ValueError(
            '`resize_spatial` must be False with form="conv", whose weights fit images of any '
            f"size. Received: resize_spatial={resize_spatial!r}"
        )


def aft_block(x, mix, mlp_ratio, drop_path_rate, name):
    """One block of AFT on tokens of shape `(batch, ..., dim)`."""
    y = LayerNormalization(epsilon=EPSILON, name=f"{name}_mix_norm")(x)
    y = mix(name=f"{name}_mix")(y)
    x = add_residual(x, y, drop_path_rate, f"{name}_mix")

    dim = x.shape[-1]
    y = LayerNormalization(epsilon=EPSILON, name=f"{name}_mlp_norm")(x)
    y = Dense(mlp_ratio * dim, activation="gelu", name=f"{name}_mlp_expand")(y)
    y = Dense(dim, name=f"{name}_mlp_contract")(y)
    return add_residual(x, y, drop_path_rate, f"{name}_mlp")


# Table 7; of "conv", the heads and the kernel size are in the names.
TABLE = "Table 7 of arXiv:2105.14103"
# fmt: off
AFT_Full_Ti        = variant(AFT, "AFT_Full_Ti",         6_322_600, TABLE, depth=12, dim=192)
AFT_Full_S         = variant(AFT, "AFT_Full_S",         22_655_848, TABLE, depth=12, dim=384)
AFT_Conv_Ti_32_11  = variant(AFT, "AFT_Conv_Ti_32_11",   5_356_072, TABLE, depth=12, dim=192, form="conv", num_heads=32,  kernel_size=11)
AFT_Conv_Ti_192_11 = variant(AFT, "AFT_Conv_Ti_192_11",  5_962_792, TABLE, depth=12, dim=192, form="conv", num_heads=192, kernel_size=11)
AFT_Conv_S_16_11   = variant(AFT, "AFT_Conv_S_16_11",   20_298_088, TABLE, depth=12, dim=384, form="conv", num_heads=16,  kernel_size=11)
AFT_Conv_S_384_11  = variant(AFT, "AFT_Conv_S_384_11",  22_541_416, TABLE, depth=12, dim=384, form="conv", num_heads=384, kernel_size=11)
AFT_Conv_S_384_15  = variant(AFT, "AFT_Conv_S_384_15",  23_020_648, TABLE, depth=12, dim=384, form="conv", num_heads=384, kernel_size=15)
AFT_Conv_B_32_25   = variant(AFT, "AFT_Conv_B_32_25",   79_864_552, TABLE, depth=12, dim=768, form="conv", num_heads=32,  kernel_size=25, input_shape=(384, 384, 3))
# fmt: on
