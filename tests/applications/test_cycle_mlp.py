"""CycleMLP and giCycleMLP: the formulas, the authors' outputs, dense prediction."""

import json

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

from keras_gimlp import applications
from tests import reference
from tests.conftest import GOLDEN, JIT, mostly_once, once
from tests.families import images, run, tiny

CHECKPOINT = GOLDEN / "cycle_mlp_tiny" / "checkpoint.pth"
VALUES = np.load(GOLDEN / "cycle_mlp_tiny" / "values.npz")
CONFIG = json.loads((GOLDEN / "cycle_mlp_tiny" / "config.json").read_text())


def recorded(**kwargs):
    """Our model of the sizes in `golden`, with the authors' weights."""
    arguments = {
        "input_shape": (None, None, 3),
        "depths": CONFIG["layers"],
        "dims": CONFIG["embed_dims"],
        "mlp_ratios": CONFIG["mlp_ratios"],
        "weights": CHECKPOINT,
    }
    if kwargs.get("include_top", True):
        arguments |= {"classes": 10, "classifier_activation": None}
    return applications.CycleMLP(**(arguments | kwargs))


def assert_close(outputs, expected):
    """To 1e-5 of the scale."""
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


# Parity


@pytest.mark.parametrize("kind", ["", "_nonsquare"])
def test_logits_equal_those_of_the_authors_at_any_size(kind):
    assert_close(run(recorded(), VALUES[f"images{kind}"]), VALUES[f"logits{kind}"])


@pytest.mark.slow
def test_feature_maps_equal_those_of_the_authors():
    with pytest.warns(UserWarning, match="keep their initial weights: stage0_norm, "):
        model = recorded(include_top=False, feature_maps=True)
    maps = model(VALUES["images"])
    assert list(maps) == ["P2", "P3", "P4", "P5"]
    for stage, level in enumerate(maps):
        assert_close(ops.convert_to_numpy(maps[level]), VALUES[f"stage{stage}"])


@pytest.mark.parametrize("inhibition", [0.0, 0.1, 0.3, 0.9])
def test_logits_of_the_subtracting_form_equal_those_of_the_authors(inhibition):
    model = recorded(gating="subtract", inhibition=inhibition, scope="batch")
    expected = VALUES[f"gi_logits_{inhibition}"]
    assert_close(run(model, VALUES["images"]), expected)
    if inhibition > 0:
        assert np.abs(expected - VALUES["logits"]).max() > 0.1


def test_without_inhibition_the_subtracting_form_is_cycle_mlp():
    model = recorded(gating="subtract", inhibition=0.0)
    np.testing.assert_array_equal(run(model, VALUES["images"]), run(recorded(), VALUES["images"]))


def test_a_gate_with_residual_starts_as_the_model_of_the_file():
    with pytest.warns(UserWarning, match="initial weights: stage0_block0_gate_norm, .* and 5 more"):
        model = recorded(gating="gate", gate_residual=True)
    assert_close(run(model, VALUES["images"]), VALUES["logits"])


def test_a_gate_without_residual_is_not_left_out():
    with pytest.raises(ValueError, match="missing from the file: stage0_block0_gate_norm/gamma"):
        recorded(gating="gate")


# Formulas


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"gating": "gate", "inhibition": 0.3},
        {"gating": "gate", "inhibition": 0.9, "gate_residual": True},
        {"gating": "subtract", "inhibition": 0.3},
    ],
    ids=lambda a: " ".join(map(str, a.values())) or "CycleMLP",
)
def test_block_equals_the_formula(rng, arguments):
    model = tiny("CycleMLP", include_top=False, **arguments)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape) / 2)
    block = "stage1_block1"
    before = model.get_layer("stage1_block0_mlp_add").output
    inputs, outputs = (
        ops.convert_to_numpy(x)
        for x in keras.Model(model.input, [before, model.get_layer(f"{block}_mlp_add").output])(
            images(2, 8, 8, 3)
        )
    )

    def of(*names):
        layers = [f"{block}_{name}/" for name in names]
        return [ops.convert_to_numpy(v) for x in layers for v in model.weights if x in v.path]

    mixing = {part: of(f"mix_{part}") for part in ("norm", "width", "height", "channel")}
    mixing |= {part: of(f"mix_{part}") for part in ("fuse", "project")}
    gate = subtract = None
    if arguments.get("gating") == "gate":
        residual = arguments.get("gate_residual", False)
        gate = (*of("gate_norm", "gate"), arguments["inhibition"], residual)
    elif arguments:
        subtract = arguments["inhibition"]
    for i in range(2):
        expected = reference.cycle_block(
            inputs[i],
            mixing,
            of("mlp_norm", "mlp_expand", "mlp_contract"),
            epsilon=1e-5,
            gate=gate,
            subtract=subtract,
        )
        np.testing.assert_allclose(outputs[i], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gating", mostly_once(["gate", "subtract"], "gate"))
@pytest.mark.parametrize("scope", ["example", "token", "batch"])
def test_only_in_scope_batch_a_prediction_depends_on_its_batch(gating, scope):
    model = tiny("CycleMLP", classes=3, gating=gating, scope=scope, inhibition=0.9)
    for variable in model.weights:
        variable.assign(variable + np.random.default_rng(1).normal(size=variable.shape) / 2)
    x = images(4, 8, 8, 3)
    together = run(model, x)
    alone = np.concatenate([run(model, x[i : i + 1]) for i in range(4)])
    if scope == "batch":
        assert np.abs(together - alone).max() > 1e-3
    else:
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)


# Dense prediction


def test_one_model_takes_images_of_any_size():
    model = tiny("giCycleMLP", include_top=False, input_shape=(None, None, 3))
    assert model.output_shape == (None, None, None, 12)
    for height, width in ((8, 8), (1, 1), (7, 30)):
        maps = run(model, images(1, height, width, 3))
        assert maps.shape == (1, -(-height // 4), -(-width // 4), 12)


@once
@pytest.mark.parametrize(("height", "width"), [(224, 224), (64, 96), (65, 97)])
def test_strides_of_the_feature_maps_are_those_of_their_names(height, width):
    model = applications.CycleMLP_B1(
        include_top=False,
        feature_maps=True,
        input_shape=(height, width, 3),
        depths=(1, 1, 1, 1),
        dims=(4, 4, 4, 4),
    )
    for level in range(2, 6):
        # As the authors' convolutions round: the stem down, the others up.
        rows, columns = ((size + 4 - 7) // 4 + 1 for size in (height, width))
        for _ in range(level - 2):
            rows, columns = -(-rows // 2), -(-columns // 2)
        assert model.output[f"P{level}"].shape == (None, rows, columns, 4)


def test_feature_maps_are_found_where_keras_hub_looks_for_them():
    model = tiny("CycleMLP", include_top=False, feature_maps=True)
    assert model.pyramid_outputs.keys() == {"P1", "P2"}
    again = keras.Model(model.input, model.pyramid_outputs["P2"])
    x = images(1, 8, 8, 3)
    np.testing.assert_array_equal(run(again, x), run(model, x)["P2"])


def test_saved_and_cloned_models_have_their_feature_maps(tmp_path):
    model = tiny("CycleMLP", include_top=False, feature_maps=True)
    model.save(tmp_path / "model.keras")
    x = images(1, 8, 8, 3)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for other in (loaded, clone):
        again = keras.Model(other.input, other.pyramid_outputs)
        assert list(other.pyramid_outputs) == ["P1", "P2"]
        for level, expected in run(model, x).items():
            np.testing.assert_allclose(run(again, x)[level], expected, rtol=1e-6)


def pyramid():
    sizes = {"depths": (1,) * 4, "dims": (4,) * 4, "mlp_ratios": (1,) * 4}
    return applications.CycleMLP(
        include_top=False, feature_maps=True, input_shape=(32, 32, 3), **sizes
    )


def detector():
    backbone = keras_hub.models.RetinaNetBackbone(
        pyramid(), min_level=3, max_level=5, use_p5=False, image_shape=(32, 32, 3)
    )
    task = keras_hub.models.RetinaNetObjectDetector(
        backbone, num_classes=2, pre_logits_num_conv_layers=1
    )
    boxes = np.array([[[4.0, 4.0, 20.0, 20.0]]] * 2, "float32")
    task.fit(
        images(2, 32, 32, 3),
        {"boxes": boxes, "labels": np.zeros((2, 1), "int32")},
        shuffle=False,
        verbose=0,
    )
    return task


def segmenter():
    backbone = keras_hub.models.DeepLabV3Backbone(
        pyramid(),
        spatial_pyramid_pooling_key="P5",
        low_level_feature_key="P2",
        upsampling_size=8,
        dilation_rates=[1],
        image_shape=(32, 32, 3),
    )
    task = keras_hub.models.DeepLabV3ImageSegmenter(backbone, num_classes=2)
    task.compile("sgd", "mse", jit_compile=JIT)
    if keras.backend.backend() != "torch":  # PyTorch fails in its pooling, whatever the encoder
        task.fit(
            images(2, 32, 32, 3), np.ones((2, *task.output_shape[1:])), shuffle=False, verbose=0
        )
    return task


def outputs_of(task, x):
    # Not `run`: what a detector predicts is decoded from these.
    return [ops.convert_to_numpy(y) for y in keras.tree.flatten(task(x))]


@pytest.mark.slow
@once
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # the detector starts at P3
@pytest.mark.filterwarnings("ignore:`compile..` was not called as part of model loading")
@pytest.mark.parametrize("make", [detector, segmenter])
def test_keras_hub_saves_and_loads_tasks_on_the_feature_maps(make, tmp_path):
    task = make()
    task.save(tmp_path / "task.keras")
    task.save_to_preset(tmp_path / "preset")
    x = images(2, 32, 32, 3)
    expected = outputs_of(task, x)
    for loaded in (
        keras.saving.load_model(tmp_path / "task.keras"),
        type(task).from_preset(str(tmp_path / "preset")),
    ):
        assert loaded.backbone.image_encoder.pyramid_outputs.keys() == {"P2", "P3", "P4", "P5"}
        for got, value in zip(outputs_of(loaded, x), expected, strict=True):
            np.testing.assert_allclose(got, value, rtol=1e-5, atol=1e-6)


@once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dims": (8, 12, 16)}, "`dims` must have one number for each of the 2 stages"),
        ({"mlp_ratios": (2,)}, "`mlp_ratios` must have one number for each"),
        ({"depths": (0, 1)}, "`depths\\[0\\]` must be a positive integer"),
        ({"dims": (True, 8)}, "`dims\\[0\\]` must be a positive integer"),
        ({"gating": "multiply"}, "`gating` must be .* Received: gating='multiply'"),
        ({"gating": "gate", "inhibition": 2.0}, "`inhibition` must be in \\[0, 1\\]"),
        ({"gating": "gate", "scope": "image"}, "`scope` must be"),
        ({"feature_maps": True}, "`feature_maps` needs include_top=False and pooling=None"),
        (
            {"feature_maps": True, "include_top": False, "stem_strides": 3},
            "`stem_strides` must be a power of two with `feature_maps`.* stem_strides=3",
        ),
        (
            {"stem_size": 2, "stem_strides": 4},
            "`stem_size` must be at least `stem_strides - 1`.* stem_size=2, stem_strides=4",
        ),
        ({"dims": (2, 12)}, "`reduction` must be at most the number of channels"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny("CycleMLP", **arguments)
