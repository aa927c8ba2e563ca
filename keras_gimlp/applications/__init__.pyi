"""Models by name. Written by `python -m tests.signatures`, which see."""

from typing import Any

import keras
from keras.applications.imagenet_utils import decode_predictions as decode_predictions

from keras_gimlp.applications.image_transform import ImageTransform
from keras_gimlp.applications.text.aft_mlm import AFTMaskedLM as AFTMaskedLM
from keras_gimlp.applications.text.aft_mlm import AFTMaskedLMPreprocessor as AFTMaskedLMPreprocessor
from keras_gimlp.applications.text.aft_mlm import AFTTextClassifier as AFTTextClassifier
from keras_gimlp.applications.text.aft_mlm import AFTTextClassifierPreprocessor as AFTTextClassifierPreprocessor
from keras_gimlp.applications.text.aft_mlm import AFTTokenizer as AFTTokenizer
from keras_gimlp.applications.text.aft_mlm import AFT_MLM as AFT_MLM
from keras_gimlp.applications.text.tasks import MultipleChoice as MultipleChoice
from keras_gimlp.applications.text.tasks import SpanExtractor as SpanExtractor
from keras_gimlp.applications.text.tasks import TextRegressor as TextRegressor
from keras_gimlp.applications.text.tasks import TokenClassifier as TokenClassifier
from keras_gimlp.applications.text.gmlp_tasks import gMLPMaskedLM as gMLPMaskedLM
from keras_gimlp.applications.text.gmlp_tasks import gMLPMaskedLMPreprocessor as gMLPMaskedLMPreprocessor
from keras_gimlp.applications.text.gmlp_tasks import gMLPTextClassifier as gMLPTextClassifier
from keras_gimlp.applications.text.gmlp_tasks import gMLPTextClassifierPreprocessor as gMLPTextClassifierPreprocessor
from keras_gimlp.applications.text.gmlp_tasks import gMLPTokenizer as gMLPTokenizer
from keras_gimlp.applications.text.gmlp_mlm import gMLP_MLM as gMLP_MLM
from keras_gimlp.applications.text.gi_bert import giBERT as giBERT
from keras_gimlp.applications.text.gi_bert import giBERTMaskedLM as giBERTMaskedLM
from keras_gimlp.applications.text.gi_bert import giBERTMaskedLMPreprocessor as giBERTMaskedLMPreprocessor
from keras_gimlp.applications.text.gi_bert import giBERTTextClassifier as giBERTTextClassifier
from keras_gimlp.applications.text.gi_bert import giBERTTextClassifierPreprocessor as giBERTTextClassifierPreprocessor
from keras_gimlp.applications.text.gi_bert import giBERTTokenizer as giBERTTokenizer
from keras_gimlp.applications.text.gi_deberta_v3 import giDeBERTaV3 as giDeBERTaV3
from keras_gimlp.applications.text.gi_deberta_v3 import giDeBERTaV3MaskedLM as giDeBERTaV3MaskedLM
from keras_gimlp.applications.text.gi_deberta_v3 import giDeBERTaV3MaskedLMPreprocessor as giDeBERTaV3MaskedLMPreprocessor
from keras_gimlp.applications.text.gi_deberta_v3 import giDeBERTaV3TextClassifier as giDeBERTaV3TextClassifier
from keras_gimlp.applications.text.gi_deberta_v3 import giDeBERTaV3TextClassifierPreprocessor as giDeBERTaV3TextClassifierPreprocessor
from keras_gimlp.applications.text.gi_deberta_v3 import giDeBERTaV3Tokenizer as giDeBERTaV3Tokenizer
from keras_gimlp.applications.text.gi_roberta import giRoBERTa as giRoBERTa
from keras_gimlp.applications.text.gi_roberta import giRoBERTaMaskedLM as giRoBERTaMaskedLM
from keras_gimlp.applications.text.gi_roberta import giRoBERTaMaskedLMPreprocessor as giRoBERTaMaskedLMPreprocessor
from keras_gimlp.applications.text.gi_roberta import giRoBERTaTextClassifier as giRoBERTaTextClassifier
from keras_gimlp.applications.text.gi_roberta import giRoBERTaTextClassifierPreprocessor as giRoBERTaTextClassifierPreprocessor
from keras_gimlp.applications.text.gi_roberta import giRoBERTaTokenizer as giRoBERTaTokenizer

def AFT(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='aft', *, depth, dim, form='full', num_heads=None, kernel_size=None, bias_dim=128, mlp_ratio=4, patch_size=16, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """Builds AFT, a vision transformer without attention."""

def AFT_Conv_B_32_25(include_top=True, weights=None, input_tensor=None, input_shape=(384, 384, 3), pooling=None, classes=1000, classifier_activation='softmax', name='aft_conv_b_32_25', *, depth=12, dim=768, form='conv', num_heads=32, kernel_size=25, bias_dim=128, mlp_ratio=4, patch_size=16, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """AFT_Conv_B_32_25: depth=12, dim=768, form=conv, num_heads=32, kernel_size=25, input_shape=(384, 384, 3); 79,864,552 parameters; Table 7 of arXiv:2105.14103."""

def AFT_Conv_S_16_11(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='aft_conv_s_16_11', *, depth=12, dim=384, form='conv', num_heads=16, kernel_size=11, bias_dim=128, mlp_ratio=4, patch_size=16, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """AFT_Conv_S_16_11: depth=12, dim=384, form=conv, num_heads=16, kernel_size=11; 20,298,088 parameters; Table 7 of arXiv:2105.14103."""

def AFT_Conv_S_384_11(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='aft_conv_s_384_11', *, depth=12, dim=384, form='conv', num_heads=384, kernel_size=11, bias_dim=128, mlp_ratio=4, patch_size=16, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """AFT_Conv_S_384_11: depth=12, dim=384, form=conv, num_heads=384, kernel_size=11; 22,541,416 parameters; Table 7 of arXiv:2105.14103."""

def AFT_Conv_S_384_15(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='aft_conv_s_384_15', *, depth=12, dim=384, form='conv', num_heads=384, kernel_size=15, bias_dim=128, mlp_ratio=4, patch_size=16, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """AFT_Conv_S_384_15: depth=12, dim=384, form=conv, num_heads=384, kernel_size=15; 23,020,648 parameters; Table 7 of arXiv:2105.14103."""

def AFT_Conv_Ti_192_11(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='aft_conv_ti_192_11', *, depth=12, dim=192, form='conv', num_heads=192, kernel_size=11, bias_dim=128, mlp_ratio=4, patch_size=16, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """AFT_Conv_Ti_192_11: depth=12, dim=192, form=conv, num_heads=192, kernel_size=11; 5,962,792 parameters; Table 7 of arXiv:2105.14103."""

def AFT_Conv_Ti_32_11(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='aft_conv_ti_32_11', *, depth=12, dim=192, form='conv', num_heads=32, kernel_size=11, bias_dim=128, mlp_ratio=4, patch_size=16, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """AFT_Conv_Ti_32_11: depth=12, dim=192, form=conv, num_heads=32, kernel_size=11; 5,356,072 parameters; Table 7 of arXiv:2105.14103."""

def AFT_Full_S(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='aft_full_s', *, depth=12, dim=384, form='full', num_heads=None, kernel_size=None, bias_dim=128, mlp_ratio=4, patch_size=16, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """AFT_Full_S: depth=12, dim=384; 22,655,848 parameters; Table 7 of arXiv:2105.14103."""

def AFT_Full_Ti(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='aft_full_ti', *, depth=12, dim=192, form='full', num_heads=None, kernel_size=None, bias_dim=128, mlp_ratio=4, patch_size=16, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """AFT_Full_Ti: depth=12, dim=192; 6,322,600 parameters; Table 7 of arXiv:2105.14103."""

def CycleMLP(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='cyclemlp', *, depths, dims, mlp_ratios, stem_size=7, stem_strides=4, drop_path_rate=0.0, feature_maps=False, gating=None, inhibition=0.3, scope='example', gate_residual=False) -> keras.Model:
    """Builds CycleMLP, or giCycleMLP if `gating` is given."""

def CycleMLP_B1(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='cyclemlp_b1', *, depths=(2, 2, 4, 2), dims=(64, 128, 320, 512), mlp_ratios=(4, 4, 4, 4), stem_size=7, stem_strides=4, drop_path_rate=0.1, feature_maps=False, gating=None, inhibition=0.3, scope='example', gate_residual=False) -> keras.Model:
    """CycleMLP_B1: depths=(2, 2, 4, 2), dims=(64, 128, 320, 512), mlp_ratios=(4, 4, 4, 4), drop_path_rate=0.1; 15,155,400 parameters; the code of arXiv:2107.10224."""

def CycleMLP_B2(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='cyclemlp_b2', *, depths=(2, 3, 10, 3), dims=(64, 128, 320, 512), mlp_ratios=(4, 4, 4, 4), stem_size=7, stem_strides=4, drop_path_rate=0.1, feature_maps=False, gating=None, inhibition=0.3, scope='example', gate_residual=False) -> keras.Model:
    """CycleMLP_B2: depths=(2, 3, 10, 3), dims=(64, 128, 320, 512), mlp_ratios=(4, 4, 4, 4), drop_path_rate=0.1; 26,802,504 parameters; the code of arXiv:2107.10224."""

def CycleMLP_B3(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='cyclemlp_b3', *, depths=(3, 4, 18, 3), dims=(64, 128, 320, 512), mlp_ratios=(8, 8, 4, 4), stem_size=7, stem_strides=4, drop_path_rate=0.1, feature_maps=False, gating=None, inhibition=0.3, scope='example', gate_residual=False) -> keras.Model:
    """CycleMLP_B3: depths=(3, 4, 18, 3), dims=(64, 128, 320, 512), mlp_ratios=(8, 8, 4, 4), drop_path_rate=0.1; 38,385,720 parameters; the code of arXiv:2107.10224."""

def CycleMLP_B4(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='cyclemlp_b4', *, depths=(3, 8, 27, 3), dims=(64, 128, 320, 512), mlp_ratios=(8, 8, 4, 4), stem_size=7, stem_strides=4, drop_path_rate=0.1, feature_maps=False, gating=None, inhibition=0.3, scope='example', gate_residual=False) -> keras.Model:
    """CycleMLP_B4: depths=(3, 8, 27, 3), dims=(64, 128, 320, 512), mlp_ratios=(8, 8, 4, 4), drop_path_rate=0.1; 51,796,552 parameters; the code of arXiv:2107.10224."""

def CycleMLP_B5(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='cyclemlp_b5', *, depths=(3, 4, 24, 3), dims=(96, 192, 384, 768), mlp_ratios=(4, 4, 4, 4), stem_size=7, stem_strides=4, drop_path_rate=0.1, feature_maps=False, gating=None, inhibition=0.3, scope='example', gate_residual=False) -> keras.Model:
    """CycleMLP_B5: depths=(3, 4, 24, 3), dims=(96, 192, 384, 768), mlp_ratios=(4, 4, 4, 4), drop_path_rate=0.1; 75,747,280 parameters; the code of arXiv:2107.10224."""

def MLPMixer(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='mlp_mixer', *, depth, dim, tokens_mlp_dim, channels_mlp_dim, patch_size=16, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """Builds MLP-Mixer."""

def MLPMixer_B16(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='mlpmixer_b16', *, depth=12, dim=768, tokens_mlp_dim=384, channels_mlp_dim=3072, patch_size=16, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """MLPMixer_B16: depth=12, dim=768, tokens_mlp_dim=384, channels_mlp_dim=3072, patch_size=16; 59,880,472 parameters; Table 1 of arXiv:2105.01601."""

def MLPMixer_B32(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='mlpmixer_b32', *, depth=12, dim=768, tokens_mlp_dim=384, channels_mlp_dim=3072, patch_size=32, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """MLPMixer_B32: depth=12, dim=768, tokens_mlp_dim=384, channels_mlp_dim=3072, patch_size=32; 60,293,428 parameters; Table 1 of arXiv:2105.01601."""

def MLPMixer_H14(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='mlpmixer_h14', *, depth=32, dim=1280, tokens_mlp_dim=640, channels_mlp_dim=5120, patch_size=14, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """MLPMixer_H14: depth=32, dim=1280, tokens_mlp_dim=640, channels_mlp_dim=5120, patch_size=14; 432,350,952 parameters; Table 1 of arXiv:2105.01601."""

def MLPMixer_L16(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='mlpmixer_l16', *, depth=24, dim=1024, tokens_mlp_dim=512, channels_mlp_dim=4096, patch_size=16, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """MLPMixer_L16: depth=24, dim=1024, tokens_mlp_dim=512, channels_mlp_dim=4096, patch_size=16; 208,196,168 parameters; Table 1 of arXiv:2105.01601."""

def MLPMixer_L32(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='mlpmixer_l32', *, depth=24, dim=1024, tokens_mlp_dim=512, channels_mlp_dim=4096, patch_size=32, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """MLPMixer_L32: depth=24, dim=1024, tokens_mlp_dim=512, channels_mlp_dim=4096, patch_size=32; 206,939,264 parameters; Table 1 of arXiv:2105.01601."""

def MLPMixer_S16(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='mlpmixer_s16', *, depth=8, dim=512, tokens_mlp_dim=256, channels_mlp_dim=2048, patch_size=16, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """MLPMixer_S16: depth=8, dim=512, tokens_mlp_dim=256, channels_mlp_dim=2048, patch_size=16; 18,528,264 parameters; Table 1 of arXiv:2105.01601."""

def MLPMixer_S32(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='mlpmixer_s32', *, depth=8, dim=512, tokens_mlp_dim=256, channels_mlp_dim=2048, patch_size=32, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """MLPMixer_S32: depth=8, dim=512, tokens_mlp_dim=256, channels_mlp_dim=2048, patch_size=32; 19,104,624 parameters; Table 1 of arXiv:2105.01601."""

def ResMLP(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='resmlp', *, depth, dim, patch_size=16, mlp_ratio=4, layer_scale=0.0001, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """Builds ResMLP."""

def ResMLP_B24(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='resmlp_b24', *, depth=24, dim=768, patch_size=16, mlp_ratio=4, layer_scale=1e-06, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """ResMLP_B24: depth=24, dim=768, layer_scale=1e-06; 115,736,776 parameters; arXiv:2105.03404."""

def ResMLP_S12(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='resmlp_s12', *, depth=12, dim=384, patch_size=16, mlp_ratio=4, layer_scale=0.1, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """ResMLP_S12: depth=12, dim=384, layer_scale=0.1; 15,350,872 parameters; arXiv:2105.03404."""

def ResMLP_S24(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='resmlp_s24', *, depth=24, dim=384, patch_size=16, mlp_ratio=4, layer_scale=1e-05, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """ResMLP_S24: depth=24, dim=384, layer_scale=1e-05; 30,020,680 parameters; arXiv:2105.03404."""

def ResMLP_S36(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='resmlp_s36', *, depth=36, dim=384, patch_size=16, mlp_ratio=4, layer_scale=1e-06, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """ResMLP_S36: depth=36, dim=384, layer_scale=1e-06; 44,690,488 parameters; arXiv:2105.03404."""

def aMLP_MLM_Base(*, vocabulary_size=32000, depth=36, dim=512, ffn_dim=3072, sequence_length=512, attention_dim=64, spatial='toeplitz', form='split', dropout=0.0, drop_path_rate=0.0, dtype=None, name='amlp_mlm_base', trainable=True) -> gMLP_MLM:
    """aMLP_MLM_Base: vocabulary_size=32000, depth=36, dim=512, ffn_dim=3072, attention_dim=64; 108,791,516 parameters; Table 5 of arXiv:2105.08050."""

def aMLP_MLM_Large(*, vocabulary_size=32000, depth=72, dim=768, ffn_dim=3072, sequence_length=512, attention_dim=128, spatial='toeplitz', form='split', dropout=0.0, drop_path_rate=0.0, dtype=None, name='amlp_mlm_large', trainable=True) -> gMLP_MLM:
    """aMLP_MLM_Large: vocabulary_size=32000, depth=72, dim=768, ffn_dim=3072, attention_dim=128; 315,627,960 parameters; Table 5 of arXiv:2105.08050."""

def gMLP(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='gmlp', *, depth, dim, ffn_dim, patch_size=16, attention_dim=None, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """Builds gMLP for images, or aMLP if `attention_dim` is given."""

def gMLP_B(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='gmlp_b', *, depth=30, dim=512, ffn_dim=3072, patch_size=16, attention_dim=None, drop_path_rate=0.2, feature_maps=False, resize_spatial=False) -> keras.Model:
    """gMLP_B: depth=30, dim=512, ffn_dim=3072, drop_path_rate=0.2; 73,075,392 parameters; Table 1 of arXiv:2105.08050."""

def gMLP_MLM_Base(*, vocabulary_size=32000, depth=48, dim=512, ffn_dim=3072, sequence_length=512, attention_dim=None, spatial='toeplitz', form='split', dropout=0.0, drop_path_rate=0.0, dtype=None, name='gmlp_mlm_base', trainable=True) -> gMLP_MLM:
    """gMLP_MLM_Base: vocabulary_size=32000, depth=48, dim=512, ffn_dim=3072; 130,073,552 parameters; Table 5 of arXiv:2105.08050."""

def gMLP_MLM_Large(*, vocabulary_size=32000, depth=96, dim=768, ffn_dim=3072, sequence_length=512, attention_dim=None, spatial='toeplitz', form='split', dropout=0.0, drop_path_rate=0.0, dtype=None, name='gmlp_mlm_large', trainable=True) -> gMLP_MLM:
    """gMLP_MLM_Large: vocabulary_size=32000, depth=96, dim=768, ffn_dim=3072; 365,274,528 parameters; Table 5 of arXiv:2105.08050."""

def gMLP_MLM_XLarge(*, vocabulary_size=32000, depth=144, dim=1024, ffn_dim=4096, sequence_length=512, attention_dim=None, spatial='toeplitz', form='split', dropout=0.0, drop_path_rate=0.0, dtype=None, name='gmlp_mlm_xlarge', trainable=True) -> gMLP_MLM:
    """gMLP_MLM_XLarge: vocabulary_size=32000, depth=144, dim=1024, ffn_dim=4096; 940,582,768 parameters; Table 5 of arXiv:2105.08050."""

def gMLP_S(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='gmlp_s', *, depth=30, dim=256, ffn_dim=1536, patch_size=16, attention_dim=None, drop_path_rate=0.05, feature_maps=False, resize_spatial=False) -> keras.Model:
    """gMLP_S: depth=30, dim=256, ffn_dim=1536, drop_path_rate=0.05; 19,422,656 parameters; Table 1 of arXiv:2105.08050."""

def gMLP_Ti(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='gmlp_ti', *, depth=30, dim=128, ffn_dim=768, patch_size=16, attention_dim=None, drop_path_rate=0.0, feature_maps=False, resize_spatial=False) -> keras.Model:
    """gMLP_Ti: depth=30, dim=128, ffn_dim=768, drop_path_rate=0.0; 5,867,328 parameters; Table 1 of arXiv:2105.08050."""

def giBERT_Base(weights=None, *, vocabulary_size=30522, num_layers=12, num_heads=12, hidden_dim=768, intermediate_dim=3072, dropout=None, max_sequence_length=None, num_segments=None, inhibition=0.3, gate_query=True, gate_key=True, gated_layers=None, scope='example', activation='gelu', rank=None, trainable=True, dtype=None, name='gibert_base') -> giBERT:
    """giBERT_Base: vocabulary_size=30522, num_layers=12, num_heads=12, hidden_dim=768, intermediate_dim=3072; 137,830,656 parameters; a size of KerasHub's presets, with full gates in all layers."""

def giBERT_Large(weights=None, *, vocabulary_size=30522, num_layers=24, num_heads=16, hidden_dim=1024, intermediate_dim=4096, dropout=None, max_sequence_length=None, num_segments=None, inhibition=0.3, gate_query=True, gate_key=True, gated_layers=None, scope='example', activation='gelu', rank=None, trainable=True, dtype=None, name='gibert_large') -> giBERT:
    """giBERT_Large: vocabulary_size=30522, num_layers=24, num_heads=16, hidden_dim=1024, intermediate_dim=4096; 435,903,488 parameters; a size of KerasHub's presets, with full gates in all layers."""

def giBERT_Tiny(weights=None, *, vocabulary_size=30522, num_layers=2, num_heads=2, hidden_dim=128, intermediate_dim=512, dropout=None, max_sequence_length=None, num_segments=None, inhibition=0.3, gate_query=True, gate_key=True, gated_layers=None, scope='example', activation='gelu', rank=None, trainable=True, dtype=None, name='gibert_tiny') -> giBERT:
    """giBERT_Tiny: vocabulary_size=30522, num_layers=2, num_heads=2, hidden_dim=128, intermediate_dim=512; 4,518,016 parameters; a size of KerasHub's presets, with full gates in all layers."""

def giCycleMLP_B1(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='gicyclemlp_b1', *, depths=(2, 2, 4, 2), dims=(64, 128, 320, 512), mlp_ratios=(4, 4, 4, 4), stem_size=7, stem_strides=4, drop_path_rate=0.1, feature_maps=False, gating='gate', inhibition=0.3, scope='example', gate_residual=False) -> keras.Model:
    """giCycleMLP_B1: depths=(2, 2, 4, 2), dims=(64, 128, 320, 512), mlp_ratios=(4, 4, 4, 4), drop_path_rate=0.1, gating=gate; 22,973,000 parameters; arXiv:2208.00929."""

def giCycleMLP_B2(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='gicyclemlp_b2', *, depths=(2, 3, 10, 3), dims=(64, 128, 320, 512), mlp_ratios=(4, 4, 4, 4), stem_size=7, stem_strides=4, drop_path_rate=0.1, feature_maps=False, gating='gate', inhibition=0.3, scope='example', gate_residual=False) -> keras.Model:
    """giCycleMLP_B2: depths=(2, 3, 10, 3), dims=(64, 128, 320, 512), mlp_ratios=(4, 4, 4, 4), drop_path_rate=0.1, gating=gate; 41,781,448 parameters; arXiv:2208.00929."""

def giCycleMLP_B3(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='gicyclemlp_b3', *, depths=(3, 4, 18, 3), dims=(64, 128, 320, 512), mlp_ratios=(8, 8, 4, 4), stem_size=7, stem_strides=4, drop_path_rate=0.1, feature_maps=False, gating='gate', inhibition=0.3, scope='example', gate_residual=False) -> keras.Model:
    """giCycleMLP_B3: depths=(3, 4, 18, 3), dims=(64, 128, 320, 512), mlp_ratios=(8, 8, 4, 4), drop_path_rate=0.1, gating=gate; 60,726,776 parameters; arXiv:2208.00929."""

def giCycleMLP_B4(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='gicyclemlp_b4', *, depths=(3, 8, 27, 3), dims=(64, 128, 320, 512), mlp_ratios=(8, 8, 4, 4), stem_size=7, stem_strides=4, drop_path_rate=0.1, feature_maps=False, gating='gate', inhibition=0.3, scope='example', gate_residual=False) -> keras.Model:
    """giCycleMLP_B4: depths=(3, 8, 27, 3), dims=(64, 128, 320, 512), mlp_ratios=(8, 8, 4, 4), drop_path_rate=0.1, gating=gate; 82,584,776 parameters; arXiv:2208.00929."""

def giCycleMLP_B5(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000, classifier_activation='softmax', name='gicyclemlp_b5', *, depths=(3, 4, 24, 3), dims=(96, 192, 384, 768), mlp_ratios=(4, 4, 4, 4), stem_size=7, stem_strides=4, drop_path_rate=0.1, feature_maps=False, gating='gate', inhibition=0.3, scope='example', gate_residual=False) -> keras.Model:
    """giCycleMLP_B5: depths=(3, 4, 24, 3), dims=(96, 192, 384, 768), mlp_ratios=(4, 4, 4, 4), drop_path_rate=0.1, gating=gate; 119,703,472 parameters; arXiv:2208.00929."""

def giDeBERTaV3_Base(weights=None, *, vocabulary_size=128100, num_layers=12, num_heads=12, hidden_dim=768, intermediate_dim=3072, dropout=None, max_sequence_length=None, bucket_size=None, inhibition=0.3, gate_query=True, gate_key=True, gated_layers=None, scope='example', activation='gelu', rank=None, trainable=True, dtype=None, name='gidebertav3_base') -> giDeBERTaV3:
    """giDeBERTaV3_Base: vocabulary_size=128100, num_layers=12, num_heads=12, hidden_dim=768, intermediate_dim=3072; 212,179,968 parameters; a size of KerasHub's presets, with full gates in all layers."""

def giDeBERTaV3_Large(weights=None, *, vocabulary_size=128100, num_layers=24, num_heads=16, hidden_dim=1024, intermediate_dim=4096, dropout=None, max_sequence_length=None, bucket_size=None, inhibition=0.3, gate_query=True, gate_key=True, gated_layers=None, scope='example', activation='gelu', rank=None, trainable=True, dtype=None, name='gidebertav3_large') -> giDeBERTaV3:
    """giDeBERTaV3_Large: vocabulary_size=128100, num_layers=24, num_heads=16, hidden_dim=1024, intermediate_dim=4096; 534,773,760 parameters; a size of KerasHub's presets, with full gates in all layers."""

def giDeBERTaV3_Small(weights=None, *, vocabulary_size=128100, num_layers=6, num_heads=12, hidden_dim=768, intermediate_dim=3072, dropout=None, max_sequence_length=None, bucket_size=None, inhibition=0.3, gate_query=True, gate_key=True, gated_layers=None, scope='example', activation='gelu', rank=None, trainable=True, dtype=None, name='gidebertav3_small') -> giDeBERTaV3:
    """giDeBERTaV3_Small: vocabulary_size=128100, num_layers=6, num_heads=12, hidden_dim=768, intermediate_dim=3072; 155,478,528 parameters; a size of KerasHub's presets, with full gates in all layers."""

def giDeBERTaV3_XSmall(weights=None, *, vocabulary_size=128100, num_layers=12, num_heads=6, hidden_dim=384, intermediate_dim=1536, dropout=None, max_sequence_length=None, bucket_size=None, inhibition=0.3, gate_query=True, gate_key=True, gated_layers=None, scope='example', activation='gelu', rank=None, trainable=True, dtype=None, name='gidebertav3_xsmall') -> giDeBERTaV3:
    """giDeBERTaV3_XSmall: vocabulary_size=128100, num_layers=12, num_heads=6, hidden_dim=384, intermediate_dim=1536; 77,778,432 parameters; a size of KerasHub's presets, with full gates in all layers."""

def giRoBERTa_Base(weights=None, *, vocabulary_size=50265, num_layers=12, num_heads=12, hidden_dim=768, intermediate_dim=3072, dropout=None, max_sequence_length=None, inhibition=0.3, gate_query=True, gate_key=True, gated_layers=None, scope='example', activation='gelu', rank=None, trainable=True, dtype=None, name='giroberta_base') -> giRoBERTa:
    """giRoBERTa_Base: vocabulary_size=50265, num_layers=12, num_heads=12, hidden_dim=768, intermediate_dim=3072; 152,401,152 parameters; a size of KerasHub's presets, with full gates in all layers."""

def giRoBERTa_Large(weights=None, *, vocabulary_size=50265, num_layers=24, num_heads=16, hidden_dim=1024, intermediate_dim=4096, dropout=None, max_sequence_length=None, inhibition=0.3, gate_query=True, gate_key=True, gated_layers=None, scope='example', activation='gelu', rank=None, trainable=True, dtype=None, name='giroberta_large') -> giRoBERTa:
    """giRoBERTa_Large: vocabulary_size=50265, num_layers=24, num_heads=16, hidden_dim=1024, intermediate_dim=4096; 455,068,672 parameters; a size of KerasHub's presets, with full gates in all layers."""

def image_transform(weights=None, model=None, size=224) -> ImageTransform:
    """Returns a function from photos of any size to images as a model was evaluated on them."""

def list_models(pattern=None, kind=None, pretrained=None) -> list[str]:
    """Returns the names of the models in the papers' sizes, for `getattr(applications, name)`."""

def preprocess_input(images, weights=None, model=None) -> Any:
    """Scales pixels from [0, 255] to what a model expects."""
