"""Model parallelism on JAX: what devices share, that they train the same model, what is refused."""

import contextlib
import functools

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

from keras_gimlp import applications, distribution
from tests.families import tiny
from tests.test_package import run_examples

BACKEND = keras.backend.backend()
on_jax = pytest.mark.backends("jax")  # Keras splits weights there alone

IMAGE = {"depth": 1, "classes": 4, "classifier_activation": None, "drop_path_rate": 0.2}
TEXT = {"vocabulary_size": 50, "depth": 1, "dim": 8, "ffn_dim": 16, "sequence_length": 8}
TEXT |= {"attention_dim": 4, "dropout": 0.2, "drop_path_rate": 0.2}
GATED = {"vocabulary_size": 50, "num_layers": 1, "num_heads": 2, "hidden_dim": 8, "dropout": 0.2}
GATED |= {"intermediate_dim": 16, "max_sequence_length": 8}
# A small model of each family, with the parts that only some models have.
MODELS = {
    "gMLP": lambda: tiny("aMLP", **IMAGE),
    "CycleMLP": lambda: tiny("giCycleMLP", depths=(1, 1), classes=4),
    "MLPMixer": lambda: tiny("MLPMixer", **IMAGE),
    "ResMLP": lambda: tiny("ResMLP", **IMAGE),
    "AFT": lambda: tiny("AFT", **IMAGE),
    "gMLP_MLM": lambda: applications.gMLPMaskedLM(applications.gMLP_MLM(**TEXT)),
    "AFT_MLM": lambda: applications.AFTMaskedLM(
        applications.AFT_MLM(**{k: v for k, v in TEXT.items() if k != "attention_dim"})
    ),
    "giBERT": lambda: applications.giBERTMaskedLM(applications.giBERT(**GATED)),
    "giRoBERTa": lambda: applications.giRoBERTaTextClassifier(
        applications.giRoBERTa(**GATED), num_classes=4
    ),
    "giDeBERTaV3": lambda: applications.TextRegressor(applications.giDeBERTaV3(**GATED)),
}
EVERY_FAMILY = pytest.mark.parametrize("family", MODELS)
TRAINED_FAMILIES = pytest.mark.parametrize(
    "family",
    ["MLPMixer", "gMLP_MLM", "giBERT"],
    scope="module",  # one after the other
)
# Two devices hold half of every matrix each, except for these.
WHOLE = ("block0_gate/spatial/kernel", "block0_tokens_mix/kernel", "segment_embedding/embeddings")
WHOLE += ("block0_mix/bias_rows", "block0_mix/bias_columns")
WHOLE += ("class_token/token", "class_token/positions")
# What one of two devices holds of a weight, and the weight.
SHARDS = {
    "gMLP": {
        "patch_embedding/kernel": ((4, 4, 3, 4), (4, 4, 3, 8)),
        "block0_attention/qkv/kernel": ((4, 12), (8, 12)),
        "block0_expand/kernel": ((8, 8), (8, 16)),
        "block0_expand/bias": ((8,), (16,)),
        "block0_attention/projection/kernel": ((4, 4), (4, 8)),
        "block0_contract/kernel": ((4, 8), (8, 8)),
        "block0_contract/bias": ((8,), (8,)),
        "predictions/kernel": ((4, 4), (8, 4)),
    },
    "AFT": {
        "block0_mix/qkv/kernel": ((8, 12), (8, 24)),
        "block0_mix/projection/kernel": ((4, 8), (8, 8)),
        "block0_mix/bias_rows": ((5, 4), (5, 4)),
        "block0_mlp_expand/kernel": ((8, 16), (8, 32)),
        "block0_mlp_contract/kernel": ((16, 8), (32, 8)),
    },
    "CycleMLP": {
        "stage0_block0_mix_width/dense/kernel": ((8, 4), (8, 8)),
        "stage0_block0_mix_channel/kernel": ((8, 4), (8, 8)),
        "stage0_block0_mix_fuse/contract/kernel": ((4, 2), (8, 2)),
        "stage0_block0_mix_fuse/expand/kernel": ((2, 12), (2, 24)),
        "stage0_block0_mix_project/kernel": ((4, 8), (8, 8)),
        "stage0_block0_gate/gate_projection/kernel": ((8, 8), (8, 16)),
        "stage0_block0_gate/inhibition_projection_0/kernel": ((8, 8), (16, 8)),
    },
    "gMLP_MLM": {"token_embedding/embeddings": ((25, 8), (50, 8))},
    "AFT_MLM": {"block0_mix/qkv/kernel": ((8, 12), (8, 24))},
    "giBERT": {
        "token_embedding/embeddings": ((50, 4), (50, 8)),
        "position_embedding/embeddings": ((8, 4), (8, 8)),
        "transformer_layer_0/self_attention_layer/key/kernel": ((8, 1, 4), (8, 2, 4)),
        "transformer_layer_0/self_attention_layer/key/bias": ((1, 4), (2, 4)),
        "transformer_layer_0/self_attention_layer/attention_output/kernel": ((1, 4, 8), (2, 4, 8)),
    },
    "giDeBERTaV3": {"rel_embedding/rel_embedding": ((512, 4), (512, 8))},
}


def rules_of(model, devices=2):
    mesh = keras.distribution.DeviceMesh((4 // devices, devices), ("batch", "model"))
    return distribution.layout_map(model, mesh)


def shared(family, devices=2):
    """Returns the scope in which `devices` of four share a model, and the others the batch."""
    rules = rules_of(getattr(applications, family), devices)
    return distribution.ModelParallel(layout_map=rules).scope()


@functools.cache
def built(family):
    """Returns a model that two devices share."""
    with shared(family):
        return MODELS[family]()


def shard(variable):
    """Returns the shape of what each device holds of a variable."""
    (shape,) = {shard.data.shape for shard in variable.value.addressable_shards}
    return shape


def whole_matrices(variables):
    return [v.path for v in variables if len(v.shape) > 1 and shard(v) == tuple(v.shape)]


def examples(model):
    """Returns eight examples for a model, with their labels."""
    rng = np.random.default_rng(0)
    if not isinstance(model.input, dict):
        return rng.normal(size=(8, 8, 8, 3)).astype("float32"), rng.integers(0, 4, 8)
    x = {key: rng.integers(0, 2, (8, 8)).astype("int32") for key in model.input}
    x["token_ids"] = rng.integers(0, 50, (8, 8)).astype("int32")
    x["padding_mask"] = (np.arange(8) < rng.integers(4, 9, (8, 1))).astype("int32")
    return x, rng.integers(0, 50, (8, 8))


@functools.cache
def trained(family, devices):
    """Returns a model after three steps on one device or on four, and its weights before them."""
    with contextlib.nullcontext() if devices == 1 else shared(family):
        keras.utils.set_random_seed(0)
        model = MODELS[family]()
        rng = np.random.default_rng(0)
        for variable in model.trainable_variables:  # gates that are not 1
            noise = rng.normal(size=variable.shape) / 4
            variable.assign(ops.convert_to_numpy(variable) + noise.astype("float32"))
        before = [ops.convert_to_numpy(variable) for variable in model.trainable_variables]
        # With the usual epsilon, AdamW makes steps of rounding errors where the gradient is zero.
        optimizer = keras.optimizers.AdamW(0.01, epsilon=1e-3)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, metrics=None)
        model.fit(*examples(model), batch_size=8, epochs=3, shuffle=False, verbose=0)
    return model, before


# What devices share


@on_jax
@EVERY_FAMILY
def test_devices_share_every_large_matrix_and_what_the_optimizer_stores_for_it(family):
    model = built(family)
    rules_of(getattr(applications, family)).check(model)
    optimizer = keras.optimizers.AdamW(gradient_accumulation_steps=2, use_ema=True)
    optimizer.build(model.trainable_variables)
    assert set(whole_matrices(model.weights)) <= set(WHOLE)
    held = {v.name: shard(v) for v in optimizer.variables}
    for variable in model.trainable_variables:
        name = variable.path.replace("/", "_")
        for kind in ("momentum", "velocity", "gradient_accumulator", "average"):
            assert held[f"{name}_{kind}"] == shard(variable), variable.path


@on_jax
@EVERY_FAMILY
def test_a_bias_is_shared_like_the_outputs_of_its_kernel(family):
    shards = {v.path: shard(v) for v in built(family).weights}
    for path, kernel in shards.items():
        bias = shards.get(path.removesuffix("kernel") + "bias")
        # Those of spatial weights are one per token.
        if path.endswith("/kernel") and bias and "/spatial/" not in path:
            assert kernel[-len(bias) :] == bias, path


@on_jax
@pytest.mark.parametrize("family", SHARDS)
def test_the_first_of_two_dense_layers_is_split_by_columns_and_the_second_by_rows(family):
    variables = {v.path: v for v in built(family).weights}
    expected = SHARDS[family]
    assert {path: (shard(variables[path]), variables[path].shape) for path in expected} == expected


@on_jax
def test_every_rule_for_a_part_is_for_a_part_that_some_model_has():
    unused = {f"(.*/)?{rule}" for rule in distribution.PARTS}
    for family in MODELS:
        rules = rules_of(getattr(applications, family))
        layouts = {id(rules[variable.path]) for variable in built(family).variables}
        unused -= {rule for rule, layout in rules.items() if id(layout) in layouts}
    assert not unused


@pytest.mark.slow
@on_jax
@pytest.mark.parametrize(
    "size",
    [
        *("gMLP_B", "CycleMLP_B5", "giCycleMLP_B3", "MLPMixer_H14", "ResMLP_B24"),
        *("AFT_Full_S", "AFT_Conv_B_32_25"),
        *("gMLP_MLM_XLarge", "aMLP_MLM_Large", "giBERT_Large", "giRoBERTa_Large"),
        "giDeBERTaV3_Large",
    ],
)
def test_eight_devices_can_share_the_published_sizes(size):
    devices = np.array([f"cpu:{i}" for i in range(8)])  # there are only four: no weight is made
    mesh = keras.distribution.DeviceMesh((1, 8), ("batch", "model"), devices)
    builder = getattr(applications, size)
    with keras.StatelessScope(initialize_variables=False):  # weights with a shape and no values
        model = builder()
    keras.utils.clear_session(free_memory=False)  # or the next scope gives them values
    distribution.layout_map(builder, mesh).check(model)


# Training


@pytest.mark.slow
@on_jax
@TRAINED_FAMILIES
def test_devices_that_share_a_model_train_it_like_one_device(family):
    # With dropout and stochastic depth: JAX draws the same numbers on any number of devices.
    (one, before), (four, _) = trained(family, 1), trained(family, 4)
    for start, expected, variable in zip(
        before, one.trainable_variables, four.trainable_variables, strict=True
    ):
        expected = ops.convert_to_numpy(expected)
        assert np.abs(expected - start).max() > 0, variable.path
        atol = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(
            ops.convert_to_numpy(variable), expected, rtol=0, atol=atol, err_msg=variable.path
        )


@pytest.mark.slow
@on_jax
@TRAINED_FAMILIES
def test_weights_stay_shared_while_they_are_trained(family):
    model, _ = trained(family, 4)
    assert set(whole_matrices(model.weights)) <= set(WHOLE)
    shapes = [shard(variable) for variable in model.trainable_variables]
    moments = [shard(variable) for variable in model.optimizer.variables[2:]]
    assert moments == [shape for shape in shapes for _ in range(2)]


@pytest.mark.slow
@on_jax
@TRAINED_FAMILIES
def test_a_shared_model_that_was_saved_loads_on_one_device_and_predicts_the_same(family, tmp_path):
    four, _ = trained(family, 4)
    four.save(tmp_path / "model.keras")
    one = keras.saving.load_model(tmp_path / "model.keras")
    assert {len(variable.value.devices()) for variable in one.variables} == {1}
    x, _ = examples(one)
    expected = one.predict(x, verbose=0)
    with shared(family):
        predicted = four.predict(x, verbose=0)
    np.testing.assert_allclose(predicted, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


# What is refused


@on_jax
def test_a_rule_that_matches_nothing_is_an_error():
    rules = rules_of(applications.MLPMixer)
    with pytest.raises(
        ValueError, match=r"match none: [^,]*_tokens_contract/kernel, [^,]*tokens_e"
    ):
        rules.check(built("ResMLP"))
    rules = rules_of(applications.ResMLP)
    rules[".*tokens_mixed/kernel"] = (None, "model")
    with pytest.raises(ValueError, match=r"Every rule must .* none: \.\*tokens_mixed/kernel$"):
        rules.check(built("ResMLP"))


@on_jax
def test_a_large_matrix_without_a_rule_is_an_error():
    rules, model = rules_of(applications.ResMLP), built("ResMLP")
    with pytest.raises(ValueError, match=r"none: block0_tokens_mix/kernel \(4, 4\)\. .* large=15"):
        rules.check(model, large=15)
    rules.check(model, large=16)
    rules["block0_tokens_mix/kernel"] = (None, "model")
    rules.check(model, large=15)


@on_jax
def test_devices_that_do_not_divide_an_axis_are_an_error_which_names_the_variable():
    message = r"4 devices for axis 1 of .*/query/kernel, \(8, 2, 4\), which has 2 values"
    with pytest.raises(ValueError, match=message):
        rules_of(applications.giBERT, 4).check(built("giBERT"))
    with shared("giBERT", 4), pytest.raises(ValueError, match=message):
        applications.giBERT(**GATED)


@on_jax
def test_the_family_is_found_from_builders_classes_and_models():
    encoder = built("gMLP_MLM").backbone
    for given, family in (
        (applications.gMLP, "gMLP"),
        (applications.giCycleMLP_B1, "CycleMLP"),
        (applications.gMLP_MLM_XLarge, "gMLP_MLM"),
        (applications.gMLPMaskedLM, "gMLP_MLM"),
        (applications.giDeBERTaV3_Large, "giDeBERTaV3"),
        (applications.giBERTTextClassifier, "giBERT"),
        (type("Mine", (applications.giRoBERTa,), {}), "giRoBERTa"),
        (encoder, "gMLP_MLM"),
        (applications.TokenClassifier(encoder, num_classes=3), "gMLP_MLM"),
        (keras.Sequential([built("ResMLP"), keras.layers.Dense(2)]), "ResMLP"),
        *((built(family), family) for family in MODELS),
    ):
        assert distribution.family_of(given) == family, given


@on_jax
def test_models_of_other_families_are_refused():
    plain = {key: value for key, value in GATED.items() if key != "dropout"}
    encoder = keras_hub.models.BertBackbone(**plain)
    for model in (encoder, keras_hub.models.BertBackbone, applications.TextRegressor, "gMLP_S"):
        with pytest.raises(ValueError, match="`model` must be a builder, class or model of `ker"):
            rules_of(model)


@on_jax
def test_a_mesh_without_an_axis_for_the_model_is_refused():
    mesh = keras.distribution.DeviceMesh((4,), ("batch",))
    with pytest.raises(ValueError, match=r'an axis named "model"\. .*axis_names=\(\'batch\',\)'):
        distribution.layout_map(applications.gMLP, mesh)


@on_jax
def test_the_example_runs():
    run_examples(distribution.layout_map.__doc__)


@pytest.mark.backends("tensorflow", "torch")
def test_other_backends_than_jax_are_refused():
    with pytest.raises(ValueError, match=f"needs the backend JAX, .*='{BACKEND}'"):
        distribution.layout_map(applications.gMLP, device_mesh=None)
