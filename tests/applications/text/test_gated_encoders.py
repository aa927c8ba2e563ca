"""giBERT, giRoBERTa and giDeBERTaV3: recorded outputs, invariances, presets."""

import inspect
import pickle
import shutil

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

from keras_gimlp import applications
from tests.conftest import GOLDEN, JIT, mostly_once, once
from tests.families import run
from tests.test_package import run_examples
from tests.training import unmoved

ENCODERS = {"giBERT": "gi_bert", "giRoBERTa": "gi_roberta", "giDeBERTaV3": "gi_deberta_v3"}
EVERY_ENCODER = pytest.mark.parametrize("name", ENCODERS)
# On all backends but one, the encoder that shares the least with KerasHub's stands for the others.
ONE_ENCODER = pytest.mark.parametrize("name", mostly_once(ENCODERS, "giDeBERTaV3"))
SIZES = {
    "vocabulary_size": 97,
    "num_layers": 3,
    "num_heads": 4,
    "hidden_dim": 16,
    "intermediate_dim": 32,
    "max_sequence_length": 40,
}


def folder(name):
    return GOLDEN / f"{ENCODERS[name]}_tiny"


def values(name):
    return np.load(folder(name) / "values.npz")


def tokens(name):
    names = ("token_ids", "padding_mask", *(("segment_ids",) if name == "giBERT" else ()))
    return {key: values(name)[key] for key in names}


def hidden(model, x):
    """Returns the last hidden states."""
    y = run(model, x)
    return y["sequence_output"] if isinstance(y, dict) else y


def recorded(name, **kwargs):
    return getattr(applications, name)(folder(name), **kwargs)


def small(name, seed=0, **kwargs):
    """A small encoder whose gates are not 1 and whose attention is not uniform."""
    model = getattr(applications, name)(**(SIZES | kwargs))
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(variable + rng.normal(size=variable.shape) / 3)
    return model


def fill_gates(model, name):
    gates = np.load(folder(name) / "gates.npz")
    for i, layer in enumerate(model.gated_attention_layers):

        def of(part, kind, i=i):
            return [gates[f"layer_{i}/{side}/{part}/{kind}"] for side in ("query", "key")]

        layer.gate.gate_projection.kernel.assign(np.concatenate(of("inhibition", "weight")).T)
        layer.gate.gate_projection.bias.assign(np.concatenate(of("inhibition", "bias")))
        for n, projection in enumerate(layer.gate.inhibition_projections):
            projection.kernel.assign(of("select", "weight")[n].T)
            projection.bias.assign(of("select", "bias")[n])


# Parity


@EVERY_ENCODER
def test_new_gates_leave_a_pretrained_encoder_as_it_was(name):
    x = tokens(name)
    real = x["padding_mask"] == 1
    outputs = hidden(recorded(name, inhibition=0.9), x)
    np.testing.assert_allclose(outputs[real], values(name)["plain"][real], atol=1e-5)
    if name != "giDeBERTaV3":
        plain_cls = getattr(applications, name).plain_cls
        plain = hidden(plain_cls.from_preset(str(folder(name))), x)
        np.testing.assert_allclose(outputs, plain, atol=1e-6)


@pytest.mark.slow
def test_gideberta_projects_relative_positions_once(monkeypatch):
    model = small("giDeBERTaV3", num_layers=1, bucket_size=4)
    projection = model.gated_attention_layers[0].part("query")
    project, shapes = projection.call, []
    monkeypatch.setattr(
        projection, "call", lambda x, **kwargs: shapes.append(x.shape) or project(x, **kwargs)
    )
    ones = np.ones((3, 5), "int32")
    model({"token_ids": ones, "padding_mask": ones})
    assert [tuple(shape) for shape in shapes] == [(3, 5, 16), (1, 8, 16)]


@pytest.mark.slow
def test_gideberta_with_open_gates_learns_what_deberta_learns():
    sizes = SIZES | {"num_layers": 2, "dropout": 0.0, "bucket_size": 4}
    gated, plain = small("giDeBERTaV3", **sizes), keras_hub.models.DebertaV3Backbone(**sizes)
    for weight in gated.weights:
        if "/gate/" in weight.path:  # all zeros make gates of 1
            weight.assign(weight * 0.0)
    shared = [weight for weight in gated.weights if "/gate/" not in weight.path]
    for ours, theirs in zip(shared, plain.weights, strict=True):
        theirs.assign(ops.convert_to_numpy(ours))
    x = {name: values("giDeBERTaV3")[name] for name in ("token_ids", "padding_mask")}
    y = np.random.default_rng(0).normal(size=(*x["token_ids"].shape, 16))
    for model in gated, plain:
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=JIT)
        model.fit(x, y, verbose=0)
    for ours, theirs in zip(shared, plain.weights, strict=True):
        ours, theirs = ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


# Over the batch, the maximum sees padding, to which KerasHub's RoBERTa gives other position
# embeddings than transformers does.
RECORDED = [(name, scope) for name in ENCODERS for scope in ("example", "token", "batch")]
RECORDED.remove(("giRoBERTa", "batch"))


@pytest.mark.parametrize("inhibition", mostly_once([0.0, 0.1, 0.3, 0.9], 0.3))
@pytest.mark.parametrize(("name", "scope"), RECORDED)
def test_outputs_equal_the_recorded_ones(name, scope, inhibition):
    model = recorded(name, scope=scope, inhibition=inhibition)
    fill_gates(model, name)
    x = tokens(name)
    real = x["padding_mask"] == 1
    expected = values(name)[f"gated_{scope}_{inhibition}"]
    assert np.abs(expected - values(name)["plain"])[real].max() > 0.01
    np.testing.assert_allclose(hidden(model, x)[real], expected[real], atol=1e-5)


def test_over_the_batch_giroberta_differs_by_as_much_as_it_says():
    model = recorded("giRoBERTa", scope="batch", inhibition=0.9)
    fill_gates(model, "giRoBERTa")
    x = tokens("giRoBERTa")
    real = x["padding_mask"] == 1
    difference = hidden(model, x) - values("giRoBERTa")["gated_batch_0.9"]
    assert 0.0051 < np.abs(difference)[real].max() < 0.0052
    assert "by up to 0.0052" in applications.giRoBERTa.__doc__


@pytest.mark.parametrize("inhibition", [0.3, 0.9])
def test_a_maximum_in_padding_is_that_of_the_released_code(inhibition, monkeypatch):
    # In this recording, every gate has its maximum over the batch at a padded position.
    monkeypatch.setitem(globals(), "folder", lambda name: GOLDEN / "gi_deberta_v3_padding")
    model = recorded("giDeBERTaV3", scope="batch", inhibition=inhibition)
    fill_gates(model, "giDeBERTaV3")
    x = tokens("giDeBERTaV3")
    real = x["padding_mask"] == 1
    expected = values("giDeBERTaV3")[f"gated_batch_{inhibition}"]
    np.testing.assert_allclose(hidden(model, x)[real], expected[real], atol=2e-5)


# Invariances


@EVERY_ENCODER
@pytest.mark.parametrize("scope", mostly_once(["example", "token"], "example"))
def test_an_example_depends_on_neither_its_batch_nor_its_padding(name, scope):
    model = small(name, scope=scope)
    x = tokens(name)
    together = hidden(model, x)
    width = x["padding_mask"].shape[1]
    for i, length in enumerate(x["padding_mask"].sum(1)):
        for padded in (length, width, width + 11) if i == 1 else (width,):
            alone = {
                key: np.pad(value[i : i + 1, :length], ((0, 0), (0, padded - length)))
                for key, value in x.items()
            }
            np.testing.assert_allclose(
                hidden(model, alone)[0, :length], together[i, :length], rtol=1e-4, atol=1e-5
            )


@EVERY_ENCODER
def test_in_scope_batch_an_example_depends_on_its_batch(name):
    model = small(name, scope="batch", inhibition=0.9)
    x = tokens(name)
    alone = [hidden(model, {k: v[i : i + 1] for k, v in x.items()})[0] for i in range(3)]
    real = x["padding_mask"] == 1
    assert np.abs(hidden(model, x) - alone)[real].max() > 1e-3


# Gates


@once
@EVERY_ENCODER
@pytest.mark.parametrize(
    ("arguments", "sides", "layers"),
    [
        ({}, 2, 3),
        ({"gated_layers": 1}, 2, 1),
        ({"gate_query": False}, 1, 3),
        ({"gate_key": False, "gated_layers": 2}, 1, 2),
        ({"rank": 4}, 2, 3),
    ],
)
def test_gates_add_the_published_count_of_parameters(name, arguments, sides, layers):
    model = small(name, **arguments)
    plain = type(model).plain_cls(**SIZES)
    d, r = 16, arguments.get("rank", 16)
    per_gate = d * r + r + r * d + d
    assert model.count_params() - plain.count_params() == sides * layers * per_gate
    assert len({v.path for v in model.weights}) == len({id(v) for v in model.weights})
    assert len(model.weights) == len({id(v) for v in model.weights})
    gated = [layer.name for layer in model.transformer_layers[-layers:]]
    assert {v.path.split("/")[0] for v in model.gate_variables()} == set(gated)


@EVERY_ENCODER
def test_every_trainable_weight_is_reached_by_the_loss(name):
    model = small(name, dropout=0.0)
    x = tokens(name)
    outputs = model.output["sequence_output"] if name == "giBERT" else model.output
    trained = keras.Model(model.input, outputs)
    targets = np.random.default_rng(0).normal(size=hidden(model, x).shape)
    assert unmoved(trained, x, targets, "mse") == []


@EVERY_ENCODER
def test_gates_alone_are_trained_on_request(name):
    model = small(name, trainable="gates")
    trainable = {id(v) for v in model.trainable_variables}
    assert trainable == {id(v) for v in model.gate_variables()}
    again = type(model).from_config(model.get_config())
    assert len(again.trainable_variables) == len(trainable)


@ONE_ENCODER
def test_gates_are_saved_and_loaded_without_the_encoder(name, tmp_path):
    model = small(name)
    model.save_gates(tmp_path / "gates.safetensors")
    assert (tmp_path / "gates.safetensors").stat().st_size < 30_000
    other = small(name, seed=1)
    with pytest.raises(ValueError, match="trained with other encoder weights"):
        other.load_gates(tmp_path / "gates.safetensors")
    for variable, value in zip(other.encoder_variables(), model.encoder_variables(), strict=True):
        variable.assign(ops.convert_to_numpy(value))
    other.load_gates(tmp_path / "gates.safetensors")
    x = tokens(name)
    np.testing.assert_allclose(hidden(other, x), hidden(model, x), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="The gates in the file are of another form"):
        small(name, inhibition=0.1).load_gates(tmp_path / "gates.safetensors")


# Presets


@pytest.mark.slow
@pytest.mark.parametrize("name", ["giBERT", "giDeBERTaV3"])
def test_a_preset_gives_the_sizes_without_its_weights(name, tmp_path):
    cls = getattr(applications, name)
    shutil.copy(folder(name) / "config.json", tmp_path)
    model = cls.from_preset(str(tmp_path), load_weights=False, inhibition=0.1)
    assert (model.inhibition, model.weights_source) == (0.1, None)
    small(name).save_to_preset(str(tmp_path / "ours"))
    (tmp_path / "ours" / "model.weights.h5").unlink()
    ours = cls.from_preset(str(tmp_path / "ours"), load_weights=False)
    assert ours.get_config() == small(name).get_config() | {"name": ours.name}


@ONE_ENCODER
def test_a_saved_preset_is_the_same_model(name, tmp_path):
    model = small(name, inhibition=0.1, gated_layers=2, scope="token", rank=4, activation="silu")
    model.save_to_preset(str(tmp_path))
    for cls in (type(model), keras_hub.models.Backbone):
        loaded = cls.from_preset(str(tmp_path))
        assert type(loaded) is type(model)
        assert loaded.gate_config() == model.gate_config()
        x = tokens(name)
        np.testing.assert_allclose(hidden(loaded, x), hidden(model, x), rtol=1e-5, atol=1e-6)


@once
def test_a_wrong_argument_beside_a_saved_preset_is_what_is_complained_of(tmp_path):
    small("giBERT").save_to_preset(str(tmp_path))
    with pytest.raises(ValueError, match="`gated_layers` must be at most `num_layers`"):
        applications.giBERT.from_preset(str(tmp_path), gated_layers=9)


@EVERY_ENCODER
def test_from_preset_takes_the_preset_of_a_plain_encoder(name):
    cls = getattr(applications, name)
    model = cls.from_preset(str(folder(name)), inhibition=0.1)
    assert isinstance(model, cls)
    assert model.inhibition == 0.1
    x = tokens(name)
    real = x["padding_mask"] == 1
    np.testing.assert_allclose(hidden(model, x)[real], values(name)["plain"][real], atol=1e-5)


# KerasHub writes the optimizer's state beside the classifier and does not read it again.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
@pytest.mark.slow
@ONE_ENCODER
def test_a_classifier_is_trained_and_found_again_in_its_preset(name, tmp_path):
    classifier = getattr(applications, f"{name}TextClassifier")(
        backbone=small(name), num_classes=2, preprocessor=None
    )
    classifier.compile("sgd", "sparse_categorical_crossentropy", jit_compile=JIT)
    x = tokens(name)
    classifier.fit(x, np.array([0, 1, 0]), shuffle=False, verbose=0)
    classifier.save_to_preset(str(tmp_path))
    for cls in (type(classifier), keras_hub.models.TextClassifier):
        loaded = cls.from_preset(str(tmp_path), preprocessor=None)
        assert type(loaded) is type(classifier)
        np.testing.assert_allclose(
            loaded.predict(x, verbose=0), classifier.predict(x, verbose=0), rtol=1e-4, atol=1e-5
        )


@ONE_ENCODER
def test_masked_language_model_is_tied_to_the_embedding(name):
    model = small(name)
    task = getattr(applications, f"{name}MaskedLM")(backbone=model, preprocessor=None)
    x = tokens(name) | {"mask_positions": np.array([[0, 2]] * 3)}
    assert task.predict(x, verbose=0).shape == (3, 2, 97)
    assert task.count_params() < model.count_params() + 97 * 16


@pytest.mark.slow
@ONE_ENCODER
def test_logits_have_the_digits_of_float32_under_mixed_precision(name):
    model = small(name, dtype="mixed_bfloat16")
    x = tokens(name)
    positions = {"mask_positions": np.array([[0, 2]] * len(x["token_ids"]))}
    classifier = getattr(applications, f"{name}TextClassifier")(model, num_classes=2)
    masked_lm = getattr(applications, f"{name}MaskedLM")(model)
    for task, inputs in ((classifier, x), (masked_lm, x | positions)):
        outputs = task(inputs)
        assert keras.backend.standardize_dtype(outputs.dtype) == task.output.dtype == "float32"
        rounded = ops.cast(ops.cast(outputs, "bfloat16"), "float32")
        assert np.abs(ops.convert_to_numpy(outputs - rounded)).max() > 0


def test_a_masked_language_model_does_not_train_the_pooler():
    model = small("giBERT")
    task, classifier = (
        applications.giBERTMaskedLM(model),
        applications.giBERTTextClassifier(model, 2),
    )
    assert not any("pooled" in v.path for v in task.trainable_variables)
    assert any("pooled" in v.path for v in classifier.trainable_variables)


@once
@EVERY_ENCODER
def test_tasks_of_keras_hub_are_classes_like_others(name):
    for kind in (
        *("Tokenizer", "TextClassifierPreprocessor", "MaskedLMPreprocessor"),
        *("TextClassifier", "MaskedLM"),
    ):
        cls = getattr(applications, name + kind)
        assert pickle.loads(pickle.dumps(cls)) is cls
        assert keras.saving.get_registered_name(cls) == f"keras_gimlp>{name}{kind}"
        assert cls.__doc__.startswith("`keras_hub.models.")
        assert cls.backbone_cls is getattr(applications, name)


@once
@EVERY_ENCODER
def test_the_signature_and_the_docstring_name_every_argument(name):
    cls = getattr(applications, name)
    plain = inspect.signature(cls.plain_cls).parameters
    signature = inspect.signature(cls).parameters
    assert set(plain) - {"kwargs"} < set(signature)
    assert {"weights", *small(name).gate_config(), "trainable", "name"} < set(signature)
    for argument in signature:
        assert f"\n        {argument}: " in cls.__doc__
    assert f"Defaults to the preset's, or {plain['dropout'].default}." in cls.__doc__
    assert small(name).dropout == plain["dropout"].default
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'num_layer'"):
        cls(num_layer=3)


@pytest.mark.slow
@once
@EVERY_ENCODER
def test_named_sizes_are_those_of_the_published_encoders(name, without_values):
    published = {
        "giBERT_Tiny": 4_385_920,
        "giBERT_Base": 109_482_240,
        "giBERT_Large": 335_141_888,
        "giRoBERTa_Base": 124_052_736,
        "giRoBERTa_Large": 354_307_072,
        "giDeBERTaV3_XSmall": 70_682_112,
        "giDeBERTaV3_Small": 141_304_320,
        "giDeBERTaV3_Base": 183_831_552,
        "giDeBERTaV3_Large": 434_012_160,
    }
    assert list(published) == applications.list_models("gi*", kind="text")
    for size, parameters in published.items():
        if size.partition("_")[0] == name:
            model = getattr(applications, size)()
            assert model.count_params() == getattr(applications, size).parameters
            encoder = sum(np.prod(v.shape) for v in model.encoder_variables())
            assert encoder == parameters
            h, depth = model.hidden_dim, model.num_layers
            assert model.count_params() - encoder == depth * 2 * 2 * (h * h + h)
            del model


# Deployment


@EVERY_ENCODER
def test_mixed_precision_computes_in_half(name):
    model = small(name, dtype="mixed_bfloat16")
    layer = model.gated_attention_layers[0]
    assert layer.gate.gate_projection.compute_dtype == "bfloat16"
    assert {v.dtype for v in model.weights} == {"float32"}
    assert np.isfinite(hidden(model, tokens(name)).astype("float32")).all()


@EVERY_ENCODER
def test_lora_reaches_the_projections_under_the_gates(name):
    model = small(name)
    model.enable_lora(2)
    trained = [v.path for v in model.trainable_variables]
    assert sum("lora" in path for path in trained) == 3 * 2 * 2  # layers, query and value, factors
    assert not any("/gate/" in path for path in trained)


@pytest.mark.parametrize("name", ["giBERT", "giDeBERTaV3"])
def test_gates_quantize_to_int8(name):
    model = small(name, num_layers=1)
    x = tokens(name)
    expected = hidden(model, x)
    with pytest.warns(UserWarning, match="does not have a `quantize` method"):
        model.quantize("int8")
    gate = model.gated_attention_layers[0].gate
    dense = [gate.gate_projection, *gate.inhibition_projections]
    assert [layer.quantization_mode for layer in dense] == ["int8"] * 3
    assert np.abs(hidden(model, x) - expected).max() < 0.2 * np.abs(expected).max()


@pytest.mark.slow
@once
@EVERY_ENCODER
def test_examples_in_docstrings_run(name):
    run_examples(getattr(applications, name).__doc__)


# Errors


@once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inhibition": 1.5}, "`inhibition` must be in \\[0, 1\\]"),
        ({"gated_layers": 4}, "at most `num_layers`. Received: gated_layers=4, num_layers=3"),
        ({"gated_layers": True}, "`gated_layers` must be a positive integer or None"),
        ({"rank": 0}, "`rank` must be a positive integer or None. Received: rank=0"),
        ({"scope": "image"}, "`scope` must be"),
        ({"gate_query": False, "gate_key": False}, "`gate_query` or `gate_key` must be true"),
        ({"trainable": "head"}, '`trainable` must be True, False or "gates"'),
        ({"num_heads": None}, "needs `weights`, or its sizes. Missing: num_heads"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        small("giBERT", **arguments)


@once
@EVERY_ENCODER
def test_a_preset_of_another_architecture_is_refused(name):
    other = "giRoBERTa" if name == "giBERT" else "giBERT"
    with pytest.raises(ValueError, match=f"must be a preset of .*{ENCODERS[other][3:6]}"[:30]):
        getattr(applications, name)(folder(other))


@once
def test_a_deberta_folder_of_another_version_is_refused(tmp_path):
    import json

    shutil.copytree(folder("giDeBERTaV3"), tmp_path / "copy")
    config = json.loads((tmp_path / "copy" / "config.json").read_text())
    config["norm_rel_ebd"] = "none"
    (tmp_path / "copy" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="another form of DeBERTa than version 3: .*norm_rel_ebd"):
        applications.giDeBERTaV3(tmp_path / "copy")
