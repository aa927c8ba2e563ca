"""Every private name of another library that the code leans on, and what happens without it.

A new version of Keras, KerasHub or PyTorch may be let in when these tests pass with it.
"""

import ast
import contextlib
import functools
import importlib
import re

import keras
import keras_hub
import pytest

from keras_gimlp.backend.adamw import AdamW
from keras_gimlp.backend.functional_model import ImageModel
from tests.conftest import ROOT, once

SIZES = {
    "vocabulary_size": 9,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 4,
    "intermediate_dim": 8,
}
# What has the names


@functools.cache
def model():
    inputs = keras.Input((2,))
    made = ImageModel(inputs, keras.layers.Dense(1)(inputs))
    made.compile("sgd", "mse")
    return made


def node():
    return model().outputs[0]._keras_history.operation._inbound_nodes[0]


def arguments():
    return node().arguments


def variable():
    return model().variables[0]


def adamw():
    optimizer = AdamW()
    optimizer.build(model().trainable_variables)
    return optimizer


def parallel():
    mesh = keras.distribution.DeviceMesh((1,), ["batch"], ["cpu:0"])
    return keras.distribution.ModelParallel(layout_map=keras.distribution.LayoutMap(mesh))


@functools.cache
def encoder():
    made = keras_hub.layers.TransformerEncoder(intermediate_dim=8, num_heads=2, dropout=0.1)
    made.build((None, None, 4))
    return made


@functools.cache
def deberta():
    return keras_hub.models.DebertaV3Backbone(**SIZES)


def deberta_encoder():
    return deberta().transformer_layers[0]


def tracker():
    return encoder()._tracker


def attention():
    return encoder()._self_attention_layer


def deberta_attention():
    return deberta_encoder()._self_attention_layer


def module(name):
    return functools.partial(importlib.import_module, name)


def operations():
    return keras.src.backend.numpy


def presets():
    return module("keras_hub.src.utils.preset_utils")().KerasPresetLoader


def tokenizer():
    return keras_hub.tokenizers.SentencePieceTokenizer


def preprocessor():
    return keras_hub.models.TextClassifierPreprocessor


FALLS_BACK = "Keras' own is used instead"
# Who uses the names, and what happens without one: what has the names.
USES = {
    ("backend/functional_model", FALLS_BACK): [
        (model, "_nodes_by_depth _outputs_struct _run_through_graph _flatten_layers"),
        (node, "is_input operation arguments input_tensors outputs"),
        (arguments, "fill_in"),
        (variable, "_value"),
        (module("torch"), "_dynamo"),
        (module("torch._dynamo"), "nonstrict_trace"),
        (module("torch.compiler"), "is_dynamo_compiling is_exporting"),
    ],
    ("backend/functional_model", "PyTorch does not see that a model was compiled again"): [
        (model, "_compile_config"),
    ],
    ("backend/adamw", FALLS_BACK): [
        (adamw, "_backend_update_step _get_variable_index _momentums _velocities"),
    ],
    ("layers/composite, distribution, counting", "no composite layer is saved"): [
        (encoder, "_flatten_layers"),
    ],
    ("distribution", "no model is on several devices"): [
        (parallel, "_layout_map"),
    ],
    ("counting", "no encoder of KerasHub is counted"): [
        (encoder, "_self_attention_layer _feedforward_output_dense"),
        (deberta_attention, "_query_dense _key_dense"),
    ],
    ("applications/text/gated_attention", "no encoder is gated"): [
        (encoder, "_self_attention_layer _tracker _flatten_layers"),
        (deberta_encoder, "_self_attention_layer _tracker _flatten_layers"),
        (tracker, "lock unlock"),
        (attention, "_masked_softmax"),
        (deberta_attention, "_masked_softmax _make_log_bucket_position bucket_size scale_factor"),
    ],
    ("applications/text/gi_deberta_v3", "there is no giDeBERTaV3"): [
        (deberta, "embeddings_dropout relative_embeddings transformer_layers token_embedding"),
    ],
    ("applications/text/pretrained", "there are no presets"): [
        (module("keras_hub.src.utils.preset_utils"), "get_preset_loader KerasPresetLoader"),
        (presets, "check_backbone_class load_task"),
    ],
    ("applications/text/gmlp_tasks", "gMLP has no tokenizer, or another length in presets"): [
        (tokenizer, "_add_special_token"),
        (preprocessor, "_add_missing_kwargs"),
    ],
    ("pictures of a trained model", "there are none"): [
        (model, "_layers"),
    ],
    ("export", "models with free sizes are not exported"): [
        (module("keras.src.backend"), "numpy"),
        (operations, "absolute arange repeat sign take_along_axis"),
        (module("keras.src.backend.torch.core"), "get_device"),
    ],
    ("training on several devices", "PyTorch trains on one"): [
        (module("torch.distributed"), "_composable"),
        (module("torch.distributed._composable"), "replicate"),
    ],
}
ROWS = [
    (user, without, owner, name)
    for (user, without), owners in USES.items()
    for owner, names in owners
    for name in names.split()
]
LISTED = {name for *_, name in ROWS}


def row(user, without, owner, name):
    where = owner.args[0] if isinstance(owner, functools.partial) else owner.__name__
    marks = [pytest.mark.backends("torch")] if "torch" in where.split(".") else []
    return pytest.param(user, without, owner, name, id=f"{user}: {where}.{name}", marks=marks)


@pytest.mark.parametrize(("user", "without", "owner", "name"), [row(*x) for x in ROWS])
def test_a_private_name_is_where_it_was(user, without, owner, name):
    if isinstance(owner, functools.partial) and name.startswith("_"):
        with contextlib.suppress(ImportError):  # a module of a package
            importlib.import_module(f"{owner.args[0]}.{name}")
    assert hasattr(owner(), name), f"{name} is gone: adapt {user}, or {without}"


def test_layers_of_keras_are_in_the_module_that_the_functional_model_knows():
    assert keras.layers.Dense.__module__.startswith("keras.src.layers.")


def test_the_parts_of_attention_have_the_names_that_gates_find_them_by():
    for layer in attention(), deberta_attention():
        names = [part.name for part in layer._flatten_layers(include_self=False, recursive=False)]
        assert {"query", "key", "value", "attention_output"} < set(names)
    # Of two dropout layers, the last one is for the shares of tokens.
    drops = [name for name in names if "dropout" in name]
    assert len(drops) == 2
    assert drops[1] == "attention_dropout"


# The list is complete


def is_private(name):
    return re.fullmatch(r"_[a-z]\w*", name)


def is_inside(path):
    """Returns whether a module is one of a library's own, of which nothing is promised."""
    return "src" in path.split(".") or any(map(is_private, path.split(".")))


def foreign_names(text):
    """Returns the private names in a module's source that the module does not define itself.

    Among them are methods that a base class may have already, names given to `getattr`, and
    whatever is imported from inside of a library.
    """
    private, inner, own, methods = set(), set(), set(), set()
    for x in ast.walk(ast.parse(text)):
        match x:
            case ast.Attribute(ast.Name("self"), name, ast.Store()) | ast.keyword(str(name)):
                own.add(name)
            case ast.Attribute(attr=name) | ast.Call(
                ast.Name("getattr" | "hasattr"), [_, ast.Constant(str(name)), *_]
            ):
                private.add(name)
            case ast.Subscript(ast.Call(ast.Name("vars")), ast.Constant(str(name))):
                private.add(name)
            case ast.ImportFrom(str(path), names) if is_inside(path):
                inner |= {alias.name for alias in names}
                private |= set(path.split("."))
            case ast.Import(names) | ast.ImportFrom(names=names):
                private |= {part for alias in names for part in alias.name.split(".")}
            case ast.ClassDef(bases=[_, *_], body=body):
                methods |= {f.name for f in body if isinstance(f, ast.FunctionDef)}
        if isinstance(x, ast.FunctionDef | ast.ClassDef):
            own.add(x.name)
    return inner | set(filter(is_private, private - own | methods))


def sources():
    """Returns the source of each module of the library, the recipes and the studies."""
    paths = (path for room in ("keras_gimlp", "recipes", "studies") for path in ROOT.glob(room))
    return {p: p.read_text() for path in paths for p in sorted(path.rglob("*.py"))}


@once
def test_every_private_name_in_the_code_is_listed():
    unlisted = {
        (str(path.relative_to(ROOT)), name)
        for path, text in sources().items()
        for name in foreign_names(text) - LISTED
    }
    assert not unlisted, f"Do without, or list with what happens when they go: {sorted(unlisted)}"


@once
def test_every_listed_name_is_used():
    text = "\n".join(sources().values())
    assert not {name for name in LISTED if not re.search(rf"\b{name}\b", text)}


@once
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("x._a", {"_a"}),
        ("getattr(x, '_a', None), hasattr(x, '_b')", {"_a", "_b"}),
        ("vars(x)['_a'] = 1", {"_a"}),
        ("x._a = 1", {"_a"}),
        ("class A(B):\n    def _a(self):\n        pass", {"_a"}),
        ("class A:\n    def _a(self):\n        self._a()", set()),
        ("def _a(): pass\n\nx.__class__, _a()", set()),
        ("def f(self):\n    self._a = 1\n    return self._a", set()),
        ("from a.src.b import C", {"C"}),
        ("from torch._a import b", {"_a", "b"}),
        ("import torch._a", {"_a"}),
    ],
)
def test_private_names_are_found_in_source(text, names):
    assert foreign_names(text) == names
