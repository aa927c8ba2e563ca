"""giBERT: BERT whose queries and keys carry the gate with inhibition (Kang et al., 2022)."""

import keras
import keras_hub

from keras_gimlp.applications.common import variant
from keras_gimlp.applications.text.gated_attention import GatedMultiHeadAttention
from keras_gimlp.applications.text.gated_encoder import GatedEncoder
from keras_gimlp.applications.text.hub_task import hub_tasks


@keras.saving.register_keras_serializable(package="keras_gimlp")
class giBERT(GatedEncoder, keras_hub.models.BertBackbone):
    """BERT whose query and key projections are multiplied by gates with inhibition.

        i = GELU(h W_g + b_g);  s = i W_i + b_i;  g = GELU(s - inhibition * max s) + 1
        query = g_q * (h W_q + b_q);  key = g_k * (h W_k + b_k)

    The gates start at 1, which leaves the outputs of a pretrained encoder unchanged. The model is a
    `keras_hub.models.Backbone` and works with KerasHub's tokenizers, preprocessors and tasks.

    Args:
        weights: A preset that gives the sizes and the weights of the encoder: the name of a
            KerasHub preset, a Hugging Face handle (`"hf://..."`), or a folder saved by either
            library. `None` requires the sizes. Defaults to `None`.
        vocabulary_size: Integer, number of tokens in the vocabulary.
        num_layers: Integer, number of transformer layers.
        num_heads: Integer, number of attention heads; must divide `hidden_dim`.
        hidden_dim: Integer, channels of a token.
        intermediate_dim: Integer, hidden units of the feed-forward networks.
        dropout: Float, dropout rate. Defaults to the preset's, or 0.1.
        max_sequence_length: Integer, maximum tokens per example. Defaults to the preset's, or 512.
        num_segments: Integer, number of segment ids. Defaults to the preset's, or 2.
        inhibition: Float in [0, 1], fraction of the maximum that a gate subtracts. Defaults to 0.3.
        gate_query: Whether the queries are gated. Defaults to `True`.
        gate_key: Whether the keys are gated. Defaults to `True`.
        gated_layers: Integer, how many layers are gated, counted from the last one. Defaults to
            `None`, all of them.
        scope: `"example"`, `"token"` or `"batch"`, what the maximum is taken over; see
            `keras_gimlp.layers.Inhibition`. Defaults to `"example"`.
        activation: Activation in the gates, a name or a function. New gates never learn with
            `"relu"`, whose gradient at 0 is 0, unless their weights are set to other values than
            zeros. Defaults to `"gelu"`.
        rank: Integer, channels of `i`, for low-rank gates. Defaults to `None`, `hidden_dim`.
        trainable: `True`, `False`, or `"gates"` to train only the gates and the layers on top of
            the model. Defaults to `True`.
        dtype: Precision, as for every Keras layer. Defaults to `None`, the global policy.
        name: Name of the model. Defaults to `None`, a name by Keras.

    Raises:
        ValueError: If the preset is of another architecture, sizes are missing without a preset, or
            an argument is out of its range.

    Call arguments:
        inputs: Dictionary of `token_ids`, `segment_ids` and `padding_mask`, each of shape
            `(batch, tokens)`.

    Returns:
        A dictionary of `sequence_output`, `(batch, tokens, hidden_dim)`, and `pooled_output`,
        `(batch, hidden_dim)`.

    Differences from the paper:
        The released code takes the maximum over the whole batch, padding included
        (`scope="batch"`), initializes gate weights with a standard deviation of 0.02, and gates one
        layer fewer than requested.

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
        name=None,
    ):
        super().__init__(
            weights,
            vocabulary_size=vocabulary_size,
            num_layers=num_layers,
            num_heads=num_heads,
            hidden_dim=hidden_dim,
            intermediate_dim=intermediate_dim,
            dropout=dropout,
            max_sequence_length=max_sequence_length,
            num_segments=num_segments,
            inhibition=inhibition,
            gate_query=gate_query,
            gate_key=gate_key,
            gated_layers=gated_layers,
            scope=scope,
            activation=activation,
            rank=rank,
            trainable=trainable,
            dtype=dtype,
            name=name,
        )


SOURCE = "a size of KerasHub's presets, with full gates in all layers"
# fmt: off
giBERT_Tiny  = variant(giBERT, "giBERT_Tiny",    4_518_016, SOURCE, vocabulary_size=30522, num_layers=2,  num_heads=2,  hidden_dim=128,  intermediate_dim=512)
giBERT_Base  = variant(giBERT, "giBERT_Base",  137_830_656, SOURCE, vocabulary_size=30522, num_layers=12, num_heads=12, hidden_dim=768,  intermediate_dim=3072)
giBERT_Large = variant(giBERT, "giBERT_Large", 435_903_488, SOURCE, vocabulary_size=30522, num_layers=24, num_heads=16, hidden_dim=1024, intermediate_dim=4096)
# fmt: on


(
    giBERTTokenizer,
    giBERTTextClassifierPreprocessor,
    giBERTMaskedLMPreprocessor,
    giBERTTextClassifier,
    giBERTMaskedLM,
) = hub_tasks(giBERT, keras_hub.models, "Bert")
