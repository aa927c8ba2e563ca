"""Models by name, with the signature of `keras.applications`.

KerasHub is imported only when a text model is requested. The stub beside this file, written by
`python -m tests.signatures`, tells editors and type checkers about all models.
"""

import fnmatch as _fnmatch

from keras.applications.imagenet_utils import decode_predictions as decode_predictions

from keras_gimlp.applications.aft import AFT as AFT
from keras_gimlp.applications.aft import AFT_Conv_B_32_25 as AFT_Conv_B_32_25
from keras_gimlp.applications.aft import AFT_Conv_S_16_11 as AFT_Conv_S_16_11
from keras_gimlp.applications.aft import AFT_Conv_S_384_11 as AFT_Conv_S_384_11
from keras_gimlp.applications.aft import AFT_Conv_S_384_15 as AFT_Conv_S_384_15
from keras_gimlp.applications.aft import AFT_Conv_Ti_32_11 as AFT_Conv_Ti_32_11
from keras_gimlp.applications.aft import AFT_Conv_Ti_192_11 as AFT_Conv_Ti_192_11
from keras_gimlp.applications.aft import AFT_Full_S as AFT_Full_S
from keras_gimlp.applications.aft import AFT_Full_Ti as AFT_Full_Ti
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
from keras_gimlp.applications.image_transform import image_transform as image_transform
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
from keras_gimlp.weights import list_weights as _list_weights

# The models in the papers' sizes and order.
_IMAGE_MODELS = (
    *("gMLP_Ti", "gMLP_S", "gMLP_B"),
    *("CycleMLP_B1", "CycleMLP_B2", "CycleMLP_B3", "CycleMLP_B4", "CycleMLP_B5"),
    *("giCycleMLP_B1", "giCycleMLP_B2", "giCycleMLP_B3", "giCycleMLP_B4", "giCycleMLP_B5"),
    *("MLPMixer_S32", "MLPMixer_S16", "MLPMixer_B32", "MLPMixer_B16"),
    *("MLPMixer_L32", "MLPMixer_L16", "MLPMixer_H14"),
    *("ResMLP_S12", "ResMLP_S24", "ResMLP_S36", "ResMLP_B24"),
    *("AFT_Full_Ti", "AFT_Full_S"),
    *("AFT_Conv_Ti_32_11", "AFT_Conv_Ti_192_11"),
    *("AFT_Conv_S_16_11", "AFT_Conv_S_384_11", "AFT_Conv_S_384_15", "AFT_Conv_B_32_25"),
)
_TEXT_MODELS = (
    *("giBERT_Tiny", "giBERT_Base", "giBERT_Large"),
    *("giRoBERTa_Base", "giRoBERTa_Large"),
    *("giDeBERTaV3_XSmall", "giDeBERTaV3_Small", "giDeBERTaV3_Base", "giDeBERTaV3_Large"),
    *("gMLP_MLM_Base", "gMLP_MLM_Large", "gMLP_MLM_XLarge"),
    *("aMLP_MLM_Base", "aMLP_MLM_Large"),
)
_TEXT = (
    *_TEXT_MODELS,
    *("giBERT", "giRoBERTa", "giDeBERTaV3", "gMLP_MLM", "AFT_MLM"),
    *("TextRegressor", "MultipleChoice", "TokenClassifier", "SpanExtractor"),
    *(
        f"{family}{task}"
        for family in ("giBERT", "giRoBERTa", "giDeBERTaV3", "gMLP", "AFT")
        for task in (
            *("TextClassifier", "MaskedLM", "Tokenizer"),
            *("TextClassifierPreprocessor", "MaskedLMPreprocessor"),
        )
    ),
)
# Without the text models, so that `import *` does not need KerasHub.
__all__ = [
    *("gMLP", "CycleMLP", "MLPMixer", "ResMLP", "AFT", *_IMAGE_MODELS),
    *("decode_predictions", "image_transform", "list_models", "preprocess_input"),
]


def list_models(pattern=None, kind=None, pretrained=None):
    """Returns the names of the models in the papers' sizes, for `getattr(applications, name)`.

    Args:
        pattern: A shell pattern that the names must match, ignoring case, such as `"*mixer_b*"`.
            Defaults to `None`, all names.
        kind: `"image"` or `"text"`. Defaults to `None`, both.
        pretrained: `True` for the models with published weights in the catalogue
            (`keras_gimlp.weights.list_weights`), `False` for the others, which include the gated
            text encoders: their weights come from KerasHub presets. Defaults to `None`, both.

    Raises:
        ValueError: If `kind` is not one of the values above.

    Example:

    ```python
    from keras_gimlp import applications

    applications.list_models("gmlp*", kind="image")  # ["gMLP_Ti", "gMLP_S", "gMLP_B"]
    ```
    """
    if kind not in (None, "image", "text"):
        raise ValueError(f'`kind` must be "image", "text" or None. Received: kind={kind!r}')
    names = [
        *(_IMAGE_MODELS if kind != "text" else ()),
        *(_TEXT_MODELS if kind != "image" else ()),
    ]
    if pattern is not None:
        names = [name for name in names if _fnmatch.fnmatchcase(name.lower(), pattern.lower())]
    if pretrained is not None:
        names = [name for name in names if bool(_list_weights(name)) == pretrained]
    return names


def __getattr__(name):
    if name not in _TEXT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import keras_gimlp.applications.text as text
    except ModuleNotFoundError as error:
        if error.name not in ("keras_hub", "keras_nlp"):
            raise
        raise ImportError(
            f'KerasHub is needed for {name}: pip install "keras_gimlp[nlp]"'
        ) from error
    return getattr(text, name)


def __dir__():
    return sorted({*__all__, *_TEXT})
