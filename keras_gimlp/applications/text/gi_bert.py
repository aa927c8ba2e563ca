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
) = hub_tasks(giBERT)
