"""Models by name, with the signature of `keras.applications`."""

import importlib

from keras.applications.imagenet_utils import decode_predictions as decode_predictions

from keras_gimlp.applications.cycle_mlp import CycleMLP as CycleMLP
from keras_gimlp.applications.cycle_mlp import CycleMLP_B1 as CycleMLP_B1
from keras_gimlp.applications.cycle_mlp import CycleMLP_B2 as CycleMLP_B2
from keras_gimlp.applications.cycle_mlp import CycleMLP_B3 as CycleMLP_B3
from keras_gimlp.applications.cycle_mlp import CycleMLP_B4 as CycleMLP_B4
from keras_gimlp.applications.cycle_mlp import CycleMLP_B5 as CycleMLP_B5
from keras_gimlp.applications.cycle_mlp import giCycleMLP_B1 as giCycleMLP_B1
from keras_gimlp.applications.cycle_mlp import giCycleMLP_B2 as giCycleMLP_B2
from keras_gimlp.applications.cycle_mlp import giCycleMLP_B3 as giCycleMLP_B3
from keras_gimlp.applications.cycle_mlp import giCycleMLP_B4 as giCycleMLP_B4
from keras_gimlp.applications.cycle_mlp import giCycleMLP_B5 as giCycleMLP_B5
from keras_gimlp.applications.gmlp import gMLP as gMLP
from keras_gimlp.applications.gmlp import gMLP_B as gMLP_B
from keras_gimlp.applications.gmlp import gMLP_S as gMLP_S
from keras_gimlp.applications.gmlp import gMLP_Ti as gMLP_Ti
from keras_gimlp.applications.mlp_mixer import MLPMixer as MLPMixer
from keras_gimlp.applications.mlp_mixer import MLPMixer_B16 as MLPMixer_B16
from keras_gimlp.applications.mlp_mixer import MLPMixer_B32 as MLPMixer_B32
from keras_gimlp.applications.mlp_mixer import MLPMixer_H14 as MLPMixer_H14
from keras_gimlp.applications.mlp_mixer import MLPMixer_L16 as MLPMixer_L16
from keras_gimlp.applications.mlp_mixer import MLPMixer_L32 as MLPMixer_L32
from keras_gimlp.applications.mlp_mixer import MLPMixer_S16 as MLPMixer_S16
from keras_gimlp.applications.mlp_mixer import MLPMixer_S32 as MLPMixer_S32
from keras_gimlp.applications.preprocessing import preprocess_input as preprocess_input
from keras_gimlp.applications.resmlp import ResMLP as ResMLP
from keras_gimlp.applications.resmlp import ResMLP_B24 as ResMLP_B24
from keras_gimlp.applications.resmlp import ResMLP_S12 as ResMLP_S12
from keras_gimlp.applications.resmlp import ResMLP_S24 as ResMLP_S24
from keras_gimlp.applications.resmlp import ResMLP_S36 as ResMLP_S36

# The text models need KerasHub, which is imported when one of them is asked for.
TEXT_MODELS = {
    "gi_bert": ("giBERT_Tiny", "giBERT_Base", "giBERT_Large"),
    "gi_roberta": ("giRoBERTa_Base", "giRoBERTa_Large"),
    "gi_deberta_v3": (
        *("giDeBERTaV3_XSmall", "giDeBERTaV3_Small", "giDeBERTaV3_Base", "giDeBERTaV3_Large"),
    ),
    "gmlp_mlm": (
        *("gMLP_MLM_Base", "gMLP_MLM_Large", "gMLP_MLM_XLarge"),
        *("aMLP_MLM_Base", "aMLP_MLM_Large"),
    ),
}
TEXT_TASKS = tuple(
    f"{family}{task}"
    for family in ("giBERT", "giRoBERTa", "giDeBERTaV3", "gMLP")
    for task in (
        *("TextClassifier", "MaskedLM", "Tokenizer"),
        *("TextClassifierPreprocessor", "MaskedLMPreprocessor"),
    )
)
HEADS = ("TextRegressor", "MultipleChoice", "TokenClassifier", "SpanExtractor")
TEXT = ("giBERT", "giRoBERTa", "giDeBERTaV3", "gMLP_MLM", *TEXT_TASKS, *HEADS)
TEXT = (*TEXT, *(name for names in TEXT_MODELS.values() for name in names))


def __getattr__(name):
    if name not in TEXT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        text = importlib.import_module(f"{__name__}.text")
    except ModuleNotFoundError as error:
        if error.name not in ("keras_hub", "keras_nlp"):
            raise
        raise ImportError(
            f'KerasHub is needed for {name}: pip install "keras_gimlp[nlp]"'
        ) from error
    return getattr(text, name)


def list_models(kind="image"):
    """Returns the names of the models of the papers' sizes, for `getattr(applications, name)`.

    Args:
        kind: `"image"` or `"text"`. Defaults to `"image"`.
    """
    if kind == "text":
        return [name for names in TEXT_MODELS.values() for name in names]
    if kind != "image":
        raise ValueError(f'`kind` must be "image" or "text". Received: kind={kind!r}')
    return [
        *("gMLP_Ti", "gMLP_S", "gMLP_B"),
        *(f"CycleMLP_B{i}" for i in range(1, 6)),
        *(f"giCycleMLP_B{i}" for i in range(1, 6)),
        *(f"MLPMixer_{size}" for size in ("S32", "S16", "B32", "B16", "L32", "L16", "H14")),
        *("ResMLP_S12", "ResMLP_S24", "ResMLP_S36", "ResMLP_B24"),
    ]
