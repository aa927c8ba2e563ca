"""What leaves Keras computes the same, or says why it cannot."""

import dataclasses
import functools
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from keras_gimlp import applications, layers
from keras_gimlp.applications.text.token_inputs import token_embedding, token_inputs
from recipes import image_classification
from recipes.export import __main__ as export
from recipes.export import signature, writing
from recipes.export.formats import FORMATS
from recipes.images import datasets
from tests.conftest import once
from tests.families import FAMILIES, images, tiny

BACKEND = keras.backend.backend()
BACKENDS = ("torch", "tensorflow", "jax")
HERE = [name for name, form in FORMATS.items() if BACKEND in form.writers]
GENERAL = HERE[0] if HERE else None  # the format of the tests that are about no particular one
WRITES = pytest.mark.backends("torch", "tensorflow")
SHALLOW = {"depths": (1, 1)}  # blocks, of those families that take long to trace
ANY_SIZE = SHALLOW | {"input_shape": (None, None, 3)}
PYRAMID = SHALLOW | {"feature_maps": True, "include_top": False}
ENCODER = {
    **{"vocabulary_size": 97, "num_layers": 1, "num_heads": 2, "hidden_dim": 8},
    **{"intermediate_dim": 16, "max_sequence_length": 40},
}
GMLP = {"vocabulary_size": 97, "depth": 1, "dim": 8, "ffn_dim": 12, "sequence_length": 16}
gi_bert = functools.partial(applications.giBERT, **ENCODER)
gmlp = functools.partial(applications.gMLP_MLM, **GMLP)


def combiner():
    """An encoder of texts of 16 tokens, of one layer of Combiner's attention."""
    inputs, mask = token_inputs(16)
    x = token_embedding(97, 8, None)(inputs["token_ids"])
    x = layers.CombinerAttention(2, "fixed", segment_size=5)(x, mask=mask)
    model = keras.Model(inputs, x, name="combiner")
    model.vocabulary_size = 97
    return model


# One small model of each family and with each head. Their names are rows of a table.
MODELS = {
    **{
        family: functools.partial(
            tiny, family, classes=5, **(SHALLOW if "Cycle" in family else {"depth": 1})
        )
        for family in FAMILIES
    },
    "CycleMLP, images of any size": lambda: tiny("CycleMLP", classes=5, **ANY_SIZE),
    "giCycleMLP, feature maps": lambda: tiny("giCycleMLP", **PYRAMID),
    "giBERT": gi_bert,
    # One layer is KerasHub's own, and some tokens are further apart than half a bucket.
    "giDeBERTaV3": lambda: applications.giDeBERTaV3(
        **ENCODER | {"num_layers": 2, "bucket_size": 8}, gated_layers=1
    ),
    "gMLP text": gmlp,
    "aMLP text": lambda: gmlp(attention_dim=4),
    "gMLP text of one length": lambda: gmlp(spatial="dense"),
    "AFT text": lambda: applications.AFT_MLM(**GMLP, bias_dim=3, window=4),
    "gMLP, text classifier": lambda: applications.gMLPTextClassifier(gmlp(), num_classes=3),
    "gMLP, masked words": lambda: applications.gMLPMaskedLM(gmlp()),
    "giRoBERTa, text classifier": lambda: applications.giRoBERTaTextClassifier(
        applications.giRoBERTa(**ENCODER), num_classes=3
    ),
    "giBERT, masked words": lambda: applications.giBERTMaskedLM(gi_bert()),
    "gMLP, token classifier": lambda: applications.TokenClassifier(gmlp(), num_classes=3),
    "gMLP, spans": lambda: applications.SpanExtractor(gmlp()),
    "Combiner": combiner,
}
SHAPES = {
    "CycleMLP, images of any size": ("batch", "height", "width", 3),
    **dict.fromkeys(("gMLP text of one length", "Combiner"), ("batch", 16)),
}


def source_of(form=GENERAL, **kwargs):
    return export.Config(format=form, output="", **kwargs)


@pytest.fixture(scope="module", autouse=True)
def traced_once():
    """Each model is traced once for all formats that are made of what tracing gives."""
    patch = pytest.MonkeyPatch()
    if BACKEND == "torch":
        from recipes.export import torch_program

        for name in ("program", "onnx_program"):
            patch.setattr(torch_program, name, last(getattr(torch_program, name)))
    yield
    patch.undo()


def last(function):
    """Returns a function of a model that is not computed again for the same model."""
    known = {}

    def remembered(model, of):
        if model not in known:
            known.clear()
            known[model] = function(model, of)
        return known[model]

    return remembered


@functools.lru_cache(maxsize=1)
def model_of(name):
    """Returns a model with weights of a size at which each one changes the outputs."""
    model = MODELS[name]()
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:  # those of gates start at zero
        variable.assign_add(rng.normal(scale=0.3, size=variable.shape))
    return model


# Every model in one format, and in the others one of images and one of texts, of any size each.
# `python -m tests.export_matrix` tries all.
EVERY = {"torch": "onnx", "tensorflow": "litert"}.get(BACKEND)
FEW = ("CycleMLP, images of any size", "gMLP, masked words")
CASES = [
    pytest.param(*(name, form), marks=[] if form == EVERY or name in FEW else pytest.mark.matrix)
    for name in MODELS
    for form in HERE
]


@WRITES
@pytest.mark.parametrize(("name", "form"), CASES)
def test_a_runtime_computes_what_the_model_computes(name, form, tmp_path):
    model = model_of(name)
    path = tmp_path / f"model{FORMATS[form].suffix}"
    card = writing.write(model, FORMATS[form], path, source_of(form))
    assert path.exists()
    assert card["error"] <= 1e-5
    text = isinstance(model.input, dict)
    shape = SHAPES.get(name, ("batch", "tokens") if text else ("batch", 8, 8, 3))
    assert {x["shape"] for x in card["inputs"]} <= {shape, ("batch", "masks")}
    count = len(keras.tree.flatten(model.output))
    assert len(card["outputs"]) == count


@pytest.mark.backends("tensorflow")
@pytest.mark.parametrize("name", ["gMLP", "gMLP text"])
def test_keras_exports_to_onnx_without_the_recipe(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = model_of(name)
    inputs = signature.signature_of(model).examples(0, batch=3, tokens=7)
    expected = ops.convert_to_numpy(signature.call(model, inputs)[0])
    model.export(str(tmp_path / "model.onnx"), format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    names = [x.name for x in session.get_inputs()]
    arrays = [inputs[x] for x in names] if isinstance(model.input, dict) else inputs.values()
    (found,) = session.run(None, dict(zip(names, arrays, strict=True)))
    assert signature.error([found], [expected]) <= 1e-5


@WRITES
def test_free_sizes_have_names_in_onnx(tmp_path):
    import onnx

    path = tmp_path / "model.onnx"
    writing.write(model_of("gMLP, masked words"), FORMATS["onnx"], path, source_of("onnx"))
    graph = onnx.load(path).graph
    found = {
        x.name: [size.dim_param or size.dim_value for size in x.type.tensor_type.shape.dim]
        for x in (*graph.input, *graph.output)
    }
    assert found.pop("mask_positions") == ["batch", "masks"]
    assert found.pop("token_ids") == found.pop("padding_mask") == ["batch", "tokens"]
    assert found.pop("outputs")[0] == "batch"


@pytest.mark.backends("torch")
def test_gelu_is_one_that_runtimes_join_with_the_product_before_it(tmp_path):
    import onnx

    path = tmp_path / "model.onnx"
    writing.write(model_of("gMLP"), FORMATS["onnx"], path, source_of("onnx"))
    found = {node.op_type for node in onnx.load(path).graph.node}
    assert found & {"Gelu", "Erf"}
    assert not found & {"Abs", "Sign", "Where"}  # of the form for torch.compile


@pytest.mark.backends("torch")
def test_onnx_that_is_too_large_for_one_file_has_its_weights_beside_it(tmp_path, monkeypatch):
    from recipes.export import torch_program

    monkeypatch.setattr(torch_program, "LARGEST", 0)
    card = writing.write(model_of("gMLP"), FORMATS["onnx"], tmp_path / "a.onnx", source_of("onnx"))
    assert list(card["sha256"]) == ["a.onnx", "a.onnx.data"]


@pytest.mark.backends("torch")
def test_a_program_of_pytorch_holds_each_weight_once():
    from recipes.export import torch_program

    model = model_of("gMLP")
    program = torch_program.program(model, signature.signature_of(model))
    held = sum(x.numel() for x in (*program.state_dict.values(), *program.constants.values()))
    assert model.count_params() <= held < 1.1 * model.count_params()


def read_other(path, read=FORMATS[GENERAL].read if HERE else None):
    """Reads a file, and computes something else from it."""
    compute = read(path)
    return lambda inputs: [1.001 * x for x in compute(inputs)]


def read_nothing(path):
    raise RuntimeError("No such operation.\nMore about it")


@WRITES
@pytest.mark.parametrize(
    ("read", "message"),
    [
        (read_other, "computes something else from the file, by 1.0e-03 .* thrown away"),
        (read_nothing, "cannot compute what .* wrote, and it was thrown away: No such operation.$"),
    ],
)
def test_a_file_that_computes_something_else_is_thrown_away(read, message, tmp_path):
    form = dataclasses.replace(FORMATS[GENERAL], read=read)
    with pytest.raises(SystemExit, match=message):
        writing.write(model_of("gMLP"), form, tmp_path / f"a{form.suffix}", source_of())
    assert not list(tmp_path.iterdir())


@once
def test_padding_does_not_hide_an_error():
    expected = [np.array([[1.0, -1e4]]), np.array([0.5])]
    assert signature.error(expected, expected) == 0
    assert signature.error([expected[0] + [[1e-3, 0]], expected[1]], expected) >= 0.999e-3
    assert signature.error([expected[0], expected[1] + 1e-3], expected) >= 1.999e-3
    assert signature.error([expected[0][:, :1], expected[1]], expected) == np.inf
    assert signature.error([expected[0], expected[1] * np.nan], expected) == np.inf


@WRITES
def test_a_file_is_written_with_its_card(tmp_path, capsys):
    model = tiny(classes=5, depth=1)
    model.save(tmp_path / "model.keras")
    form = FORMATS[GENERAL]
    path = tmp_path / f"out{form.suffix}"
    export.main(
        ["--format", GENERAL, "--weights", str(tmp_path / "model.keras"), "--output", str(path)]
    )
    assert f"{model.count_params():,} parameters" in capsys.readouterr().out
    card = json.loads((tmp_path / f"{path.name}.json").read_text())
    assert card["format"] == GENERAL
    assert card["runtime"] == form.runtime
    assert card["backend"] == BACKEND
    assert card["inputs"] == [{"name": "images", "dtype": "float32", "shape": ["batch", 8, 8, 3]}]
    assert card["sizes"] == {"batch": [1, 4096]}
    assert card["parameters"] == model.count_params()
    assert card["versions"]["keras"] == keras.__version__
    assert all((tmp_path / part).is_file() for part in card["sha256"])
    x = images(4, 8, 8, 3)
    (found,) = form.read(path)({"images": x})
    np.testing.assert_allclose(found, ops.convert_to_numpy(model(x)), rtol=1e-4, atol=1e-6)


@WRITES
def test_a_preset_is_written_with_the_task_that_it_holds(tmp_path):
    pytest.importorskip("keras_hub")
    applications.gMLPTextClassifier(gmlp(), num_classes=3).save_to_preset(str(tmp_path / "preset"))
    path = tmp_path / f"out{FORMATS[GENERAL].suffix}"
    export.main(["--format", GENERAL, "--preset", str(tmp_path / "preset"), "--output", str(path)])
    card = json.loads((tmp_path / f"{path.name}.json").read_text())
    assert {x["name"] for x in card["inputs"]} == {"padding_mask", "token_ids"}
    assert card["sizes"] == {"batch": [1, 4096], "tokens": [2, 16]}


@WRITES
def test_published_weights_say_what_photos_become(tmp_path):
    path = tmp_path / f"out{FORMATS[GENERAL].suffix}"
    config = source_of(model="CycleMLP_B1", weights="imagenet")
    card = writing.write(tiny("CycleMLP", classes=5, **SHALLOW), FORMATS[GENERAL], path, config)
    assert card["preprocessing"] == {
        **{"height": 8, "width": 8, "crop": 0.9, "interpolation": "bicubic"},
        **{"mean": (0.485, 0.456, 0.406), "deviation": (0.229, 0.224, 0.225)},
    }


# What somebody runs who has only the file, its card, and folders of images by class.
ELSEWHERE = """
import json, pathlib, sys

class Blocked:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] in ("keras", "keras_gimlp", "tensorflow", "torch", "jax"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())

import numpy as np
import onnxruntime
from PIL import Image

folder = pathlib.Path(sys.argv[1])
card = json.loads((folder / "digits.onnx.json").read_text())
steps = card["preprocessing"]
size = [round(steps[side] / steps["crop"]) for side in ("width", "height")]
edges = [(size[0] - steps["width"]) // 2, (size[1] - steps["height"]) // 2]
edges += [edges[0] + steps["width"], edges[1] + steps["height"]]

def image(path):
    resized = Image.open(path).resize(size, Image.Resampling[steps["interpolation"].upper()])
    pixels = np.asarray(resized.crop(edges), "float32").reshape(steps["height"], steps["width"], -1)
    return ((pixels / 255 - steps["mean"]) / steps["deviation"]).astype("float32")

session = onnxruntime.InferenceSession(folder / "digits.onnx")
paths = sorted(folder.glob("*.png"))
images = np.stack([image(path) for path in paths])
(logits,) = session.run(card["outputs"], {card["inputs"][0]["name"]: images})
print(json.dumps(logits.argmax(-1).tolist()))
"""


@pytest.mark.process
@WRITES
def test_a_trained_model_classifies_elsewhere_as_it_did_in_keras(tmp_path):
    run = tmp_path / "run"
    options = ("--epochs", "4", "--warmup_steps", "5", "--learning_rate", "0.01")
    sizes = ("patch_size=2", "depth=2", "dim=16", "ffn_dim=32")
    image_classification.main(["--run_dir", str(run), *options, "--model_args", *sizes])
    onnx = str(tmp_path / "digits.onnx")
    export.main(["--weights", str(run / "model.keras"), "--format", "onnx", "--output", onnx])
    labels = []
    for number, (digit, label) in enumerate(datasets.digits().test):
        Image.fromarray(digit.numpy()[..., 0]).save(tmp_path / f"{number:03}.png")
        labels.append(int(label))
    script = tmp_path / "elsewhere.py"
    script.write_text(ELSEWHERE)
    command = [sys.executable, "-I", str(script), str(tmp_path)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    accuracy = json.loads((run / "summary.json").read_text())["test_accuracy"]
    assert np.mean(np.equal(found, labels)) == pytest.approx(accuracy, abs=1e-6)
    assert accuracy > 0.3  # of ten classes


CANNOT = [(name, backend) for name, form in FORMATS.items() for backend in form.cannot]


@once
@pytest.mark.parametrize(("form", "backend"), CANNOT)
def test_a_backend_that_cannot_says_why(form, backend, tmp_path):
    path = tmp_path / f"a{FORMATS[form].suffix}"
    message = f"{backend} cannot write {form}: .*. The same model can be written with --backend "
    with pytest.raises(SystemExit, match=message):
        export.main(["--format", form, "--output", str(path), "--backend", backend])
    assert not list(tmp_path.iterdir())


@once
def test_every_backend_can_or_says_why():
    for form in FORMATS.values():
        assert sorted([*form.writers, *form.cannot]) == sorted(BACKENDS)


@pytest.mark.backends("jax")
def test_keras_that_runs_already_is_not_asked_for_another_backend(tmp_path):
    with pytest.raises(SystemExit, match="Keras runs on jax, and onnx is written by torch or"):
        export.main(["--format", "onnx", "--output", str(tmp_path / "a.onnx")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--output a.bin --model gMLP_S", "--output must end in .onnx. Received: a.bin"),
        ("--output no/a.onnx --model gMLP_S", "--output is in a folder that does not exist: no"),
        ("--output a.onnx", "Name the model: --model NAME, --weights FILE.keras or --preset"),
        ("--output a.onnx --model gMLP_X", "There is no model named 'gMLP_X'. Did you mean"),
        ("--output a.onnx --model gMLP_S --model_args dept=2", "no argument of gMLP_S named"),
        ("--output a.onnx --model gMLP_S --weights a.pth", "gMLP_S cannot be built: "),
        ("--output a.onnx --weights a.keras", "--weights cannot be loaded: "),
        ("--output a.onnx --weights a.keras --model gMLP_S", "leave out --model"),
        ("--output a.onnx --preset nowhere", "--preset cannot be loaded: "),
        ("--output a.onnx --preset a --model gMLP_S", "--preset holds a model and its weights"),
    ],
)
@WRITES
def test_mistakes_end_in_one_sentence(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message):
        export.main(["--format", "onnx", *arguments.split()])
    assert not list(tmp_path.iterdir())


@WRITES
def test_what_is_there_is_not_overwritten(tmp_path):
    arguments = ["--format", "onnx", "--model", "gMLP_Ti", "--model_args", "depth=1", "--output"]
    path = tmp_path / "there.onnx"
    path.write_text("mine")
    with pytest.raises(SystemExit, match="is there already, and was left as it is"):
        export.main([*arguments, str(path)])
    assert path.read_text() == "mine"
    for name in ("a.onnx", "a.onnx.data", "a.onnx.json"):
        unfinished = tmp_path / "unfinished"
        unfinished.mkdir()
        (unfinished / "a.onnx").touch()
        (unfinished / "a.onnx.data").touch()
        (tmp_path / name).write_text("mine")
        with pytest.raises(SystemExit, match=f"{name} is there already, and was left as it is"):
            writing.move(unfinished.iterdir(), tmp_path / "a.onnx.json")
        (tmp_path / name).unlink()
        for part in unfinished.iterdir():
            part.unlink()
        unfinished.rmdir()


@WRITES
def test_other_models_are_refused(tmp_path):
    form, path = FORMATS[GENERAL], tmp_path / "a"
    words = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="words")
    words.save(tmp_path / "words.keras")
    words = ["--weights", str(tmp_path / "words.keras"), "--format", GENERAL]
    with pytest.raises(SystemExit, match="words takes neither images nor texts"):
        export.main([*words, "--output", f"{path}{form.suffix}"])
    keras.config.set_dtype_policy("mixed_bfloat16")
    half = tiny()
    with pytest.raises(SystemExit, match="Only models in float32 are exported.*bfloat16"):
        writing.write(half, form, path, source_of())


@WRITES
def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    arguments = ["--format", GENERAL, "--output", str(tmp_path / f"a{FORMATS[GENERAL].suffix}")]
    with monkeypatch.context() as patch:
        patch.setattr("os.access", lambda path, mode: False)
        with pytest.raises(SystemExit, match="in a folder that cannot be written: "):
            export.main(arguments)
    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    with pytest.raises(SystemExit, match="--output cannot be written: .*Permission denied"):
        writing.write(tiny(), FORMATS[GENERAL], tmp_path / "a", source_of())


@WRITES
def test_a_runtime_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"needs .*, onnx, onnxruntime.*\[export,"):
        export.main(["--format", "onnx", "--output", str(tmp_path / "a.onnx")])
