"""Heads on text encoders: their equations, what they train, their presets."""

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

from keras_gimlp import applications
from tests.conftest import mostly_once, once
from tests.families import run
from tests.test_package import python, run_examples
from tests.training import unmoved

SIZES = {
    "vocabulary_size": 50,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 16,
    "max_sequence_length": 20,
}
# Arguments, shape of the inputs, labels, shape of the outputs.
HEADS = {
    "TextRegressor": ({}, (3, 10), np.array([0.5, 4.0, 1.0]), (3, 1)),
    "MultipleChoice": ({"num_choices": 4}, (3, 4, 10), np.array([0, 3, 1]), (3, 4)),
    "TokenClassifier": (
        {"num_classes": 5},
        (3, 10),
        np.where(np.arange(10) < 6, np.arange(30).reshape(3, 10) % 5, -1),
        (3, 10, 5),
    ),
    "SpanExtractor": ({}, (3, 10), np.array([[1, 4], [0, 0], [5, 5]]), (3, 2, 10)),
}
EVERY_HEAD = pytest.mark.parametrize("name", HEADS)
EVERY_BACKBONE = pytest.mark.parametrize("gated", [True, False])
ONE_BACKBONE = pytest.mark.parametrize("gated", mostly_once([True, False], True))


def backbone(gated, **kwargs):
    """A gated BERT, whose output is a dictionary, or a plain RoBERTa, which gives one tensor."""
    cls = applications.giBERT if gated else keras_hub.models.RobertaBackbone
    model = cls(**SIZES, **kwargs)
    rng = np.random.default_rng(0)
    for variable in model.weights:  # gates that are not 1, vectors that are not all alike
        variable.assign(variable + rng.normal(size=variable.shape) / 3)
    return model


def inputs(encoder, shape):
    rng = np.random.default_rng(1)
    mask = np.arange(shape[-1]) < rng.integers(6, shape[-1] + 1, (*shape[:-1], 1))
    x = {
        "token_ids": np.where(mask, rng.integers(2, 50, shape), 0),
        "segment_ids": rng.integers(0, 2, shape),
        "padding_mask": mask,
    }
    return {name: x[name].astype("int32") for name in encoder.input}


def build(name, gated, **kwargs):
    arguments, shape, labels, expected = HEADS[name]
    encoder = backbone(gated)
    task = getattr(applications, name)(encoder, **(arguments | kwargs))
    return task, inputs(encoder, shape), labels, expected


def hidden(encoder, x):
    """Returns the vectors of the tokens, and the pooled output where there is one."""
    y = encoder(x)
    y = y if isinstance(y, dict) else {"sequence_output": y}
    return {key: ops.convert_to_numpy(value) for key, value in y.items()}


def weights(task, layer):
    return [ops.convert_to_numpy(v) for v in task.get_layer(layer).weights]


def vector(task, x):
    """Returns the vector of an example that the heads for whole texts take."""
    y = hidden(task.backbone, x)
    if "pooled_output" in y:
        return y["pooled_output"]
    kernel, bias = weights(task, "pooled_dense")
    return np.tanh(y["sequence_output"][:, 0] @ kernel + bias)


@EVERY_HEAD
@EVERY_BACKBONE
def test_outputs_are_those_of_the_equations(name, gated):
    task, x, _, shape = build(name, gated)
    kernel, bias = weights(task, "logits")
    if name == "TextRegressor":
        expected = vector(task, x) @ kernel + bias
    elif name == "MultipleChoice":
        choices = [vector(task, {k: v[:, i] for k, v in x.items()}) for i in range(4)]
        expected = np.concatenate([choice @ kernel + bias for choice in choices], axis=-1)
    else:
        expected = hidden(task.backbone, x)["sequence_output"] @ kernel + bias
    if name == "SpanExtractor":
        mask = x["padding_mask"][:, None] == 1
        expected = np.where(mask, expected.transpose(0, 2, 1), -1e4)
    outputs = run(task, x)
    assert outputs.shape == shape
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


@EVERY_HEAD
@ONE_BACKBONE
def test_the_loss_reaches_every_trainable_weight(name, gated):
    task, x, labels, _ = build(name, gated, **({} if name == "SpanExtractor" else {"dropout": 0.0}))
    for layer in task.backbone._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    assert unmoved(task, x, labels, "auto") == []


@once
@pytest.mark.parametrize("name", ["TokenClassifier", "SpanExtractor"])
def test_the_pooler_is_not_trained_where_no_loss_reaches_it(name):
    task, *_ = build(name, gated=True)
    assert not any("pooled" in v.path for v in task.trainable_variables)
    assert any("pooled" in v.path for v in task.weights)


@pytest.mark.parametrize("tagger_first", [True, False])
def test_a_head_leaves_the_encoder_as_it_was(tagger_first, tmp_path):
    encoder = backbone(gated=True)
    trainable = [v.path for v in encoder.trainable_variables]
    heads = [lambda: applications.TokenClassifier(encoder, 3), applications.TextRegressor]
    if tagger_first:
        tagger, regressor = heads[0](), heads[1](encoder)
    else:
        regressor, tagger = heads[1](encoder), heads[0]()
    tagger.save_to_preset(str(tmp_path))
    saved = applications.TokenClassifier.from_preset(str(tmp_path))
    another = applications.TextRegressor.from_preset(str(tmp_path))
    assert [v.path for v in encoder.trainable_variables] == trainable
    for task, pooled in ((tagger, 0), (saved, 0), (regressor, 2), (another, 2)):
        assert sum("pooled" in v.path for v in task.trainable_variables) == pooled
        assert len(task.trainable_weights) == len(trainable) + pooled  # 2 less, 2 of the head more
        assert len(task.trainable_weights) + len(task.non_trainable_weights) == len(task.weights)
        variables = [*task.trainable_variables, *task.non_trainable_variables]
        assert {id(v) for v in variables} == {id(v) for v in task.variables}
    tagger.trainable = False
    assert tagger.trainable_variables == []


@pytest.mark.slow
@EVERY_HEAD
@ONE_BACKBONE
def test_logits_have_the_digits_of_float32_under_mixed_precision(name, gated):
    arguments, shape, _, expected = HEADS[name]
    encoder = backbone(gated, dtype="mixed_bfloat16")
    task = getattr(applications, name)(encoder, **arguments)
    outputs = task(inputs(encoder, shape))
    assert keras.backend.standardize_dtype(outputs.dtype) == task.output.dtype == "float32"
    assert ops.shape(outputs) == expected
    rounded = ops.cast(ops.cast(outputs, "bfloat16"), "float32")
    assert np.abs(ops.convert_to_numpy(outputs - rounded)).max() > 0


def test_labels_of_minus_one_do_not_count():
    task, x, labels, _ = build("TokenClassifier", gated=False)
    loss = task.evaluate(x, labels, verbose=0)
    scores = run(task, x).astype("float64")
    log = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    counted = labels != -1
    expected = -np.take_along_axis(log, labels[..., None] * counted[..., None], -1)[..., 0]
    np.testing.assert_allclose(loss, expected[counted].mean(), rtol=1e-4)


@EVERY_HEAD
def test_a_saved_preset_is_the_same_task(name, tmp_path):
    task, x, *_ = build(name, gated=True)
    task.save_to_preset(str(tmp_path))
    loaded = type(task).from_preset(str(tmp_path))
    assert loaded.get_config().keys() == task.get_config().keys()
    np.testing.assert_allclose(run(loaded, x), run(task, x), rtol=1e-5, atol=1e-6)


@once
@EVERY_HEAD
def test_a_preset_saved_under_mixed_precision_is_loaded_in_the_current_one(name, tmp_path):
    task = getattr(applications, name)(backbone(True, dtype="mixed_bfloat16"), **HEADS[name][0])
    task.save_to_preset(str(tmp_path))
    loaded = type(task).from_preset(str(tmp_path))
    assert loaded.backbone.dtype_policy.name == "float32"
    for got, expected in zip(loaded.weights, task.weights, strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (got, expected)))


@EVERY_HEAD
def test_a_preset_of_an_encoder_gets_a_new_head(name, tmp_path):
    encoder = backbone(gated=False)
    encoder.save_to_preset(str(tmp_path))
    task = getattr(applications, name).from_preset(str(tmp_path), **HEADS[name][0])
    x = inputs(encoder, (2, 10))
    for key, value in hidden(encoder, x).items():
        np.testing.assert_allclose(hidden(task.backbone, x)[key], value, rtol=1e-5, atol=1e-6)


@once
@EVERY_HEAD
def test_a_preset_gives_the_sizes_without_its_weights(name, tmp_path):
    encoder = backbone(gated=False)
    encoder.save_to_preset(str(tmp_path))
    (tmp_path / "model.weights.h5").unlink()
    cls = getattr(applications, name)
    task = cls.from_preset(str(tmp_path), load_weights=False, **HEADS[name][0])
    assert task.backbone.get_config() == encoder.get_config()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["TextRegressor", "giBERTTextClassifier"])
def test_a_saved_task_goes_on_training_as_it_was_compiled(name, tmp_path):
    encoder = backbone(gated=True)
    arguments = {"num_classes": 2} if name == "giBERTTextClassifier" else {}
    task = getattr(applications, name)(encoder, **arguments)
    task.compile(keras.optimizers.SGD(0.03, momentum=0.9), loss="mse" if not arguments else "auto")
    x, labels = inputs(encoder, (3, 10)), np.array([0, 1, 1])
    task.fit(x, labels, shuffle=False, verbose=0)
    task.save(tmp_path / "task.keras")
    loaded = keras.saving.load_model(tmp_path / "task.keras")
    assert loaded.compiled
    assert loaded.optimizer.get_config() == task.optimizer.get_config()
    for one, other in zip(loaded.optimizer.variables, task.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(one), ops.convert_to_numpy(other))
    np.testing.assert_allclose(
        loaded.evaluate(x, labels, verbose=0), task.evaluate(x, labels, verbose=0), rtol=1e-5
    )


@pytest.mark.process
@once
def test_a_head_in_a_new_process_knows_every_preset_of_ours(tmp_path):
    text_gmlp = applications.gMLP_MLM(vocabulary_size=50, depth=1, dim=8, ffn_dim=16)
    backbone(gated=True).save_to_preset(str(tmp_path / "gated"))
    text_gmlp.save_to_preset(str(tmp_path / "gmlp"))
    output = python(
        "import sys\n"
        "from keras_gimlp import applications\n"
        "for preset in sys.argv[1:]:\n"
        "    head = applications.TokenClassifier.from_preset(preset, num_classes=3)\n"
        "    print(type(head.backbone).__name__)\n",
        tmp_path / "gated",
        tmp_path / "gmlp",
    )
    assert output.split() == ["giBERT", "gMLP_MLM"]


@once
@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("MultipleChoice", {"num_choices": 1}, "`num_choices` must be at least 2. Received"),
        ("TokenClassifier", {"num_classes": 1}, "`num_classes` must be at least 2. Received"),
    ],
)
def test_wrong_arguments_are_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(name, gated=False, **arguments)


@pytest.mark.slow
@once
@EVERY_HEAD
def test_examples_in_docstrings_run(name):
    run_examples(getattr(applications, name).__doc__)
