"""KerasHub's tokenizer, preprocessors and tasks for `gMLP_MLM`, where they differ from KerasHub's.

KerasHub finds those of a preset by the class of its backbone.
"""

import keras
import keras_hub
from keras import ops

from keras_gimlp.applications.text.gmlp_mlm import gMLP_MLM
from keras_gimlp.applications.text.hub_task import HubTask, logits_dtype


@keras.saving.register_keras_serializable(package="keras_gimlp")
class gMLPTokenizer(keras_hub.tokenizers.SentencePieceTokenizer):
    """A `keras_hub.tokenizers.SentencePieceTokenizer` with the special tokens of the tasks.

    The preprocessors also take any other KerasHub tokenizer that has these tokens, such as the
    word-piece tokenizer `keras_hub.models.BertTokenizer`.

    Args:
        proto: A SentencePiece model, as a path or as bytes, with the pieces `[PAD]`, `[CLS]`,
            `[SEP]`, `[UNK]` and `[MASK]`. Defaults to `None`, no vocabulary yet.
        **kwargs: `sequence_length`, `dtype`, as for KerasHub's tokenizer.

    Raises:
        ValueError: If one of the special tokens is missing.
    """

    backbone_cls = gMLP_MLM

    def __init__(self, proto=None, **kwargs):
        for name in ("cls", "sep", "pad", "unk", "mask"):
            self._add_special_token(f"[{name.upper()}]", f"{name}_token")
        # The names that the preprocessors look up.
        self._add_special_token("[CLS]", "start_token")
        self._add_special_token("[SEP]", "end_token")
        super().__init__(proto=proto, **kwargs)


class SegmentlessPreprocessor:
    """Mixed into a KerasHub preprocessor, drops the segment ids, which gMLP does not use."""

    @classmethod
    def _add_missing_kwargs(cls, loader, kwargs):
        # KerasHub asks what to build a new preprocessor on a preset from.
        length = loader.config["config"]["sequence_length"]
        return {"sequence_length": length} | super()._add_missing_kwargs(loader, kwargs)

    def call(self, x, y=None, sample_weight=None):
        output = super().call(x, y=y, sample_weight=sample_weight)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(output)
        x.pop("segment_ids")
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)


@keras.saving.register_keras_serializable(package="keras_gimlp")
class gMLPTextClassifierPreprocessor(
    SegmentlessPreprocessor, keras_hub.models.TextClassifierPreprocessor
):
    """`keras_hub.models.TextClassifierPreprocessor` for `gMLP_MLM`: `[CLS] a [SEP] b [SEP]`."""

    backbone_cls = gMLP_MLM
    tokenizer_cls = gMLPTokenizer


@keras.saving.register_keras_serializable(package="keras_gimlp")
class gMLPMaskedLMPreprocessor(SegmentlessPreprocessor, keras_hub.models.MaskedLMPreprocessor):
    """`keras_hub.models.MaskedLMPreprocessor` for `gMLP_MLM`."""

    backbone_cls = gMLP_MLM
    tokenizer_cls = gMLPTokenizer


@keras.saving.register_keras_serializable(package="keras_gimlp")
class gMLPTextClassifier(HubTask, keras_hub.models.RobertaTextClassifier):
    """`keras_hub.models.TextClassifier` on `gMLP_MLM`.

        logits = dropout(tanh(dropout(h_0) W_p + b_p)) W + b,    h_0 the first token

    Args:
        backbone: A `gMLP_MLM`.
        num_classes: Integer, number of classes.
        preprocessor: A `gMLPTextClassifierPreprocessor`, or `None` if the inputs are tokens
            already. Defaults to `None`.
        dropout: Float, dropout rate before both dense layers. Defaults to 0.1.
        **kwargs: `activation` of the outputs, `hidden_dim` of the first dense layer, `name`.

    Raises:
        ValueError: If the preprocessor makes examples of a length that the backbone does not take,
            or has another vocabulary.

    Example:

    ```python
    import numpy as np
    from keras_gimlp import applications

    encoder = applications.gMLP_MLM(vocabulary_size=1000, depth=2, dim=32, ffn_dim=128)
    classifier = applications.gMLPTextClassifier(encoder, num_classes=2)
    ones = np.ones((2, 12), "int32")
    classifier.fit({"token_ids": ones, "padding_mask": ones}, np.array([0, 1]), shuffle=False)
    ```
    """

    backbone_cls = gMLP_MLM
    preprocessor_cls = gMLPTextClassifierPreprocessor
    logits_layer = "output_dense"

    def __init__(self, backbone, num_classes, preprocessor=None, dropout=0.1, **kwargs):
        check_preprocessor(backbone, preprocessor)
        super().__init__(backbone, num_classes, preprocessor, dropout=dropout, **kwargs)


@keras.saving.register_keras_serializable(package="keras_gimlp")
class gMLPMaskedLM(HubTask, keras_hub.models.MaskedLM):
    """`keras_hub.models.MaskedLM` on `gMLP_MLM`.

        logits = h Eᵀ    for h at the masked positions

    `E` is the token embedding: the head adds no weights, as in the paper's counts of parameters.

    Args:
        backbone: A `gMLP_MLM`.
        preprocessor: A `gMLPMaskedLMPreprocessor`, or `None` if the inputs are tokens already.
            Defaults to `None`.
        **kwargs: `name`, as for every Keras model.

    Call arguments:
        inputs: The backbone's inputs and `mask_positions`, `(batch, masks)`, where to predict.

    Output shape:
        `(batch, masks, vocabulary_size)`, logits.

    Raises:
        ValueError: If the preprocessor makes examples of a length that the backbone does not take,
            or has another vocabulary.

    Example:

    ```python
    import numpy as np
    from keras_gimlp import applications

    encoder = applications.gMLP_MLM(vocabulary_size=1000, depth=2, dim=32, ffn_dim=128)
    model = applications.gMLPMaskedLM(encoder)
    ones = np.ones((2, 12), "int32")
    x = {"token_ids": ones, "padding_mask": ones, "mask_positions": np.array([[3], [5]])}
    model.fit(x, np.array([[7], [9]]), shuffle=False)
    ```
    """

    backbone_cls = gMLP_MLM
    preprocessor_cls = gMLPMaskedLMPreprocessor

    def __init__(self, backbone, preprocessor=None, **kwargs):
        check_preprocessor(backbone, preprocessor)
        self.backbone = backbone
        self.preprocessor = preprocessor
        positions = keras.Input((None,), dtype="int32", name="mask_positions")
        h = ops.take_along_axis(backbone(backbone.input), ops.expand_dims(positions, -1), axis=1)
        logits = backbone.token_embedding(h, reverse=True)
        super().__init__(
            inputs=backbone.input | {"mask_positions": positions},
            # A quantized embedding gives the encoder's precision.
            outputs=ops.cast(logits, logits_dtype(backbone)),
            **kwargs,
        )


def check_preprocessor(backbone, preprocessor):
    """Raises `ValueError` where the lengths or the vocabularies of the two disagree."""
    length = getattr(preprocessor, "sequence_length", None)
    most = backbone.sequence_length
    fixed = getattr(backbone, "spatial", None) == "dense"
    if length is not None and (length > most or (fixed and length < most)):
        exactly = "exactly" if fixed else "at most"
        raise ValueError(
            f"The `sequence_length` of `preprocessor` must be {exactly} the backbone's, {most}. "
            f"Received: preprocessor.sequence_length={length}"
        )
    tokenizer = getattr(preprocessor, "tokenizer", None)
    try:
        size = None if tokenizer is None else tokenizer.vocabulary_size()
    except ValueError:
        return  # from a preset, where the vocabulary is loaded after the task is made
    if size not in (None, backbone.vocabulary_size):
        raise ValueError(
            "The tokenizer of `preprocessor` must have the backbone's vocabulary, of "
            f"{backbone.vocabulary_size} tokens. Received: a tokenizer of {size}"
        )
