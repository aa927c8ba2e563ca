"""giRoBERTa: RoBERTa whose queries and keys carry the gate with inhibition (Kang et al., 2022)."""

import keras
import keras_hub

from keras_gimlp.applications.common import variant
from keras_gimlp.applications.text.gated_attention import GatedMultiHeadAttention
from keras_gimlp.applications.text.gated_encoder import GatedEncoder


@keras.saving.register_keras_serializable(package="keras_gimlp")
class giRoBERTa(GatedEncoder, keras_hub.models.RobertaBackbone):
    """RoBERTa whose query and key projections are multiplied by gates with inhibition.

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
        inputs: Dictionary of `token_ids` and `padding_mask`, each of shape `(batch, tokens)`.

    Returns:
        Outputs of shape `(batch, tokens, hidden_dim)`.

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

    encoder = applications.giRoBERTa_Base(num_layers=2, inhibition=0.3)
    ones = np.ones((1, 12), "int32")
    encoder({"token_ids": ones, "padding_mask": ones}).shape  # (1, 12, 768)
    ```

    Reference:
        Kang et al., "giMLPs: Gate with Inhibition Mechanism in MLPs" (2022), arXiv:2208.00929,
        Figure 2; Liu et al., "RoBERTa" (2019), arXiv:1907.11692.
    """

    plain_cls = keras_hub.models.RobertaBackbone
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
giRoBERTa_Base  = variant(giRoBERTa, "giRoBERTa_Base",  vocabulary_size=50265, num_layers=12, num_heads=12, hidden_dim=768,  intermediate_dim=3072)  # 124,052,736
giRoBERTa_Large = variant(giRoBERTa, "giRoBERTa_Large", vocabulary_size=50265, num_layers=24, num_heads=16, hidden_dim=1024, intermediate_dim=4096)  # 354,307,072
# fmt: on


# KerasHub finds the tokenizer, preprocessor and task of a preset by the class of its backbone.
@keras.saving.register_keras_serializable(package="keras_gimlp")
class giRoBERTaTokenizer(keras_hub.models.RobertaTokenizer):
    """`keras_hub.models.RobertaTokenizer` in a preset of `giRoBERTa`."""

    backbone_cls = giRoBERTa


@keras.saving.register_keras_serializable(package="keras_gimlp")
class giRoBERTaTextClassifierPreprocessor(keras_hub.models.RobertaTextClassifierPreprocessor):
    """`keras_hub.models.RobertaTextClassifierPreprocessor` in a preset of `giRoBERTa`."""

    backbone_cls = giRoBERTa
    tokenizer_cls = giRoBERTaTokenizer


@keras.saving.register_keras_serializable(package="keras_gimlp")
class giRoBERTaMaskedLMPreprocessor(keras_hub.models.RobertaMaskedLMPreprocessor):
    """`keras_hub.models.RobertaMaskedLMPreprocessor` in a preset of `giRoBERTa`."""

    backbone_cls = giRoBERTa
    tokenizer_cls = giRoBERTaTokenizer


@keras.saving.register_keras_serializable(package="keras_gimlp")
class giRoBERTaTextClassifier(keras_hub.models.RobertaTextClassifier):
    """`keras_hub.models.RobertaTextClassifier` on `giRoBERTa`."""

    backbone_cls = giRoBERTa
    preprocessor_cls = giRoBERTaTextClassifierPreprocessor


@keras.saving.register_keras_serializable(package="keras_gimlp")
class giRoBERTaMaskedLM(keras_hub.models.RobertaMaskedLM):
    """`keras_hub.models.RobertaMaskedLM` on `giRoBERTa`."""

    backbone_cls = giRoBERTa
    preprocessor_cls = giRoBERTaMaskedLMPreprocessor
