"""giDeBERTaV3: DeBERTaV3 whose queries and keys carry the gate with inhibition (Kang et al., 2022)."""

import keras
import keras_hub
from keras import ops

from keras_gimlp.applications.common import variant
from keras_gimlp.applications.text.gated_attention import GatedDisentangledAttention
from keras_gimlp.applications.text.gated_encoder import GatedEncoder
from keras_gimlp.applications.text.hub_task import hub_tasks


@keras.saving.register_keras_serializable(package="keras_gimlp")
class giDeBERTaV3(GatedEncoder, keras_hub.models.DebertaV3Backbone):
    """DeBERTaV3 whose query and key projections are multiplied by gates with inhibition.

    The gated queries and keys enter the terms between contents and relative positions too; the
    projections of the relative positions are not gated.

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
        bucket_size: Integer, number of buckets of relative positions in each direction. Defaults to
            the preset's, or 256.
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
        inputs: Dictionary of `token_ids` and `padding_mask`, each of shape `(batch, tokens)`.

    Returns:
        Outputs of shape `(batch, tokens, hidden_dim)`.

    Differences from the paper:
        The released code takes the maximum over the whole batch, padding included
        (`scope="batch"`), initializes gate weights with a standard deviation of 0.02, and gates one
        layer fewer than requested. With `scope="batch"`, this model computes padding as that code
        does, so that the maximum agrees even where it lies in padding.

    Example:

    ```python
    import numpy as np
    from keras_gimlp import applications

    encoder = applications.giDeBERTaV3_XSmall(num_layers=2, inhibition=0.3)
    ones = np.ones((1, 12), "int32")
    encoder({"token_ids": ones, "padding_mask": ones}).shape  # (1, 12, 384)
    ```

    Reference:
        Kang et al., "giMLPs: Gate with Inhibition Mechanism in MLPs" (2022), arXiv:2208.00929,
        Figure 2; He et al., "DeBERTaV3" (2021), arXiv:2111.09543.
    """

    plain_cls = keras_hub.models.DebertaV3Backbone
    attention_cls = GatedDisentangledAttention

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
        bucket_size=None,
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
            bucket_size=bucket_size,
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

    def call(self, inputs, training=None, mask=None):
        if self.scope != "batch":
            return super().call(inputs, training=training, mask=mask)
        # In the code of DeBERTa's authors, the embeddings of padding are zero, and padding attends
        # to nothing. In KerasHub's it is otherwise, which only a maximum over padding notices.
        padding_mask = inputs["padding_mask"]
        to_tokens = ops.expand_dims(padding_mask, -1)  # (B, N, 1)
        x = self.embeddings_layer_norm(self.token_embedding(inputs["token_ids"]))
        x = self.embeddings_dropout(x) * ops.cast(to_tokens, x.dtype)
        rel_embeddings = self.relative_embeddings(x)
        for layer in self.transformer_layers:
            x = layer(x, rel_embeddings, padding_mask=padding_mask, attention_mask=to_tokens)
        return x


SOURCE = "a size of KerasHub's presets, with full gates in all layers"
# fmt: off
giDeBERTaV3_XSmall = variant(giDeBERTaV3, "giDeBERTaV3_XSmall",  77_778_432, SOURCE, vocabulary_size=128100, num_layers=12, num_heads=6,  hidden_dim=384,  intermediate_dim=1536)
giDeBERTaV3_Small  = variant(giDeBERTaV3, "giDeBERTaV3_Small",  155_478_528, SOURCE, vocabulary_size=128100, num_layers=6,  num_heads=12, hidden_dim=768,  intermediate_dim=3072)
giDeBERTaV3_Base   = variant(giDeBERTaV3, "giDeBERTaV3_Base",   212_179_968, SOURCE, vocabulary_size=128100, num_layers=12, num_heads=12, hidden_dim=768,  intermediate_dim=3072)
giDeBERTaV3_Large  = variant(giDeBERTaV3, "giDeBERTaV3_Large",  534_773_760, SOURCE, vocabulary_size=128100, num_layers=24, num_heads=16, hidden_dim=1024, intermediate_dim=4096)
# fmt: on


(
    giDeBERTaV3Tokenizer,
    giDeBERTaV3TextClassifierPreprocessor,
    giDeBERTaV3MaskedLMPreprocessor,
    giDeBERTaV3TextClassifier,
    giDeBERTaV3MaskedLM,
) = hub_tasks(giDeBERTaV3, keras_hub.models, "DebertaV3")
