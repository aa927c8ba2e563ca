"""gMLP and aMLP on images: "Pay Attention to MLPs" (Liu et al., 2021), arXiv:2105.08050."""

from keras_gimlp.applications.common import (
    add_residual,
    check_head_arguments,
    check_positive_integers,
    chosen_maps,
    drop_path_rates,
    head,
    image_input,
    variant,
)
from keras_gimlp.applications.token_model import describe, patch_tokens, token_model
from keras_gimlp.backend.dense import Dense
from keras_gimlp.backend.layer_normalization import LayerNormalization
from keras_gimlp.layers import SpatialGatingUnit, TinyAttention

EPSILON = 1e-6  # of the layer normalizations, as in timm's gMLP-S; the paper gives none
SPATIAL = {"_gate/spatial/kernel": (0, 1), "_gate/spatial/bias": (None, 0)}


@describe
def gMLP(  # noqa: D417  `describe` adds what is shared
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

    Args:
        {arguments of keras.applications}
        depth: Integer, number of blocks.
        dim: Integer, channels of a token.
        ffn_dim: Even integer, channels of the expansion.
        attention_dim: Integer, size of the tiny attention's head, or `None` for no attention.
            Defaults to `None`.
        {arguments of token models, returns, raises}

    Differences from the paper:
        The paper's totals are 0.03M, 0.08M and 0.32M parameters above the count of what it
        describes; this model has the described parts, like timm's. What the paper leaves open
        (epsilon, the initial spatial weights) follows timm.

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
    check_head_arguments(include_top, pooling, classes)
    check_positive_integers(depth=depth, dim=dim, ffn_dim=ffn_dim, patch_size=patch_size)
    chosen = chosen_maps(feature_maps, depth, [depth - 1], include_top, pooling)
    inputs = image_input(input_tensor, input_shape)
    maps = {}

    x = patch_tokens(inputs, dim, patch_size)
    for i, rate in enumerate(drop_path_rates(drop_path_rate, depth)):
        x = gmlp_block(x, ffn_dim, attention_dim, rate, name=f"block{i}")
        if i in chosen:
            maps[f"block{i}"] = x
    x = LayerNormalization(epsilon=EPSILON, name="norm")(x)
    x = head(x, include_top, pooling, classes, classifier_activation)
    return token_model(inputs, x, maps, name, weights, patch_size, SPATIAL, resize_spatial)


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
