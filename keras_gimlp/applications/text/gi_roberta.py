"""giRoBERTa: RoBERTa whose queries and keys carry the gate with inhibition (Kang et al., 2022)."""

import keras
import keras_hub

from keras_gimlp.applications.common import variant
from keras_gimlp.applications.text.gated_attention import GatedMultiHeadAttention
from keras_gimlp.applications.text.gated_encoder import GatedEncoder
from keras_gimlp.applications.text.hub_task import hub_tasks


@keras.saving.register_keras_serializable(package="keras_gimlp")
class giRoBERTa(GatedEncoder, keras_hub.models.RobertaBackbone):
    """RoBERTa whose query and key projections are multiplied by gates with inhibition.

    Call arguments:
        inputs: Dictionary of `token_ids` and `padding_mask`, each of shape `(batch, tokens)`.

    Returns:
        Outputs of shape `(batch, tokens, hidden_dim)`.

    Differences from the paper:
        The released code takes the maximum over the whole batch, padding included
        (`scope="batch"`), initializes gate weights with a standard deviation of 0.02, and gates one
        layer fewer than requested. With `scope="batch"`, outputs differ from the gated RoBERTa of
        transformers where the maximum lies in padding (by up to 0.0052 in the recorded model of
        the tests): padding has a position embedding of its own there, which KerasHub's encoder
        does not have. In the other scopes, padding plays no part.

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


SOURCE = "a size of KerasHub's presets, with full gates in all layers"
# fmt: off
giRoBERTa_Base  = variant(giRoBERTa, "giRoBERTa_Base",  152_401_152, SOURCE, vocabulary_size=50265, num_layers=12, num_heads=12, hidden_dim=768,  intermediate_dim=3072)
giRoBERTa_Large = variant(giRoBERTa, "giRoBERTa_Large", 455_068_672, SOURCE, vocabulary_size=50265, num_layers=24, num_heads=16, hidden_dim=1024, intermediate_dim=4096)
# fmt: on


(
    giRoBERTaTokenizer,
    giRoBERTaTextClassifierPreprocessor,
    giRoBERTaMaskedLMPreprocessor,
    giRoBERTaTextClassifier,
    giRoBERTaMaskedLM,
) = hub_tasks(giRoBERTa)
