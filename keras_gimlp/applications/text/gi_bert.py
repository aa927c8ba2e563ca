"""giBERT: BERT whose queries and keys carry the gate with inhibition (Kang et al., 2022)."""

import keras
import keras_hub

from keras_gimlp.applications.common import variant
from keras_gimlp.applications.text.gated_attention import GatedMultiHeadAttention
from keras_gimlp.applications.text.gated_encoder import GatedEncoder


@keras.saving.register_keras_serializable(package="keras_gimlp")
class giBERT(GatedEncoder, keras_hub.models.BertBackbone):
    """BERT whose query and key projections are multiplied by gates with inhibition.

        i = GELU(h W_g + b_g);  s = i W_i + b_i;  g = GELU(s - inhibition * max s) + 1
        query = g_q * (h W_q + b_q);  key = g_k * (h W_k + b_k)

    The gates start at 1, so that a pretrained encoder starts as what it was. It is a
    `keras_hub.models.Backbone`, to which KerasHub's tokenizers, preprocessors and tasks fit.

    Args:
        weights: A preset that gives the sizes and the weights of the encoder: a name of KerasHub's,
            a Hugging Face handle (`"hf://..."`), or a folder that either saved. `None` needs the
            sizes. Defaults to `None`.
        vocabulary_size: Integer, number of tokens in the vocabulary.
        num_layers: Integer, number of transformer layers.
        num_heads: Integer, number of attention heads, which divides `hidden_dim`.
        hidden_dim: Integer, channels of a token.
        intermediate_dim: Integer, hidden units of the feed-forward networks.
        dropout: Float, dropout rate. Defaults to the preset's, or 0.1.
        max_sequence_length: Integer, the most tokens of an example. Defaults to the preset's, or
            512.
        num_segments: Integer, number of segment ids. Defaults to the preset's, or 2.
        inhibition: Float in [0, 1], share of the maximum that a gate subtracts. Defaults to 0.3.
        gate_query: Whether the queries are gated. Defaults to `True`.
        gate_key: Whether the keys are gated. Defaults to `True`.
        gated_layers: Integer, how many layers are gated, the last ones. Defaults to `None`, all.
        scope: `"example"`, `"token"` or `"batch"`, over what the maximum is taken; see
            `keras_gimlp.layers.Inhibition`. Defaults to `"example"`.
        activation: Activation in the gates, a name or a function. Defaults to `"gelu"`.
        rank: Integer, channels of `i`, for gates of a low rank. Defaults to `None`, `hidden_dim`.
        trainable: `True`, `False`, or `"gates"` to train only the gates, and what is built on the
            model. Defaults to `True`.
        dtype: Precision, as for every Keras layer.
        **kwargs: `name`, as for every Keras model.

    Call arguments:
        inputs: Dictionary of `token_ids`, `segment_ids` and `padding_mask`, each of shape
            `(batch, tokens)`.

    Returns:
        A dictionary of `sequence_output`, `(batch, tokens, hidden_dim)`, and `pooled_output`,
        `(batch, hidden_dim)`.

    Raises:
        ValueError: If the preset is of another architecture, sizes are missing without a preset, or
            an argument is out of its range.

    Differences from the paper:
        The released code takes the maximum over the whole batch, padding included
        (`scope="batch"`), starts the gates' weights at a standard deviation of 0.02, and gates one
        layer fewer than it is told.

    Example:

    ```python
    import numpy as np
    from keras_gimlp import applications

    encoder = applications.giBERT_Tiny(inhibition=0.3)
    ones = np.ones((1, 12), "int32")
    encoder({"token_ids": ones, "segment_ids": 0 * ones, "padding_mask": ones})
    ```

    Reference:
        Kang et al., "giMLPs: Gate with Inhibition Mechanism in MLPs" (2022), arXiv:2208.00929,
        Figure 2; Devlin et al., "BERT" (2018), arXiv:1810.04805.
    """

    plain_cls = keras_hub.models.BertBackbone
    attention_cls = GatedMultiHeadAttention

    def __init__(
        self,
        weights=None,
        *,
        vocabulary_size=None,
        num_layers=None,
        num_heads=None,
        hidden_dim=None,
        intermediate_dim=None,
        dropout=None,
        max_sequence_length=None,
        num_segments=None,
        inhibition=0.3,
        gate_query=True,
        gate_key=True,
        gated_layers=None,
        scope="example",
        activation="gelu",
        rank=None,
        trainable=True,
        dtype=None,
        **kwargs,
    ):
        if weights is None:
            dropout = 0.1 if dropout is None else dropout
            max_sequence_length = max_sequence_length or 512
            num_segments = num_segments or 2
        self.gated_init(
            weights,
            {
                "vocabulary_size": vocabulary_size,
                "num_layers": num_layers,
                "num_heads": num_heads,
                "hidden_dim": hidden_dim,
                "intermediate_dim": intermediate_dim,
                "dropout": dropout,
                "max_sequence_length": max_sequence_length,
                "num_segments": num_segments,
            },
            inhibition=inhibition,
            gate_query=gate_query,
            gate_key=gate_key,
            gated_layers=gated_layers,
            scope=scope,
            activation=activation,
            rank=rank,
            trainable=trainable,
            dtype=dtype,
            **kwargs,
        )


# The sizes of KerasHub's presets. Parameters of the plain encoder.
# fmt: off
giBERT_Tiny  = variant(giBERT, "giBERT_Tiny",  vocabulary_size=30522, num_layers=2,  num_heads=2,  hidden_dim=128,  intermediate_dim=512)   # 4,385,920
giBERT_Base  = variant(giBERT, "giBERT_Base",  vocabulary_size=30522, num_layers=12, num_heads=12, hidden_dim=768,  intermediate_dim=3072)  # 109,482,240
giBERT_Large = variant(giBERT, "giBERT_Large", vocabulary_size=30522, num_layers=24, num_heads=16, hidden_dim=1024, intermediate_dim=4096)  # 335,141,888
# fmt: on


# KerasHub finds the tokenizer, preprocessor and task of a preset by the class of its backbone.
@keras.saving.register_keras_serializable(package="keras_gimlp")
class giBERTTokenizer(keras_hub.models.BertTokenizer):
    """`keras_hub.models.BertTokenizer` in a preset of `giBERT`."""

    backbone_cls = giBERT


@keras.saving.register_keras_serializable(package="keras_gimlp")
class giBERTTextClassifierPreprocessor(keras_hub.models.BertTextClassifierPreprocessor):
    """`keras_hub.models.BertTextClassifierPreprocessor` in a preset of `giBERT`."""

    backbone_cls = giBERT
    tokenizer_cls = giBERTTokenizer


@keras.saving.register_keras_serializable(package="keras_gimlp")
class giBERTMaskedLMPreprocessor(keras_hub.models.BertMaskedLMPreprocessor):
    """`keras_hub.models.BertMaskedLMPreprocessor` in a preset of `giBERT`."""

    backbone_cls = giBERT
    tokenizer_cls = giBERTTokenizer


@keras.saving.register_keras_serializable(package="keras_gimlp")
class giBERTTextClassifier(keras_hub.models.BertTextClassifier):
    """`keras_hub.models.BertTextClassifier` on `giBERT`."""

    backbone_cls = giBERT
    preprocessor_cls = giBERTTextClassifierPreprocessor


@keras.saving.register_keras_serializable(package="keras_gimlp")
class giBERTMaskedLM(keras_hub.models.BertMaskedLM):
    """`keras_hub.models.BertMaskedLM` on `giBERT`."""

    backbone_cls = giBERT
    preprocessor_cls = giBERTMaskedLMPreprocessor
