"""gMLP and aMLP on text: "Pay Attention to MLPs" (Liu et al., 2021), arXiv:2105.08050."""

import keras
import keras_hub

from keras_gimlp.applications.common import (
    add_residual,
    drop_path_rates,
    variant,
)
from keras_gimlp.applications.text.token_inputs import token_embedding, token_inputs
from keras_gimlp.backend.dense import Dense
from keras_gimlp.backend.functional_model import FunctionalModel
from keras_gimlp.backend.layer_normalization import LayerNormalization
from keras_gimlp.layers import SpatialGatingUnit, TinyAttention
from keras_gimlp.layers.arguments import check_positive_integers

EPSILON = 1e-6  # of the layer normalizations; the paper gives none, timm's gMLP-S has this one


@keras.saving.register_keras_serializable(package="keras_gimlp")
class gMLP_MLM(FunctionalModel, keras_hub.models.Backbone):
    """gMLP as a text encoder, or aMLP where `attention_dim` is given.

    Every block expands the channels, lets a `SpatialGatingUnit` mix the tokens, and contracts the
    channels again:

        z = GELU(LayerNorm(x) U)
        y = x + SpatialGatingUnit(z) V
        y = x + SpatialGatingUnit(z, TinyAttention(LayerNorm(x))) V    in aMLP

    There are no position embeddings, since the spatial weights know the positions. The output for an
    example depends neither on its padding nor on the other examples in its batch. It is a
    `keras_hub.models.Backbone`, for which there are `gMLPTextClassifier` and `gMLPMaskedLM`.

    Args:
        vocabulary_size: Integer, number of tokens in the vocabulary.
        depth: Integer, number of blocks.
        dim: Integer, channels of a token.
        ffn_dim: Integer, channels of the expansion, counting both halves if they are split.
        sequence_length: Integer, maximum tokens per example. Defaults to 512.
        attention_dim: Integer, size of the tiny attention's head, `None` for no attention.
            Defaults to `None`.
        spatial: `"toeplitz"`, spatial weights that depend only on the distance between two tokens,
            or `"dense"`, for examples of exactly `sequence_length` tokens, padding included.
            Defaults to `"toeplitz"`.
        form: `"split"`, `"multiplicative"`, `"additive"` or `"linear"`, the form of
            `keras_gimlp.layers.SpatialGatingUnit`. Defaults to `"split"`.
        dropout: Float, dropout rate for the embeddings and for the output of each block before it
            is added. Defaults to 0; the paper fine-tunes with 0.1.
        drop_path_rate: Float in [0, 1), stochastic depth of the last block; it rises linearly from
            0 in the first. Defaults to 0.
        dtype: Precision, as for every Keras layer. Defaults to `None`, the global policy.
        name: Name of the model. Defaults to `"gmlp_mlm"`.
        trainable: Whether the weights are trained. Defaults to `True`.

    Call arguments:
        inputs: Dictionary of `token_ids` and `padding_mask`, 1 where there is a token, each of
            shape `(batch, tokens)`. Any number of tokens up to `sequence_length`.

    Output shape:
        `(batch, tokens, dim)`, after the last layer normalization. The values at padding are
        meaningless.

    Raises:
        ValueError: If a size is not a positive integer, a rate is out of its range, `spatial` or
            `form` is another word, or an example has more tokens than `sequence_length`.

    Differences from the paper:
        The paper has no padding mask. What it leaves open follows timm's gMLP (epsilon, the initial
        spatial weights) and BERT (initial embeddings with a standard deviation of 0.02). The paper
        also fine-tunes with attention dropout, which the tiny attention here lacks.

    Example:

    ```python
    import numpy as np
    from keras_gimlp import applications

    encoder = applications.gMLP_MLM(
        vocabulary_size=1000, depth=2, dim=32, ffn_dim=128, sequence_length=64, attention_dim=16
    )
    ones = np.ones((1, 12), "int32")
    encoder({"token_ids": ones, "padding_mask": ones}).shape  # (1, 12, 32)
    ```

    Reference:
        Liu et al., "Pay Attention to MLPs" (2021), arXiv:2105.08050, Table 5 and Appendix C.
    """

    def __init__(
        self,
        *,
        vocabulary_size,
        depth,
        dim,
        ffn_dim,
        sequence_length=512,
        attention_dim=None,
        spatial="toeplitz",
        form="split",
        dropout=0.0,
        drop_path_rate=0.0,
        dtype=None,
        name="gmlp_mlm",
        trainable=True,
    ):
        check_positive_integers(
            vocabulary_size=vocabulary_size,
            depth=depth,
            dim=dim,
            ffn_dim=ffn_dim,
            sequence_length=sequence_length,
        )
        rates = drop_path_rates(drop_path_rate, depth)
        self.token_embedding = token_embedding(vocabulary_size, dim, dtype)
        inputs, mask = token_inputs(sequence_length if spatial == "dense" else None)
        x = self.token_embedding(inputs["token_ids"])
        x = keras.layers.Dropout(dropout, dtype=dtype, name="embedding_dropout")(x)
        for i, rate in enumerate(rates):
            x = text_block(
                x,
                mask,
                ffn_dim,
                attention_dim,
                {
                    "spatial": spatial,
                    "form": form,
                    "sequence_length": None if spatial == "dense" else sequence_length,
                },
                dropout,
                rate,
                dtype,
                name=f"block{i}",
            )
        x = LayerNormalization(epsilon=EPSILON, dtype=dtype, name="norm")(x)
        super().__init__(inputs=inputs, outputs=x, dtype=dtype, name=name, trainable=trainable)
        self.vocabulary_size = vocabulary_size
        self.depth = depth
        self.dim = dim
        self.ffn_dim = ffn_dim
        self.sequence_length = sequence_length
        self.attention_dim = attention_dim
        self.spatial = spatial
        self.form = form
        self.dropout = dropout
        self.drop_path_rate = drop_path_rate
        # The names that KerasHub's tasks and heads look up.
        self.hidden_dim = dim
        self.max_sequence_length = sequence_length
        self.start_token_index = 0

    def default_lora_layer_names(self):
        """Returns the names of the layers that `enable_lora` adapts by default."""
        names = (layer.name for layer in self.layers if isinstance(layer, keras.layers.Dense))
        return [*names, *(("qkv", "projection") if self.attention_dim else ())]

    def get_config(self):
        return super().get_config() | {
            "vocabulary_size": self.vocabulary_size,
            "depth": self.depth,
            "dim": self.dim,
            "ffn_dim": self.ffn_dim,
            "sequence_length": self.sequence_length,
            "attention_dim": self.attention_dim,
            "spatial": self.spatial,
            "form": self.form,
            "dropout": self.dropout,
            "drop_path_rate": self.drop_path_rate,
        }


def text_block(x, mask, ffn_dim, attention_dim, unit, dropout, drop_path_rate, dtype, name):
    """One block of gMLP, or of aMLP with `attention_dim`, on tokens of shape `(batch, N, dim)`."""
    y = LayerNormalization(epsilon=EPSILON, dtype=dtype, name=f"{name}_norm")(x)
    expand = Dense(ffn_dim, activation="gelu", dtype=dtype, name=f"{name}_expand")
    z = expand(y)
    addend = None
    if attention_dim is not None:
        gated = ffn_dim // 2 if unit["form"] == "split" else ffn_dim
        attention = TinyAttention(gated, attention_dim, dtype=dtype, name=f"{name}_attention")
        addend = attention(y, mask=mask)
    z = SpatialGatingUnit(**unit, dtype=dtype, name=f"{name}_gate")(z, addend, mask=mask)
    z = Dense(x.shape[-1], dtype=dtype, name=f"{name}_contract")(z)
    z = keras.layers.Dropout(dropout, dtype=dtype, name=f"{name}_dropout")(z)
    return add_residual(x, z, drop_path_rate, name, dtype=dtype)


# Table 5, with the paper's vocabulary and pre-training length.
TABLE = "Table 5 of arXiv:2105.08050"
# fmt: off
gMLP_MLM_Base   = variant(gMLP_MLM, "gMLP_MLM_Base",   130_073_552, TABLE, vocabulary_size=32000, depth=48,  dim=512,  ffn_dim=3072)
gMLP_MLM_Large  = variant(gMLP_MLM, "gMLP_MLM_Large",  365_274_528, TABLE, vocabulary_size=32000, depth=96,  dim=768,  ffn_dim=3072)
gMLP_MLM_XLarge = variant(gMLP_MLM, "gMLP_MLM_XLarge", 940_582_768, TABLE, vocabulary_size=32000, depth=144, dim=1024, ffn_dim=4096)
aMLP_MLM_Base   = variant(gMLP_MLM, "aMLP_MLM_Base",   108_791_516, TABLE, vocabulary_size=32000, depth=36,  dim=512,  ffn_dim=3072, attention_dim=64)
aMLP_MLM_Large  = variant(gMLP_MLM, "aMLP_MLM_Large",  315_627_960, TABLE, vocabulary_size=32000, depth=72,  dim=768,  ffn_dim=3072, attention_dim=128)
# fmt: on
