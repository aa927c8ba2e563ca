"""Imports run one way: studies, recipes, the library; and each room imports what it may."""

import ast
import functools
import re
import sys

import pytest

from tests.conftest import ROOT, once

pytestmark = once

# What each room of the library imports from the others.
LIBRARY = {
    "backend": set(),
    "families": set(),
    "layers": {"backend"},
    "weights": {"families"},
    "applications": {"backend", "families", "layers", "weights"},
    "counting": {"layers"},
    "distribution": {"families"},
    "optimizers": {"backend"},
    "rematerialization": {"families"},
}
# The rooms of the recipes and the studies, each above what it may import. Those of one floor know
# nothing of each other; a job is a module of `recipes`.
FLOORS = [
    {"recipes"},
    {"recipes.program"},
    {"recipes.training"},
    {"recipes.images", "recipes.text"},
    {"recipes.trained"},
    {"jobs"},
    {"recipes.export", "recipes.draw"},
    {"studies"},
]
# PyTorch reads `.pth` files on every backend; photos are cut to size within tf.data too.
OTHER_BACKENDS = {
    "keras_gimlp.weights.files": {"torch"},
    "keras_gimlp.applications.image_transform": {"tensorflow"},
}
# Of the tests outside of tests/recipes and tests/studies, those of the site and of its tables.
ABOUT_RECIPES = {
    "tests.export_matrix",
    "tests.support_matrix",
    "tests.test_docs",
    "tests.test_support_matrix",
}
TOPS = ("keras_gimlp", "recipes", "studies")


@functools.cache
def modules(*tops):
    """Returns the syntax of each module, by name."""
    parsed = {}
    for top in tops:
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            parsed[name] = ast.parse(path.read_text())
    return parsed


def imports(tree, known=()):
    """Returns the modules that a module imports anywhere, of the known ones by their full name."""
    names = set()
    for x in ast.walk(tree):
        if isinstance(x, ast.Import):
            names |= {alias.name for alias in x.names}
        elif isinstance(x, ast.ImportFrom):
            inner = {f"{x.module}.{alias.name}" for alias in x.names}
            names |= inner & set(known) or {x.module}
            if inner - set(known):
                names.add(x.module)
    return names


def top(name):
    return name.partition(".")[0]


def test_rooms_of_the_library_import_one_way():
    library = modules("keras_gimlp")
    for name, tree in library.items():
        if name == "keras_gimlp":
            continue
        room = name.split(".")[1]
        others = {x for x in imports(tree, library) if top(x) == "keras_gimlp"}
        rooms = {x.split(".")[1] for x in others if x != "keras_gimlp"}
        assert "keras_gimlp" not in others, f"{name} imports the whole library"
        assert rooms <= LIBRARY[room] | {room}, f"{name} imports {rooms}"


def test_the_library_imports_neither_recipes_nor_studies():
    for name, tree in modules("keras_gimlp").items():
        assert not {"recipes", "studies"} & set(map(top, imports(tree))), name


def room_of(name):
    """Returns the room of a module of the recipes or the studies."""
    parts = name.split(".")
    if parts[0] == "studies":
        return "studies"
    if len(parts) == 1 or (len(parts) == 2 and parts[1] == "__main__"):
        return "recipes"
    room = ".".join(parts[:2])
    return room if any(room in floor for floor in FLOORS) else "jobs"


def test_recipes_and_studies_import_downward():
    known = modules(*TOPS)
    floor_of = {room: i for i, floor in enumerate(FLOORS) for room in floor}
    for name, tree in modules("recipes", "studies").items():
        room = room_of(name)
        for other in imports(tree, known):
            if top(other) in ("recipes", "studies") and room_of(other) != room:
                assert floor_of[room_of(other)] < floor_of[room], f"{name} imports {other}"


def test_no_module_imports_itself_by_way_of_others():
    known = modules(*TOPS)
    graph = {name: imports(tree, known) & set(known) - {name} for name, tree in known.items()}
    # The text models are loaded when the first of their names is asked for.
    graph["keras_gimlp.applications"] -= {"keras_gimlp.applications.text"}
    done = set()

    def visit(name, way):
        assert name not in way, f"a circle: {' -> '.join([*way, name])}"
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, [*way, name])
            done.add(name)

    for name in graph:
        visit(name, [])


def test_nothing_of_ours_is_imported_by_a_string():
    for name, tree in modules(*TOPS).items():
        for x in ast.walk(tree):
            if isinstance(x, ast.Call) and ast.unparse(x.func).endswith(
                ("import_module", "__import__")
            ):
                argument = ast.unparse(x.args[0])
                assert not re.search(rf"[\"']({'|'.join(TOPS)})\b", argument), name


@pytest.mark.parametrize("name", [x for x in modules("keras_gimlp") if ".layers" in x])
def test_a_layer_imports_keras_and_its_operations_alone(name):
    tree = modules("keras_gimlp")[name]
    allowed = {"keras", *sys.stdlib_module_names}
    for x in imports(tree):
        assert x in allowed or x.startswith(("keras_gimlp.layers.", "keras_gimlp.backend.")), x
    from_keras = {
        alias.name
        for x in ast.walk(tree)
        if isinstance(x, ast.ImportFrom) and x.module == "keras"
        for alias in x.names
    }
    assert from_keras <= {"ops"}


@pytest.mark.parametrize("name", [x for x in modules("keras_gimlp") if ".backend" not in x])
def test_backends_are_imported_in_one_room(name):
    backends = {"tensorflow", "jax", "torch"} & set(map(top, imports(modules("keras_gimlp")[name])))
    assert backends <= OTHER_BACKENDS.get(name, set())


@pytest.mark.parametrize(
    "name",
    [
        x
        for x in modules("tests")
        if not x.startswith(("tests.recipes", "tests.studies")) and x not in ABOUT_RECIPES
    ],
)
def test_a_test_of_the_library_imports_nothing_of_recipes(name):
    names = imports(modules("tests")[name], modules("tests"))
    assert not {"recipes", "studies"} & set(map(top, names))
    assert not {x for x in names if x.startswith(("tests.recipes", "tests.studies"))}


def test_each_file_of_the_backends_says_when_it_can_go():
    for name, tree in modules("keras_gimlp").items():
        if name.startswith("keras_gimlp.backend."):
            words = (ast.get_docstring(tree) or "").lower()
            assert "measured" in words or "no figure is kept" in words, name
            assert " can " in words, name
            assert " when " in words, name
