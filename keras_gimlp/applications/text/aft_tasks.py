"""KerasHub's tokenizer, preprocessors and tasks for `AFT_MLM`: those of `gMLP_MLM`.

KerasHub finds those of a preset by the class of its backbone.
"""

import keras

from keras_gimlp.applications.text import gmlp_tasks
from keras_gimlp.applications.text.aft_mlm import AFT_MLM


@keras.saving.register_keras_serializable(package="keras_gimlp")
class AFTTokenizer(gmlp_tasks.gMLPTokenizer):
    """`gMLPTokenizer` for `AFT_MLM`."""

    backbone_cls = AFT_MLM


@keras.saving.register_keras_serializable(package="keras_gimlp")
class AFTTextClassifierPreprocessor(gmlp_tasks.gMLPTextClassifierPreprocessor):
    """`gMLPTextClassifierPreprocessor` for `AFT_MLM`: `[CLS] a [SEP] b [SEP]`."""

    backbone_cls = AFT_MLM
    tokenizer_cls = AFTTokenizer


@keras.saving.register_keras_serializable(package="keras_gimlp")
class AFTMaskedLMPreprocessor(gmlp_tasks.gMLPMaskedLMPreprocessor):
    """`gMLPMaskedLMPreprocessor` for `AFT_MLM`."""

    backbone_cls = AFT_MLM
    tokenizer_cls = AFTTokenizer


@keras.saving.register_keras_serializable(package="keras_gimlp")
class AFTTextClassifier(gmlp_tasks.gMLPTextClassifier):
    """`gMLPTextClassifier` on `AFT_MLM`."""

    backbone_cls = AFT_MLM
    preprocessor_cls = AFTTextClassifierPreprocessor


@keras.saving.register_keras_serializable(package="keras_gimlp")
class AFTMaskedLM(gmlp_tasks.gMLPMaskedLM):
    """`gMLPMaskedLM` on `AFT_MLM`."""

    backbone_cls = AFT_MLM
    preprocessor_cls = AFTMaskedLMPreprocessor
