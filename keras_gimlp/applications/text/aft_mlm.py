"""AFT on text: "An Attention Free Transformer" (Zhai et al., 2021), arXiv:2105.14103."""

import keras
import keras_hub

from keras_gimlp.applications.common import (
    add_residual,
    drop_path_rates,
)
from keras_gimlp.applications.text import gmlp_tasks
from keras_gimlp.applications.text.hub_task import hub_tasks
from keras_gimlp.applications.text.token_inputs import token_embedding, token_inputs
from keras_gimlp.backend.dense import Dense
from keras_gimlp.backend.functional_model import FunctionalModel
from keras_gimlp.backend.layer_normalization import LayerNormalization
from keras_gimlp.layers import AttentionFreeMixing
from keras_gimlp.layers.arguments import check_positive_integers

EPSILON = 1e-6  # of the layer normalizations; the paper gives none


@keras.saving.register_keras_serializable(package="keras_gimlp")
class AFT_MLM(FunctionalModel, keras_hub.models.Backbone):
    """AFT as a text encoder, a Transformer whose attention is an `AttentionFreeMixing`.

        y = x + AttentionFreeMixing(LayerNorm(x))
        z = y + GELU(LayerNorm(y) W_1) W_2

    The output for an example depends neither on its padding nor on the other examples in its batch.
    It is a `keras_hub.models.Backbone`, for which there are `AFTTextClassifier` and `AFTMaskedLM`.

    Args:
        vocabulary_size: Integer, number of tokens in the vocabulary.
        depth: Integer, number of blocks.
        dim: Integer, channels of a token.
        ffn_dim: Integer, hidden units of the MLP in a block.
        sequence_length: Integer, maximum tokens per example. Defaults to 512.
        form: `"full"`, `"local"` or `"simple"`, the form of `AttentionFreeMixing`. Defaults to
            `"local"`.
        window: Integer, for `"local"`: a token has biases for those less than `window` away.
            Ignored for the other forms. Defaults to 32, the paper's best for text.
        bias_dim: Integer, size of the factors of the position biases. Defaults to 128.
        dropout: Float, dropout rate for the embeddings and for the two outputs of each block before
            they are added. Defaults to 0.
        drop_path_rate: Float in [0, 1), stochastic depth of the last block; it rises linearly from
            0 in the first. Defaults to 0.
        dtype: Precision, as for every Keras layer. Defaults to `None`, the global policy.
        name: Name of the model. Defaults to `"aft_mlm"`.
        trainable: Whether the weights are trained. Defaults to `True`.

    Call arguments:
        inputs: Dictionary of `token_ids` and `padding_mask`, 1 where there is a token, each of
            shape `(batch, tokens)`. Any number of tokens up to `sequence_length`.

    Output shape:
        `(batch, tokens, dim)`, after the last layer normalization. The values at padding are
        meaningless.

    Raises:
        ValueError: If a size is not a positive integer, a rate is out of its range, or `form` is
            another word.

    Differences from the paper:
        Its text models predict the next character; there is no masked language model in it. What it
        leaves open follows BERT (initial embeddings with a standard deviation of 0.02) and our
        `gMLP_MLM`. It has no padding mask.

    Example:

    ```python
    import numpy as np
    from keras_gimlp import applications

    encoder = applications.AFT_MLM(
        vocabulary_size=1000, depth=2, dim=32, ffn_dim=128, sequence_length=64
    )
    ones = np.ones((1, 12), "int32")
    encoder({"token_ids": ones, "padding_mask": ones}).shape  # (1, 12, 32)
    ```

    Reference:
        Zhai et al., "An Attention Free Transformer" (2021), arXiv:2105.14103, sections 3 and 5.
    """

    def __init__(
        self,
        *,
        vocabulary_size,
        depth,
        dim,
        ffn_dim,
        sequence_length=512,
        form="local",
        window=32,
        bias_dim=128,
        dropout=0.0,
        drop_path_rate=0.0,
        dtype=None,
        name="aft_mlm",
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
        inputs, mask = token_inputs()
        x = self.token_embedding(inputs["token_ids"])
        x = x + keras_hub.layers.PositionEmbedding(
            sequence_length,
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype=dtype,
            name="position_embedding",
        )(x)
        x = keras.layers.Dropout(dropout, dtype=dtype, name="embedding_dropout")(x)
        mixing = {
            "form": form,
            "sequence_length": None if form == "simple" else sequence_length,
            "window": window if form == "local" else None,
            "bias_dim": bias_dim,
        }
        for i, rate in enumerate(rates):
            x = text_block(x, mask, mixing, ffn_dim, dropout, rate, dtype, name=f"block{i}")
        x = LayerNormalization(epsilon=EPSILON, dtype=dtype, name="norm")(x)
        super().__init__(inputs=inputs, outputs=x, dtype=dtype, name=name, trainable=trainable)
        self.vocabulary_size = vocabulary_size
        self.depth = depth
        self.dim = dim
        self.ffn_dim = ffn_dim
        self.sequence_length = sequence_length
        self.form = form
        self.window = window
        self.bias_dim = bias_dim
        self.dropout = dropout
        self.drop_path_rate = drop_path_rate
        # The names that KerasHub's tasks and heads look up.
        self.hidden_dim = dim
        self.max_sequence_length = sequence_length
        self.start_token_index = 0

    def default_lora_layer_names(self):
        """Returns the names of the layers that `enable_lora` adapts by default."""
        names = (layer.name for layer in self.layers if isinstance(layer, keras.layers.Dense))
        return [*names, "qkv", "projection"]

    def get_config(self):
        return super().get_config() | {
            "vocabulary_size": self.vocabulary_size,
            "depth": self.depth,
            "dim": self.dim,
            "ffn_dim": self.ffn_dim,
            "sequence_length": self.sequence_length,
            "form": self.form,
            "window": self.window,
            "bias_dim": self.bias_dim,
            "dropout": self.dropout,
            "drop_path_rate": self.drop_path_rate,
        }


def text_block(x, mask, mixing, ffn_dim, dropout, drop_path_rate, dtype, name):
    """One block of AFT on tokens of shape `(batch, N, dim)`."""
    y = LayerNormalization(epsilon=EPSILON, dtype=dtype, name=f"{name}_mix_norm")(x)
    y = AttentionFreeMixing(**mixing, dtype=dtype, name=f"{name}_mix")(y, mask=mask)
    y = keras.layers.Dropout(dropout, dtype=dtype, name=f"{name}_mix_dropout")(y)
    x = add_residual(x, y, drop_path_rate, f"{name}_mix", dtype=dtype)

    y = LayerNormalization(epsilon=EPSILON, dtype=dtype, name=f"{name}_mlp_norm")(x)
    y = Dense(ffn_dim, activation="gelu", dtype=dtype, name=f"{name}_mlp_expand")(y)
    y = Dense(x.shape[-1], dtype=dtype, name=f"{name}_mlp_contract")(y)
    y = keras.layers.Dropout(dropout, dtype=dtype, name=f"{name}_mlp_dropout")(y)
    return add_residual(x, y, drop_path_rate, f"{name}_mlp", dtype=dtype)


(
    AFTTokenizer,
    AFTTextClassifierPreprocessor,
    AFTMaskedLMPreprocessor,
    AFTTextClassifier,
    AFTMaskedLM,
) = hub_tasks(AFT_MLM, gmlp_tasks, "gMLP")
