"""The pictures of models: what is drawn is what the weights and the outputs are."""

import json

import keras
import keras_hub
import matplotlib.image
import numpy as np
import pytest
from keras import ops
from matplotlib.figure import Figure

from keras_gimlp import applications, layers
from recipes.draw import (
    PictureError,
    examples,
    figures,
    gates,
    gradients,
    reach,
    saliency,
    spatial_filters,
    toeplitz_kernels,
)
from recipes.draw import __main__ as draw
from recipes.program import layers_within
from tests import reference
from tests.conftest import GOLDEN, everywhere, once
from tests.families import images, run, tiny

SAVED = GOLDEN / "saved"
VALUES = np.load(SAVED / "values.npz")
TEXT = {"vocabulary_size": 30, "depth": 3, "dim": 8, "ffn_dim": 16, "sequence_length": 12}
applications.giBERT  # noqa: B018  from then on Keras and KerasHub know the text models
pytestmark = [
    once,
    pytest.mark.slow,
    # KerasHub compiles what it loads from a preset, before an optimizer has a state to load,
    pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer"),
    # and leaves closing the SentencePiece model to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def random(model, seed=0):
    """Returns a model with weights of which none is zero."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape))
    return model


def drawn(figure):
    """Returns the matrices that a figure shows, without those of its color bars."""
    return [image.get_array() for axes in figure.axes for image in axes.get_images()]


def matrix_of(projection, tokens):
    """Returns what a projection multiplies tokens with, found by calling it."""
    eye = np.eye(tokens, dtype="float32")[None]
    y = ops.convert_to_numpy(projection(eye) - projection(np.zeros_like(eye)))[0]
    return y if "spatial" in projection.name else y.T  # the dense layers contract the last axis


# Spatial filters


@pytest.mark.parametrize(
    ("family", "layer"),
    [
        ("gMLP", "block{}_gate"),
        ("aMLP", "block{}_gate"),
        ("MLPMixer", "block{}_tokens_expand"),
        ("ResMLP", "block{}_tokens_mix"),
    ],
)
def test_filters_are_rows_of_the_spatial_weights_on_the_grid(family, layer):
    model = random(tiny(family, input_shape=(8, 12, 3)))  # 2 x 3 patches
    figure = spatial_filters.draw(model)
    found = iter(drawn(figure))
    for block in range(2):
        projection = model.get_layer(layer.format(block))
        projection.activation = keras.activations.linear
        W = matrix_of(getattr(projection, "spatial", projection), tokens=6)
        assert W.shape == (6, 6)
        for row in W:
            np.testing.assert_allclose(next(found), row.reshape(2, 3), atol=1e-5)
    assert next(found, None) is None


def test_the_cross_is_on_the_patch_of_the_token():
    model = random(tiny(input_shape=(8, 12, 3)))
    found = spatial_filters.draw(model, blocks=[1], tokens=[4, 2])
    pictures = [axes for axes in found.axes if axes.get_images()]
    places = [tuple(float(x) for x in axes.lines[0].get_xydata()[0]) for axes in pictures]
    assert places == [(1, 1), (2, 0)]  # x, y
    assert [axes.get_title() for axes in pictures] == ["1, 1", "0, 2"]
    assert pictures[0].get_ylabel() == "block1"
    W = matrix_of(model.get_layer("block1_gate").spatial, tokens=6)
    np.testing.assert_allclose(pictures[1].get_images()[0].get_array().ravel(), W[2], atol=1e-5)


def test_colors_have_zero_in_the_middle_and_are_one_scale_a_block():
    model = random(tiny())
    pictures = [axes for axes in spatial_filters.draw(model).axes if axes.get_images()]
    for block in range(2):
        images = [axes.get_images()[0] for axes in pictures[4 * block : 4 * block + 4]]
        limits = {image.get_clim() for image in images}
        ((low, high),) = limits
        assert -low == high == pytest.approx(max(np.abs(x.get_array()).max() for x in images))


def test_nine_tokens_are_chosen_all_over_the_grid():
    assert spatial_filters.places(7, 9) == [9 + 1, 9 + 4, 9 + 7, 28, 31, 34, 46, 49, 52]
    assert spatial_filters.places(1, 2) == [0, 1]
    assert figures.spread(30, 6) == [0, 6, 12, 17, 23, 29]
    assert figures.spread(2, 6) == [0, 1]


# Toeplitz kernels


@pytest.mark.parametrize("attention_dim", [None, 4])
def test_kernels_are_the_weights_by_the_position_that_is_read(attention_dim):
    model = random(applications.gMLP_MLM(**TEXT, attention_dim=attention_dim))
    figure = toeplitz_kernels.draw(model, blocks=[2])
    (found,) = drawn(figure)
    assert found.shape == (3, 23)
    curve = figure.axes[1].lines[0]
    for block, row in enumerate(found):
        W = matrix_of(model.get_layer(f"block{block}_gate").spatial, tokens=12)
        largest = np.abs(W).max()
        for i, j in ((0, 11), (11, 0), (3, 2), (5, 5)):
            assert row[11 + j - i] * largest == pytest.approx(W[i, j], abs=1e-5)
            if block == 2:
                assert curve.get_ydata()[list(curve.get_xdata()).index(j - i)] == pytest.approx(
                    W[i, j], abs=1e-5
                )
    assert figure.axes[0].get_images()[0].get_extent() == [-11.5, 11.5, 2.5, -0.5]
    assert figure.axes[0].get_images()[0].get_clim() == (-1, 1)


# Gates


def gate_and_what_it_would_be(layer, x):
    weights = [ops.convert_to_numpy(v) for v in layer.weights]
    arguments = (layer.inhibit.scope, layer.residual)
    return [
        reference.gate_with_inhibition(x, *weights, level, *arguments)
        for level in (layer.inhibition, 0.0)
    ]


@everywhere
@pytest.mark.parametrize("residual", [False, True])
def test_gates_of_an_image_model_are_what_its_layers_compute(residual):
    model = random(tiny("giCycleMLP", gate_residual=residual, classes=3))
    x = images(1, 8, 8, 3)
    found = gates.gates_of(model, x)
    gated = [layer for layer in model.layers if layer.name.endswith("_gate")]
    assert [gate.name for gate in found] == ["stage0_block0", "stage1_block0", "stage1_block1"]
    for gate, layer in zip(found, gated, strict=True):
        hidden = run(keras.Model(model.input, layer.input), x)
        left, without = gate_and_what_it_would_be(layer, hidden)
        np.testing.assert_allclose(gate.values, left[0], atol=1e-4)
        np.testing.assert_allclose(gate.without, without[0], atol=1e-4)
        assert gate.rest == residual
        assert gate.passed == pytest.approx((left > gate.rest).mean(), abs=0.01)


def test_maps_and_histograms_show_the_gates():
    model = random(tiny("giCycleMLP"))
    x = images(1, 8, 8, 3)
    found = gates.gates_of(model, x)
    figure = gates.draw(model, x, blocks=[0, 2])
    histograms = [axes for axes in figure.axes if axes.get_yscale() == "log"]
    for axes, gate in zip(histograms, (found[0], found[2]), strict=True):
        filled, line = axes.patches[:-1], axes.patches[-1]
        heights = [bar.get_height() for bar in filled]
        assert sum(heights) == pytest.approx(1)
        edges = [bar.get_x() for bar in filled] + [filled[-1].get_x() + filled[-1].get_width()]
        counts, _ = np.histogram(gate.values, edges)
        np.testing.assert_allclose(heights, counts / gate.values.size, atol=0.01)
        counts, _ = np.histogram(gate.without, edges)
        np.testing.assert_allclose(
            line.get_xy()[1:-1:2, 1][: len(counts)], counts / gate.without.size, atol=0.01
        )
    image, *maps = (axes.get_images()[0] for axes in figure.axes if axes.get_images())
    assert image.get_array().shape == (8, 8, 3)
    for shown, gate in zip(maps, (found[0], found[2]), strict=True):
        np.testing.assert_allclose(shown.get_array(), gate.values.mean(-1))


@everywhere
def test_subtracting_gates_are_the_scores_with_and_without_the_threshold():
    model = random(tiny("giCycleMLP", gating="subtract"))
    x = images(1, 8, 8, 3)
    for gate in gates.gates_of(model, x):
        layer = model.get_layer(gate.name)
        scores, left = run(keras.Model(model.input, [layer.input, layer.output]), x)
        np.testing.assert_allclose(gate.without, scores[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(gate.values, left[0], rtol=1e-4, atol=1e-4)
    assert isinstance(gates.draw(model, x), Figure)


@everywhere
def test_gates_of_a_text_are_those_of_queries_and_keys():
    task = keras_hub.models.TextClassifier.from_preset(str(SAVED / "giBERT_classifier"))
    x = {name: VALUES[name][:1] for name in task.input}
    found = gates.gates_of(task, x)
    gated = task.backbone.gated_attention_layers
    assert len(found) == 2 * len(gated)
    calls = layers_within.record(task, x, [layer.gate for layer in gated])
    for n, ((_, output),) in enumerate(calls):
        both = np.concatenate([gate.values for gate in found[2 * n : 2 * n + 2]], -1)
        np.testing.assert_allclose(both, output[0], atol=1e-5)
    assert [gate.name for gate in found] == ["layer 1, query", "layer 1, key"]  # of two layers
    words = [f"word {n}" for n in range(8)]
    figure = gates.draw(task, x, words)
    (table,) = drawn(figure)
    np.testing.assert_allclose(table, [gate.values.mean(-1) for gate in found])
    (axes,) = (axes for axes in figure.axes if axes.get_images())
    assert [label.get_text() for label in axes.get_xticklabels()] == words
    low, high = axes.get_images()[0].get_clim()
    assert (low + high) / 2 == 1  # what a gate is where nothing passes


@pytest.mark.parametrize("name", ["giBERT", "giRoBERTa", "giDeBERTaV3"])
def test_gates_are_named_by_their_layer_and_side(name):
    sizes = {"vocabulary_size": 9, "num_layers": 3, "num_heads": 2, "hidden_dim": 4}
    encoder = getattr(applications, name)(
        **sizes, intermediate_dim=4, gate_query=name == "giBERT", gated_layers=2
    )
    names = [*gates.names_of(encoder, layers_within.find(encoder, layers.GateWithInhibition))]
    sides = ["query", "key"] if name == "giBERT" else ["key"]
    assert names == [[f"layer {n}, {side}" for side in sides] for n in (1, 2)]


@everywhere
def test_a_picture_leaves_the_model_as_it_was():
    model = random(tiny("giCycleMLP"))
    x = images(1, 8, 8, 3)
    before = run(model, x)
    gates.draw(model, x)
    saliency.draw(model, x)
    assert not any("call" in vars(layer) for layer in layers_within.layers_of(model))
    np.testing.assert_array_equal(run(model, x), before)


# Reach


@everywhere
@pytest.mark.parametrize(
    ("stage", "position", "stem"),
    [(0, (3, 8), (3, 2)), (1, (10, 4), (4, 4)), (1, (0, 15), (7, 2))],
)
def test_reach_is_where_the_gradient_is_not_zero(stage, position, stem):
    size, strides = stem
    sizes = {"stem_size": size, "stem_strides": strides, "input_shape": (18, 22, 3)}
    model = random(tiny("CycleMLP", **sizes))
    for layer in model.layers:
        if layer.name.endswith("_fuse"):  # its weights no longer depend on the image
            layer.expand.kernel.assign(np.zeros(layer.expand.kernel.shape))
    x = images(1, 18, 22, 3)
    reached = reach.reach_of(model, stage, (18, 22), position)
    strength = reach.strength_of(model, x, stage, position)
    np.testing.assert_array_equal(strength > 0, reached)
    figure = reach.draw(model, x, position)
    upper, lower = (figure.axes[n].get_images()[0].get_array() for n in (stage, 2 + stage))
    np.testing.assert_array_equal(upper, reached)
    np.testing.assert_allclose(
        lower, np.log10(np.maximum(strength / strength.max(), 1e-5)), atol=1e-4
    )


def test_what_split_attention_sees_is_beyond_the_reach():
    model = random(tiny("CycleMLP"))
    x = images(1, 8, 8, 3)
    reached = reach.reach_of(model, 0, (8, 8), (4, 4))
    strength = reach.strength_of(model, x, 0, (4, 4))
    assert not reached.all()
    assert (strength > 0).all()


def test_the_middle_of_224_pixels_is_drawn_for_images_of_any_size():
    model = tiny("CycleMLP", input_shape=(None, None, 3), stem_strides=4, stem_size=7)
    upper, *_ = drawn(reach.draw(model))
    # A stem of 7 x 7 every 4 pixels, after one block in a cross of 3 x 3.
    assert upper.shape == (224, 224)
    assert upper.sum() == 7 * 15 + 2 * 4 * 7
    rows, _ = np.nonzero(upper)
    assert (rows.min(), rows.max()) == (112 - 2 - 4, 112 + 4 + 4)


# Saliency


@everywhere
@pytest.mark.parametrize("name", ["gMLP", "giCycleMLP", "gMLP_text", "giBERT_classifier"])
def test_saliency_is_the_recorded_one_on_every_backend(name):
    """Recorded by central differences in float64, two backends differ by 1e-5 at most."""
    expected = np.load(GOLDEN / "saliency.npz")[name]
    if (SAVED / f"{name}.keras").exists():
        model, x = keras.saving.load_model(SAVED / f"{name}.keras"), VALUES["images"]
    else:
        kind = "TextClassifier" if name.endswith("classifier") else "MaskedLM"
        model = getattr(keras_hub.models, kind).from_preset(str(SAVED / name))
        x = {key: VALUES[key] for key in model.input}
    found, classes = saliency.saliency(model, x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6 * np.abs(expected).max())
    outputs = ops.convert_to_numpy(model(x))
    outputs = outputs if outputs.ndim == 2 else outputs[:, 0]
    np.testing.assert_array_equal(classes, outputs.argmax(-1))


@everywhere
def test_saliency_of_another_class_is_that_of_its_output():
    model = random(tiny(classes=3, classifier_activation=None))
    x = images(2, 8, 8, 3)
    each = [saliency.saliency(model, x, classes=[n, n])[0] for n in range(3)]
    gradient = gradients.gradient(
        lambda x: ops.sum(model(x) * ops.convert_to_tensor(np.array([1.0, 2.0, 3.0], "float32"))), x
    )
    np.testing.assert_allclose(
        each[0] + 2 * each[1] + 3 * each[2], x * gradient, atol=1e-3 * np.abs(each).max()
    )


def test_saliency_is_shown_beside_images_and_below_three():
    model = random(tiny(classes=3))
    for count in (2, 5):
        x = images(count, 8, 8, 3)
        found, classes = saliency.saliency(model, x)
        labels = [*classes[:-1], (classes[-1] + 1) % 3]
        figure = saliency.draw(model, x, labels=labels, name="abc".__getitem__)
        shown = [y for y in drawn(figure) if y.ndim == 2]
        wanted = [values.sum(-1) for values in found]
        assert len(shown) == count
        for y in wanted:
            assert any(np.allclose(y, z, atol=1e-5) for z in shown)
        titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
        names = ["abc"[n] for n in classes]
        assert titles == [*names[:-1], f"{'abc'[labels[-1]]}, taken for {names[-1]}"]


def test_saliency_of_a_text_is_a_bar_a_word():
    task = keras_hub.models.MaskedLM.from_preset(str(SAVED / "gMLP_text"))
    x = {name: VALUES[name][:1] for name in task.input}
    found, _ = saliency.saliency(task, x)
    figure = saliency.draw(task, [x, x], [["a"] * 8, ["b"] * 5])
    heights = [[bar.get_height() for bar in axes.patches] for axes in figure.axes]
    lengths = np.sqrt((found[0] ** 2).sum(-1))
    np.testing.assert_allclose(heights[0], lengths, atol=1e-6)
    np.testing.assert_allclose(heights[1], lengths[:5], atol=1e-6)


# What a model has not


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: spatial_filters.draw(tiny("CycleMLP")), "gMLP, aMLP, MLP-Mixer and ResMLP have"),
        (lambda: toeplitz_kernels.draw(tiny()), "gMLP and aMLP for text have them"),
        (lambda: gates.draw(tiny(), images(1, 8, 8, 3)), "giCycleMLP, giBERT, giRoBERTa and"),
        (lambda: reach.draw(tiny()), "CycleMLP and giCycleMLP do"),
        (
            lambda: saliency.draw(tiny(include_top=False), images(1, 8, 8, 3)),
            "image classifiers, text classifiers and masked language models do",
        ),
        (lambda: spatial_filters.draw(tiny(), blocks=[2]), "blocks must be among 0 to 1. Received"),
        (lambda: spatial_filters.draw(tiny(), tokens=[4]), "tokens must be among 0 to 3. Received"),
        (
            lambda: reach.draw(tiny("CycleMLP"), position=(8, 0)),
            r"position must be a pixel of 8 x 8. Received: \(8, 0\)",
        ),
    ],
)
def test_a_model_without_such_a_thing_is_told_which_have_it(make, message):
    with pytest.raises(PictureError, match=message):
        make()


# The command


PRESETS = {"toeplitz_kernels": "gMLP_text", "gates": "giBERT_classifier", "saliency": "gMLP_text"}
MODELS = {"spatial_filters": "gMLP", "gates": "giCycleMLP", "reach": "CycleMLP", "saliency": "gMLP"}


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    matplotlib.image.imsave(path, np.random.default_rng(0).random((20, 30, 3)))
    return str(path)


@pytest.mark.parametrize("picture", MODELS)
def test_every_picture_of_an_image_model_is_drawn_by_its_name(picture, photo, tmp_path):
    output = tmp_path / "new" / "picture.png"
    model = ["--weights", str(SAVED / f"{MODELS[picture]}.keras"), "--images", photo]
    draw.main(["--picture", picture, *model, "--output", str(output)])
    height, width, _ = matplotlib.image.imread(output).shape
    assert (width, height > 200) == (1008, True)


@pytest.mark.parametrize("picture", PRESETS)
def test_every_picture_of_a_text_model_is_drawn_by_its_name(picture, tmp_path, capsys):
    output = tmp_path / "picture.svg"
    model = ["--preset", str(SAVED / PRESETS[picture]), "--texts", "the cat [MASK]"]
    draw.main(["--picture", picture, *model, "--output", str(output)])
    assert "</svg>" in output.read_text()
    assert capsys.readouterr().out == f"Picture: {output}\n"


def test_every_picture_has_been_drawn():
    assert set(draw.PICTURES) == {*MODELS, *PRESETS}


def test_an_existing_picture_is_replaced(tmp_path):
    output = tmp_path / "picture.png"
    output.write_text("old")
    draw.main(
        [
            *("--picture", "spatial_filters", "--weights", str(SAVED / "gMLP.keras")),
            *("--output", str(output)),
        ]
    )
    assert matplotlib.image.imread(output).shape[1] == 1008
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_test_images_of_the_run_are_drawn(tmp_path):
    """Those at the given places, scaled as in the test of the run, with their labels."""
    from recipes import image_classification
    from recipes.images import datasets

    folder = tmp_path / "run"
    sizes = ["patch_size=4", "depth=1", "dim=8", "ffn_dim=8"]
    short = ["--epochs", "1", "--steps_per_epoch", "1", "--warmup_steps", "0"]
    image_classification.main(["--run_dir", str(folder), "--model_args", *sizes, *short])
    config = draw.Config(
        picture="saliency",
        output=tmp_path / "a.png",
        weights=str(folder / "model.keras"),
        examples=(3, 0),
    )
    found = examples.load(keras.saving.load_model(folder / "model.keras"), config)
    ((pixels, label),) = datasets.digits().test.skip(3).take(1)
    np.testing.assert_allclose(found.inputs[0], np.asarray(pixels) / 127.5 - 1, atol=1e-5)
    assert found.labels[0] == int(label)
    assert found.name(found.labels[0]) == str(int(label))
    assert found.inputs.shape == (2, 8, 8, 1)
    arguments = ["--picture", "saliency", "--weights", config.weights]
    draw.main([*arguments, "--examples", "3", "0", "--output", str(config.output)])
    with pytest.raises(SystemExit, match="--examples must be among 0 to 359. Received: 360"):
        draw.main([*arguments, "--examples", "360", "--output", str(tmp_path / "b.png")])
    with pytest.raises(SystemExit, match="--images are of 3 channels, .* takes 1"):
        draw.main([*arguments, "--images", "none.png", "--output", str(tmp_path / "b.png")])
    assert json.loads((folder / "config.json").read_text())["config"]["data"] == "digits"
    assert not (tmp_path / "b.png").exists()


def test_texts_are_drawn_with_their_words():
    task = keras_hub.models.MaskedLM.from_preset(str(SAVED / "gMLP_text"))
    config = draw.Config("saliency", "a.png", texts=("the cat [MASK]", "[MASK]"))
    found = examples.load(task, config)
    assert found.words[1] == ["[CLS]", "[MASK]", "[SEP]"]
    assert found.words[0][0] == "[CLS]"
    assert found.words[0][-2:] == ["[MASK]", "[SEP]"]
    assert "".join(found.words[0][1:-2]) == "thecat"
    position = found.inputs[0]["mask_positions"].item()
    assert found.words[0][position] == "[MASK]"
    assert found.name(found.inputs[0]["token_ids"][0, 0]) == "[MASK]: [CLS]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--picture", "spatial_filter"],
            "no picture named 'spatial_filter'. Did you mean spatial",
        ),
        (["--picture", "x"], "There is no picture named 'x'. Known: spatial_filters, toeplitz_ker"),
        (["--weights", "none.keras"], "--weights cannot be loaded: "),
        (["--preset", "none"], "--preset cannot be loaded: "),
        ([], "Name the model: --model NAME, --weights FILE.keras or --preset FOLDER."),
        (["--model", "gMLP_Tii"], "There is no model named 'gMLP_Tii'. Did you mean gMLP_Ti"),
        (["--output", "a.jpg"], "--output must end in .png, .svg, .pdf. Received: a.jpg"),
        (["--picture", "gates", "--texts", "a", "b"], "gates is drawn of one example: one of --te"),
        (["--weights", "{CycleMLP}"], "has no matrices over the patches of an image: gMLP, aMLP"),
        (["--weights", "{gMLP}", "--blocks", "7"], "blocks must be among 0 to 1. Received: 7"),
        (["--weights", "{gMLP}", "--picture", "saliency"], "which knows its data: name --ima"),
        (
            ["--weights", "{gMLP}", "--picture", "saliency", "--images", "none.png"],
            "--images cannot be read: .*none.png",
        ),
        (["--preset", "{gMLP_text}", "--picture", "saliency"], "takes texts: --texts."),
        (
            ["--preset", "{gMLP_text}", "--picture", "saliency", "--texts", "a"],
            r"There is no \[MASK\] in the text: 'a'",
        ),
        (["--weights", "{gMLP}", "--output", "/dev/null/a.png"], "--output cannot be written: "),
    ],
)
def test_mistakes_end_in_one_sentence(arguments, message, tmp_path):
    saved = {f"{{{name}}}": SAVED / f"{name}.keras" for name in ("gMLP", "CycleMLP")}
    saved["{gMLP_text}"] = SAVED / "gMLP_text"
    arguments = [str(saved.get(x, x)) for x in arguments]
    if "--picture" not in arguments:
        arguments += ["--picture", "spatial_filters"]
    if "--output" not in arguments:
        arguments += ["--output", str(tmp_path / "a.png")]
    with pytest.raises(SystemExit, match=message):
        draw.main(arguments)
    assert not list(tmp_path.iterdir())
