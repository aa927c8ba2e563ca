"""Text models, which need KerasHub. Imported as a whole, so that every preset finds its class."""

from keras_gimlp.applications.text.aft_mlm import AFT_MLM as AFT_MLM
from keras_gimlp.applications.text.aft_mlm import AFTMaskedLM as AFTMaskedLM
from keras_gimlp.applications.text.aft_mlm import (
    AFTMaskedLMPreprocessor as AFTMaskedLMPreprocessor,
)
from keras_gimlp.applications.text.aft_mlm import AFTTextClassifier as AFTTextClassifier
from keras_gimlp.applications.text.aft_mlm import (
    AFTTextClassifierPreprocessor as AFTTextClassifierPreprocessor,
)
from keras_gimlp.applications.text.aft_mlm import AFTTokenizer as AFTTokenizer
from keras_gimlp.applications.text.gi_bert import giBERT as giBERT
from keras_gimlp.applications.text.gi_bert import giBERT_Base as giBERT_Base
from keras_gimlp.applications.text.gi_bert import giBERT_Large as giBERT_Large
from keras_gimlp.applications.text.gi_bert import giBERT_Tiny as giBERT_Tiny
from keras_gimlp.applications.text.gi_bert import giBERTMaskedLM as giBERTMaskedLM
from keras_gimlp.applications.text.gi_bert import (
    giBERTMaskedLMPreprocessor as giBERTMaskedLMPreprocessor,
)
from keras_gimlp.applications.text.gi_bert import giBERTTextClassifier as giBERTTextClassifier
from keras_gimlp.applications.text.gi_bert import (
    giBERTTextClassifierPreprocessor as giBERTTextClassifierPreprocessor,
)
from keras_gimlp.applications.text.gi_bert import giBERTTokenizer as giBERTTokenizer
from keras_gimlp.applications.text.gi_deberta_v3 import giDeBERTaV3 as giDeBERTaV3
from keras_gimlp.applications.text.gi_deberta_v3 import giDeBERTaV3_Base as giDeBERTaV3_Base
from keras_gimlp.applications.text.gi_deberta_v3 import giDeBERTaV3_Large as giDeBERTaV3_Large
from keras_gimlp.applications.text.gi_deberta_v3 import giDeBERTaV3_Small as giDeBERTaV3_Small
from keras_gimlp.applications.text.gi_deberta_v3 import giDeBERTaV3_XSmall as giDeBERTaV3_XSmall
from keras_gimlp.applications.text.gi_deberta_v3 import giDeBERTaV3MaskedLM as giDeBERTaV3MaskedLM
from keras_gimlp.applications.text.gi_deberta_v3 import (
    giDeBERTaV3MaskedLMPreprocessor as giDeBERTaV3MaskedLMPreprocessor,
)
from keras_gimlp.applications.text.gi_deberta_v3 import (
    giDeBERTaV3TextClassifier as giDeBERTaV3TextClassifier,
)
from keras_gimlp.applications.text.gi_deberta_v3 import (
    giDeBERTaV3TextClassifierPreprocessor as giDeBERTaV3TextClassifierPreprocessor,
)
from keras_gimlp.applications.text.gi_deberta_v3 import giDeBERTaV3Tokenizer as giDeBERTaV3Tokenizer
from keras_gimlp.applications.text.gi_roberta import giRoBERTa as giRoBERTa
from keras_gimlp.applications.text.gi_roberta import giRoBERTa_Base as giRoBERTa_Base
from keras_gimlp.applications.text.gi_roberta import giRoBERTa_Large as giRoBERTa_Large
from keras_gimlp.applications.text.gi_roberta import giRoBERTaMaskedLM as giRoBERTaMaskedLM
from keras_gimlp.applications.text.gi_roberta import (
    giRoBERTaMaskedLMPreprocessor as giRoBERTaMaskedLMPreprocessor,
)
from keras_gimlp.applications.text.gi_roberta import (
    giRoBERTaTextClassifier as giRoBERTaTextClassifier,
)
from keras_gimlp.applications.text.gi_roberta import (
    giRoBERTaTextClassifierPreprocessor as giRoBERTaTextClassifierPreprocessor,
)
from keras_gimlp.applications.text.gi_roberta import giRoBERTaTokenizer as giRoBERTaTokenizer
from keras_gimlp.applications.text.gmlp_mlm import aMLP_MLM_Base as aMLP_MLM_Base
from keras_gimlp.applications.text.gmlp_mlm import aMLP_MLM_Large as aMLP_MLM_Large
from keras_gimlp.applications.text.gmlp_mlm import gMLP_MLM as gMLP_MLM
from keras_gimlp.applications.text.gmlp_mlm import gMLP_MLM_Base as gMLP_MLM_Base
from keras_gimlp.applications.text.gmlp_mlm import gMLP_MLM_Large as gMLP_MLM_Large
from keras_gimlp.applications.text.gmlp_mlm import gMLP_MLM_XLarge as gMLP_MLM_XLarge
from keras_gimlp.applications.text.gmlp_tasks import gMLPMaskedLM as gMLPMaskedLM
from keras_gimlp.applications.text.gmlp_tasks import (
    gMLPMaskedLMPreprocessor as gMLPMaskedLMPreprocessor,
)
from keras_gimlp.applications.text.gmlp_tasks import gMLPTextClassifier as gMLPTextClassifier
from keras_gimlp.applications.text.gmlp_tasks import (
    gMLPTextClassifierPreprocessor as gMLPTextClassifierPreprocessor,
)
from keras_gimlp.applications.text.gmlp_tasks import gMLPTokenizer as gMLPTokenizer
from keras_gimlp.applications.text.tasks import MultipleChoice as MultipleChoice
from keras_gimlp.applications.text.tasks import SpanExtractor as SpanExtractor
from keras_gimlp.applications.text.tasks import TextRegressor as TextRegressor
from keras_gimlp.applications.text.tasks import TokenClassifier as TokenClassifier
