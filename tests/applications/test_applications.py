"""What holds for every family: published sizes, arguments, training, deployment."""

import inspect
import pydoc
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp import applications
from keras_gimlp.counting import count_macs
from tests.conftest import JIT, mostly_once, once
from tests.descriptions import refuses_other_integers
from tests.families import EVERY_FAMILY, EVERY_PATH, FAMILIES, families_and, images, run, tiny
from tests.training import unmoved

# Parameters, multiply-accumulates, and the digits to which these are published, per model.
PUBLISHED = {
    "gMLP_Ti": (5_867_328, 1.329e9, 1e6),
    "gMLP_S": (19_422_656, 4.392e9, 1e6),
    "gMLP_B": (73_075_392, 15.720e9, 1e6),
    "CycleMLP_B1": (15_155_400, 2.122e9, 1e6),
    "CycleMLP_B2": (26_802_504, 3.876e9, 1e6),
    "CycleMLP_B3": (38_385_720, 6.831e9, 1e6),
    "CycleMLP_B4": (51_796_552, 10.027e9, 1e6),
    "CycleMLP_B5": (75_747_280, 12.232e9, 1e6),
    # Published, or rather recounted, for B1 alone: 22.97M and 3.38G.
    "giCycleMLP_B1": (22_973_000, 3.38e9, 1e7),
    "giCycleMLP_B2": (41_781_448, None, None),
    "giCycleMLP_B3": (60_726_776, None, None),
    "giCycleMLP_B4": (82_584_776, None, None),
    "giCycleMLP_B5": (119_703_472, None, None),
    "MLPMixer_S32": (19_104_624, 1.00e9, 1e7),
    "MLPMixer_S16": (18_528_264, 3.78e9, 1e7),
    "MLPMixer_B32": (60_293_428, 3.24e9, 1e7),
    "MLPMixer_B16": (59_880_472, 12.60e9, 1e7),
    "MLPMixer_L32": (206_939_264, 11.25e9, 1e7),
    "MLPMixer_L16": (208_196_168, 44.55e9, 1e7),
    "MLPMixer_H14": (432_350_952, 120.99e9, 1e7),
    "ResMLP_S12": (15_350_872, 3.0e9, 1e8),
    "ResMLP_S24": (30_020_680, 6.0e9, 1e8),
    "ResMLP_S36": (44_690_488, 8.9e9, 1e8),
    "ResMLP_B24": (115_736_776, 23.0e9, 1e8),
    # Published, in millions: 6.3, 22.6, 5.4, 5.9, 20.3, 22.5, 23.0, 79.7; the rest is our count.
    "AFT_Full_Ti": (6_322_600, None, None),
    "AFT_Full_S": (22_655_848, 4.60e9, 1e7),
    "AFT_Conv_Ti_32_11": (5_356_072, None, None),
    "AFT_Conv_Ti_192_11": (5_962_792, None, None),
    "AFT_Conv_S_16_11": (20_298_088, None, None),
    "AFT_Conv_S_384_11": (22_541_416, 4.44e9, 1e7),
    "AFT_Conv_S_384_15": (23_020_648, None, None),
    "AFT_Conv_B_32_25": (79_864_552, None, None),
}


@once
def test_every_model_has_its_published_size_tested():
    assert list(PUBLISHED) == applications.list_models(kind="image")


@once
@pytest.mark.slow
@pytest.mark.usefixtures("without_values")
@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_macs_are_the_published_ones(name):
    parameters, macs, digit = PUBLISHED[name]
    model = getattr(applications, name)()
    assert model.count_params() == parameters == getattr(applications, name).parameters
    assert model.name == name.lower()
    if macs is not None:
        assert count_macs(model) == pytest.approx(macs, abs=digit / 2)


# Arguments


@once
def test_every_builder_has_the_arguments_of_keras_applications():
    theirs = list(inspect.signature(keras.applications.ResNet50).parameters)
    builders = ("gMLP", "CycleMLP", "MLPMixer", "ResMLP", "AFT")
    for name in (*applications.list_models(kind="image"), *builders):
        parameters = inspect.signature(getattr(applications, name)).parameters
        common = [p for p, value in parameters.items() if value.kind is not value.KEYWORD_ONLY]
        assert common == theirs


@once
def test_variant_is_a_row_of_the_table_that_can_be_overridden():
    model = applications.gMLP_S(depth=2, classes=7, patch_size=32, name="mine")
    assert model.output_shape == (None, 7)
    assert model.name == "mine"
    assert model.get_layer("norm").output.shape == (None, 49, 256)
    assert not any(layer.name.startswith("block2") for layer in model.layers)


@once
def test_help_for_a_size_says_what_it_is_and_what_its_defaults_are():
    text = pydoc.plain(pydoc.render_doc(applications.gMLP_S))
    assert "depth=30, dim=256, ffn_dim=1536, patch_size=16" in text.splitlines()[2]
    assert "gMLP_S: depth=30, dim=256, ffn_dim=1536, drop_path_rate=0.05; 19,422,656" in text
    assert "Table 1 of arXiv:2105.08050." in text
    assert "`gMLP` describes the arguments." in text
    assert inspect.signature(applications.giCycleMLP_B1).parameters["gating"].default == "gate"
    for name, (parameters, _, _) in PUBLISHED.items():
        doc = inspect.getdoc(getattr(applications, name))
        assert doc.startswith(f"{name}: ")
        assert f"{parameters:,} parameters" in doc.splitlines()[0]


@once
def test_a_misspelt_argument_is_a_type_error():
    with pytest.raises(TypeError, match=r"gMLP_S\(\) got an unexpected keyword argument 'dept'"):
        applications.gMLP_S(dept=2)


@families_and(
    "arguments, shape",
    [
        ({}, (1000,)),
        ({"classes": 3}, (3,)),
        ({"include_top": False, "pooling": "avg"}, ("channels",)),
        ({"include_top": False, "pooling": "max"}, ("channels",)),
        ({"include_top": False, "pooling": "avg", "classes": 10}, ("channels",)),
        ({"input_shape": (16, 8, 1), "classes": 3}, (3,)),
    ],
)
def test_output_has_the_shape_that_the_arguments_ask_for(family, arguments, shape):
    model = tiny(family, **arguments)
    channels = model.get_layer("norm").output.shape[-1]
    shape = tuple(channels if size == "channels" else size for size in shape)
    assert model.output_shape == (None, *shape)
    assert run(model, images(2, *model.input_shape[1:])).shape == (2, *shape)


@EVERY_PATH
def test_features_without_top_are_those_before_pooling(family):
    x = images(2, 8, 8, 3)
    model = tiny(family, include_top=False)
    features = run(model, x)
    if family == "AFT":
        features = features[:, 1:]  # without the class token
    positions = tuple(range(1, features.ndim - 1))
    expected = {"avg": features.mean(positions), "max": features.max(positions)}
    for pooling in expected:
        pooled = tiny(family, include_top=False, pooling=pooling)
        pooled.set_weights(model.get_weights())
        np.testing.assert_allclose(run(pooled, x), expected[pooling], rtol=1e-4, atol=1e-5)


@EVERY_PATH
def test_classifier_activation_is_softmax_or_what_is_asked_for(family):
    x = images(2, 8, 8, 3)
    probabilities = run(tiny(family, classes=3), x)
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    logits = run(tiny(family, classes=3, classifier_activation=None), x)
    assert np.abs(logits.sum(-1) - 1).max() > 1e-3


@EVERY_PATH
def test_input_tensor_may_be_the_output_of_other_layers(family):
    inputs = keras.Input((8, 8, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, -1)(inputs)
    model = tiny(family, input_tensor=scaled, input_shape=None)
    assert model.input is inputs
    assert run(model, images(2, 8, 8, 3)).shape == (2, 1000)


@EVERY_PATH
def test_layout_of_images_is_channels_last_whatever_the_global_setting(family):
    keras.config.set_image_data_format("channels_first")
    try:
        model = tiny(family, include_top=False, pooling="avg")
        assert run(model, images(1, 8, 8, 3)).any()
    finally:
        keras.config.set_image_data_format("channels_last")


@families_and(
    "how, shape",
    [
        ("called", (16, 8, 3)),
        ("called", (3, 8, 8)),
        ("called", (8, 8, 1)),
        ("predict", (16, 8, 3)),
    ],
)
def test_images_of_another_shape_are_refused_by_the_name_of_the_argument(family, how, shape):
    model = tiny(family, classes=3)
    x = images(2, *shape)
    with pytest.raises(ValueError, match="Input 0 with name 'image' of layer .* is incompatible"):
        model(x) if how == "called" else model.predict(x, verbose=0)


@once
@families_and(
    "arguments, message",
    [
        ({"input_shape": (8, 8)}, "`input_shape` must be a tuple \\(height, width, channels\\)"),
        ({"pooling": "mean"}, "`pooling` must be .* Received: pooling='mean'"),
        ({"drop_path_rate": 1.0}, "`drop_path_rate` must be in"),
        ({"input_tensor": np.zeros((1, 8, 8, 3))}, "`input_tensor` must be a Keras tensor"),
        ({"input_tensor": keras.Input((16, 16, 3))}, "`input_shape` and `input_tensor` must agree"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(family, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(family, **arguments)


@once
@EVERY_FAMILY
def test_every_integer_must_be_positive_and_no_boolean(family):
    builder, sizes = FAMILIES[family]
    sizes = sizes | {"classes": 3} | ({"mlp_ratio": 2} if family in ("ResMLP", "AFT") else {})
    refuses_other_integers(builder, sizes)


@once
@pytest.mark.parametrize("family", ["gMLP", "MLPMixer", "ResMLP", "AFT"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (8, 10, 3)}, "`patch_size` must divide .* image shape=\\(8, 10, 3\\)"),
        ({"input_shape": (None, None, 3)}, "`patch_size` must divide a known image height"),
    ],
)
def test_wrong_patches_are_refused_in_one_sentence(family, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(family, **arguments)


@once
def test_decode_predictions_names_the_most_probable_classes(monkeypatch):
    names = {str(i): [f"n{i}", f"name {i}"] for i in range(1000)}
    module = sys.modules[applications.decode_predictions.__module__]
    monkeypatch.setattr(module, "CLASS_INDEX", names)  # which it would download
    probabilities = np.zeros((1, 1000))
    probabilities[0, [7, 3]] = 0.7, 0.3
    expected = [[("n7", "name 7", 0.7), ("n3", "name 3", 0.3)]]
    assert applications.decode_predictions(probabilities, top=2) == expected


@once
def test_decode_predictions_wants_the_thousand_classes_of_imagenet():
    with pytest.raises(ValueError, match="1000"):
        applications.decode_predictions(np.zeros((1, 10)))


# Training, precision, deployment


@EVERY_FAMILY
def test_every_trainable_weight_moves_in_one_step(family):
    model = tiny(family, classes=3)
    for variable in model.trainable_variables:
        if variable.path.endswith("_mix/gamma"):  # which starts at 0, a factor of the kernel
            variable.assign(np.ones(variable.shape))
    labels = np.arange(6) % 3
    assert unmoved(model, images(6, 8, 8, 3), labels, "sparse_categorical_crossentropy") == []


@EVERY_FAMILY
def test_a_prediction_is_the_same_alone_and_in_any_batch(family):
    model = tiny(family, classes=3)
    x = images(4, 8, 8, 3)
    together = run(model, x)
    for i in range(4):
        np.testing.assert_allclose(run(model, x[i : i + 1])[0], together[i], rtol=1e-4, atol=1e-6)


@once
@EVERY_FAMILY
def test_stochastic_depth_rises_linearly_from_zero(family):
    model = tiny(family, drop_path_rate=0.4)
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    blocks = 3 if "Cycle" in family else 2
    per_block = 1 if family in ("gMLP", "aMLP") else 2
    expected = np.repeat(np.linspace(0, 0.4, blocks)[1:], per_block)
    np.testing.assert_allclose(rates, expected)


@once
@EVERY_FAMILY
def test_stochastic_depth_of_a_single_block_is_that_of_the_last(family):
    single = {"depths": (1,), "dims": (8,), "mlp_ratios": (2,)}
    model = tiny(family, drop_path_rate=0.4, **(single if "Cycle" in family else {"depth": 1}))
    rates = {layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
    assert rates == {0.4}


def test_stochastic_depth_drops_whole_blocks_and_keeps_the_mean():
    model = tiny(include_top=False, depth=2, drop_path_rate=0.5)
    block = keras.Model(model.get_layer("block0_add").output, model.get_layer("block1_add").output)
    x = images(400, 4, 8)
    kept = ops.convert_to_numpy(block(x, training=False)) - x
    dropped = ops.convert_to_numpy(block(x, training=True)) - x
    is_zero = (dropped == 0).all((1, 2))
    np.testing.assert_allclose(dropped[~is_zero], 2 * kept[~is_zero], rtol=1e-3, atol=1e-5)
    assert 0.4 < is_zero.mean() < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("family", ["aMLP", "giCycleMLP", "ResMLP"])
@pytest.mark.parametrize(
    "policy", mostly_once(["mixed_bfloat16", "mixed_float16"], "mixed_bfloat16")
)
def test_mixed_precision_trains_and_classifies_in_float32(family, policy):
    keras.config.set_dtype_policy(policy)
    model = tiny(family, classes=3, drop_path_rate=0.1)
    assert model.get_layer("norm").compute_dtype == policy.removeprefix("mixed_")
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=JIT)
    history = model.fit(images(6, 8, 8, 3), np.arange(6) % 3, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert run(model, images(2, 8, 8, 3)).dtype == model.output.dtype == "float32"


@pytest.mark.backends("jax", "tensorflow")  # PyTorch takes minutes
@pytest.mark.slow
@EVERY_PATH
def test_model_compiles_just_in_time(family):
    model = tiny(family, classes=3, drop_path_rate=0.1)
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=True)
    model.fit(images(6, 8, 8, 3), np.arange(6) % 3, verbose=0)
    assert model.predict(images(2, 8, 8, 3), verbose=0).shape == (2, 3)


@pytest.mark.slow
@families_and("mode", ["int8", "int4", "float8"])
def test_a_quantized_model_predicts_the_same_when_saved_and_loaded(family, mode, tmp_path):
    model = tiny(family, classes=3)
    x = images(8, 8, 8, 3)
    expected = run(model, x)
    with pytest.warns(UserWarning, match="does not have a `quantize` method"):
        model.quantize(mode)
    dense = [x for x in model._flatten_layers() if isinstance(x, keras.layers.Dense)]
    assert {layer.quantization_mode for layer in dense} == {mode}
    quantized = run(model, x)
    np.testing.assert_allclose(quantized, expected, atol=0.05 if mode == "int8" else 0.3)
    for name in ("once", "twice"):
        model.save(tmp_path / f"{name}.keras")
        model = keras.saving.load_model(tmp_path / f"{name}.keras")
    np.testing.assert_allclose(run(model, x), quantized, rtol=1e-6)


@pytest.mark.slow
@EVERY_PATH
def test_a_quantized_model_keeps_what_lora_learned_when_saved_and_loaded(family, rng, tmp_path):
    model = tiny(family, classes=3)
    x = images(8, 8, 8, 3)
    dense = [x for x in model._flatten_layers() if isinstance(x, keras.layers.Dense)]
    for layer in dense:
        layer.enable_lora(2)
    with pytest.warns(UserWarning, match="does not have a `quantize` method"):
        model.quantize("int8")
    before = run(model, x)
    for layer in dense:
        layer.lora_kernel_b.assign(rng.normal(size=layer.lora_kernel_b.shape))
    expected = run(model, x)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    # Keras adds what was learned to the kernel and quantizes the sum, in int8 a small change.
    error = np.abs(run(loaded, x) - expected).mean() / np.abs(expected - before).mean()
    assert error < 0.1


def test_a_quantized_model_keeps_its_own_quantizers_when_saved_and_loaded(tmp_path):
    model = tiny("aMLP", classes=3)
    x = images(8, 8, 8, 3)
    with pytest.warns(UserWarning, match="does not have a `quantize` method"):
        model.quantize(config=keras.quantizers.Int8QuantizationConfig(activation_quantizer=None))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(run(loaded, x), run(model, x), rtol=1e-6)


@EVERY_PATH
def test_saved_and_loaded_model_gives_the_same(family, tmp_path):
    model = tiny(family, classes=3, drop_path_rate=0.1)
    x = images(2, 8, 8, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(run(loaded, x), run(model, x), rtol=1e-6)


@once
def test_every_family_is_here():
    builders = {builder for builder, _ in FAMILIES.values()}
    assert builders == {
        getattr(applications, b) for b in ("gMLP", "CycleMLP", "MLPMixer", "ResMLP", "AFT")
    }
