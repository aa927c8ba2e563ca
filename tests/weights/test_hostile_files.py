"""Files that are broken, lie, lead elsewhere or hold no weights are refused with a sentence."""

import contextlib
import importlib.metadata
import math
import os
import pathlib
import pickle
import sys
import traceback
import tracemalloc
import zipfile

import h5py
import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from keras_gimlp import applications, weights
from keras_gimlp.weights.files import Stored
from keras_gimlp.weights.names import CONVOLUTION, MATRIX, POINTWISE, TOKEN_VECTOR
from tests.conftest import once
from tests.families import tiny
from tests.weights.conftest import assert_equal

pytestmark = once
LARGE = 2**24  # elements: 64 MiB of float32
PUBLISHED = pytest.mark.parametrize("suffix", [".safetensors", ".pth"])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Returns a folder with a model's weights in every format."""
    folder = tmp_path_factory.mktemp("files")
    model = tiny(classes=3)
    model.save_weights(folder / "a.weights.h5")
    model.save(folder / "a.keras")
    weights.export_weights(model, folder / "a.safetensors")
    weights.export_weights(model, folder / "a.pth")
    return folder


def refused(path, message, error=ValueError, **arguments):
    """Checks that a file is refused with `message` and leaves its model as it was."""
    model = tiny(classes=3)
    before = model.get_weights()
    with pytest.raises(error, match=message) as raised:
        weights.load_weights(model, path, **arguments)
    assert_equal(before, model.get_weights())
    return raised.value


@contextlib.contextmanager
def memory_below(size):
    """Checks that the code inside takes less than `size` bytes at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def changed_h5(files, tmp_path, change):
    """Writes a Keras file whose `norm/gamma` is replaced: `change(group, name)` puts it there."""
    path = tmp_path / "changed.weights.h5"
    path.write_bytes((files / "a.weights.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        group = next(
            layer["vars"]
            for layer in file["layers"].values()
            if layer["vars"].attrs.get("name") == "norm"
        )
        del group["0"]
        change(group, "0")
    return path


def changed_published(files, tmp_path, suffix, **tensors):
    """Writes a published file with other tensors; `_` stands for `.` in their names."""
    import torch

    tensors = {name.replace("_", "."): tensor for name, tensor in tensors.items()}
    tensors = load_file(files / "a.safetensors") | tensors
    path = tmp_path / f"changed{suffix}"
    if suffix == ".pth":
        torch.save({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, path)
    else:
        save_file(tensors, path)
    return path


# Files that are broken, and code in pickles


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".weights.h5", ".keras"])
@pytest.mark.parametrize("size", [0, 7, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused(suffix, size, files, tmp_path):
    content = (files / f"a{suffix}").read_bytes()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content[: size if isinstance(size, int) else int(size * len(content))])
    refused(path, f"The weights file is damaged, or (is not a Keras file|holds).*a{suffix}")


def test_a_file_with_changed_bytes_is_refused(files, tmp_path):
    content = bytearray((files / "a.keras").read_bytes())
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / "a.keras"
    path.write_bytes(content)
    refused(path, "is damaged, or is not a Keras file: Bad CRC")


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("nested", [False, True])
def test_code_in_a_pickle_is_never_executed(nested, protocol, tmp_path, monkeypatch):
    import torch

    monkeypatch.chdir(tmp_path)
    content = {"model": {"norm.weight": Trap()}} if nested else Trap()
    pathlib.Path("plain.pth").write_bytes(pickle.dumps(content, protocol=protocol))
    torch.save(content, "archive.pth", pickle_protocol=protocol)
    for path in ("plain.pth", "archive.pth"):
        with pytest.raises(ValueError, match="holds other objects than tensors, which are never"):
            tiny(classes=3, weights=path)
    assert not pathlib.Path("sprung").exists()


def test_a_pickle_of_other_things_than_tensors_is_refused(tmp_path):
    import torch

    for content in ([1, 2], {"model": {"norm.weight": "text"}}, torch.ones(3)):
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(ValueError, match="The weights file is damaged, or holds"):
            tiny(classes=3, weights=tmp_path / "a.pth")


# Links and data elsewhere


@pytest.fixture
def secret(tmp_path):
    """Returns the path of a local file that nobody handed over: 32 bytes, a gamma."""
    (tmp_path / "secret").write_bytes(np.full(8, 42, "float32").tobytes())
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["gamma"] = np.full(8, 42, "float32")
    return tmp_path / "secret"


def virtual(group, name, secret):
    layout = h5py.VirtualLayout((8,), "float32")
    layout[:] = h5py.VirtualSource(f"{secret}.h5", "gamma", (8,))
    group.create_virtual_dataset(name, layout)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda group, name, secret: group.update(
                {name: h5py.ExternalLink(f"{secret}.h5", "gamma")}
            ),
            r"holds a link \(ExternalLink\), which Keras never writes",
        ),
        (
            lambda group, name, secret: group.update({name: h5py.SoftLink(f"{group.name}/1")}),
            r"holds a link \(SoftLink\)",
        ),
        (
            lambda group, name, secret: group.create_dataset(
                name, (8,), "float32", external=[(str(secret), 0, 32)]
            ),
            "its data lie in another file",
        ),
        (virtual, "its data lie in another file"),
    ],
)
def test_a_file_that_leads_elsewhere_is_refused(change, message, files, secret, tmp_path):
    path = changed_h5(files, tmp_path, lambda group, name: change(group, name, secret))
    refused(path, f"is damaged, or is not a Keras file: .*{message}")


@pytest.mark.parametrize("link", [h5py.ExternalLink, None])
def test_groups_that_are_links_or_circles_are_refused(link, files, tmp_path):
    def change(group, name):
        group[name] = np.ones(8, "float32")
        file = group.file
        file.move("layers", "elsewhere")
        file["layers"] = link(file.filename, "elsewhere") if link else file["elsewhere"]
        if not link:
            file["layers"]["again"] = file["layers"]

    refused(changed_h5(files, tmp_path, change), "a link|linked twice")


# Small files that state much


@pytest.mark.parametrize("resize", [False, True])
def test_no_data_is_read_where_the_stated_shape_does_not_fit(resize, files, tmp_path):
    side = 4900  # 70 x 70 tokens

    def change(group, name):
        group[name] = np.ones(8, "float32")
        for layer in group.file["layers"].values():
            if "spatial" in layer:
                del layer["spatial/vars/0"]
                layer["spatial/vars"].create_dataset(
                    "0", (side, side), "float32", chunks=(side, 1), compression="gzip"
                )

    path = changed_h5(files, tmp_path, change)
    assert path.stat().st_size < 10 * (files / "a.weights.h5").stat().st_size
    spatial = weights.Spatial({"_gate/spatial/kernel": (0, 1)}, (2, 2), resize)
    with memory_below(side * side):
        refused(path, r"spatial/kernel is \(4900, 4900\) in the file", spatial=spatial)


def test_a_chunk_larger_than_its_tensor_is_refused(files, tmp_path):
    def change(group, name):
        group.create_dataset(
            name, data=np.ones(8, "float32"), maxshape=(None,), chunks=(LARGE,), compression="gzip"
        )

    path = changed_h5(files, tmp_path, change)
    assert path.stat().st_size < 2**18
    refused(path, "chunks larger than their tensor")


def test_a_compressed_archive_is_refused_before_it_is_unpacked(files, tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "a.keras", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("model.weights.h5", "w") as member,
    ):
        for _ in range(64):
            member.write(bytes(2**20))
    with memory_below(2**24):
        refused(tmp_path / "a.keras", "model.weights.h5 is compressed, which Keras' own is not")


@pytest.mark.parametrize("declared", [8, 2**30])
def test_an_archive_that_states_another_size_than_it_has_is_refused(declared, files, tmp_path):
    content = bytearray((files / "a.keras").read_bytes())
    place = content.rindex(b"model.weights.h5") - 46  # the record in the archive's directory
    content[place + 20 : place + 28] = 2 * declared.to_bytes(4, "little")
    (tmp_path / "a.keras").write_bytes(content)
    refused(tmp_path / "a.keras", "is damaged, or is not a Keras file")


def test_a_compressed_or_overlapping_pth_archive_is_refused(files, tmp_path):
    path = changed_published(files, tmp_path, ".pth", norm_weight=np.zeros(LARGE // 64, "float32"))
    with (
        zipfile.ZipFile(path) as theirs,
        zipfile.ZipFile(tmp_path / "small.pth", "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in theirs.namelist():
            archive.writestr(name, theirs.read(name))
    refused(tmp_path / "small.pth", "its parts are compressed, which PyTorch never does")

    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        member = max(archive.infolist(), key=lambda m: m.file_size)
    sizes = member.file_size.to_bytes(4, "little") * 2
    record = content.rindex(sizes)
    content = content[:record] + (2**31).to_bytes(4, "little") * 2 + content[record + 8 :]
    path.write_bytes(content)
    refused(path, "its parts are said to be larger than the whole")


def test_an_expanded_tensor_in_a_pth_file_is_refused_by_its_shape(files, tmp_path):
    import torch

    tensors = {name: torch.from_numpy(t) for name, t in load_file(files / "a.safetensors").items()}
    tensors["norm.weight"] = torch.zeros(1).expand(2**20, 2**20)
    torch.save(tensors, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", r"norm/gamma is \(1048576, 1048576\) in the file")


@pytest.mark.parametrize("legacy", [False, True])
def test_pth_files_of_both_forms_are_loaded(legacy, files, tmp_path):
    import torch

    tensors = load_file(files / "a.safetensors")
    torch.save(
        {name: torch.from_numpy(tensor) for name, tensor in tensors.items()},
        tmp_path / "a.pth",
        _use_new_zipfile_serialization=not legacy,
    )
    loaded = tiny(classes=3, weights=tmp_path / "a.pth")
    np.testing.assert_array_equal(loaded.get_weights()[-2].T, tensors["head.weight"])


@pytest.mark.parametrize("layout", [MATRIX, CONVOLUTION, POINTWISE, TOKEN_VECTOR])
@pytest.mark.parametrize("rank", range(5))
def test_the_shape_in_our_layout_is_known_without_reading(layout, rank):
    def read():
        raise AssertionError("was read")

    shape = {0: (), 1: (2**40,), 2: (2**20, 2**21)}.get(rank, (2**20, 2**21, 1, 1)[:rank])
    got = Stored(shape, "float32", read).through(layout.ours).shape
    assert math.prod(got) in (math.prod(shape), shape[-1] if shape else 1)


# Types and values


@pytest.mark.parametrize(
    ("values", "stated"),
    [
        (np.ones(8, "complex64"), "complex64"),
        (np.ones(8, "bool"), "bool"),
        (np.ones(8, "int32"), "int32"),
        (np.ones(8, "longdouble"), "float128|float96"),
        (np.array(["a"] * 8, h5py.string_dtype()), "text"),
        (np.zeros(8, [("a\x1b[31m", "float32"), ("b", "int8")]), "compound"),
    ],
)
def test_a_keras_file_of_other_types_than_floats_is_refused(values, stated, files, tmp_path):
    path = changed_h5(files, tmp_path, lambda group, name: group.update({name: values}))
    refused(path, f"1 tensor is of another type: norm/gamma is ({stated}) in the file and float32")


@PUBLISHED
@pytest.mark.parametrize("dtype", ["complex64", "bool", "int32"])
def test_a_published_file_of_other_types_than_floats_is_refused(dtype, suffix, files, tmp_path):
    path = changed_published(files, tmp_path, suffix, norm_weight=np.ones(8, dtype))
    refused(path, f"1 tensor is of another type: norm/gamma is {dtype} in the file and float32")


def test_a_dataset_without_a_shape_is_refused(files, tmp_path):
    def change(group, name):
        group[name] = h5py.Empty("float32")

    refused(changed_h5(files, tmp_path, change), "one of its parameters is not a tensor")


@PUBLISHED
def test_a_value_that_overflows_in_the_type_of_the_variable_is_refused(suffix, files, tmp_path):
    path = changed_published(files, tmp_path, suffix, norm_weight=np.full(8, 1e300))
    refused(path, "1 tensor is not finite: norm/gamma as float32")
    for policy, large in (("float16", 1e5), ("bfloat16", 3.4e38)):
        keras.config.set_dtype_policy(policy)
        path = changed_published(files, tmp_path, suffix, norm_weight=np.full(8, large, "float32"))
        refused(path, f"1 tensor is not finite: norm/gamma as {policy}")


def test_doubles_that_fit_are_loaded(files, tmp_path):
    path = changed_published(files, tmp_path, ".safetensors", norm_weight=np.full(8, 0.1))
    gamma = tiny(classes=3, weights=path).get_layer("norm").gamma
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(gamma), np.full(8, 0.1, "float32"))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"head_weight": np.ones((5, 8, 1), "float32")}, r"kernel is \(1, 8, 5\) in the file"),
        ({"head_weight": np.ones((5, 9), "float32")}, r"kernel is \(9, 5\) in the file"),
        ({"head_weight": np.ones((5, 8), "float32")}, r"kernel is \(8, 5\) in the file"),
        (
            {"head_weight": np.ones((5, 8), "int32"), "head_bias": np.ones(5, "int32")},
            "kernel is int32 in the file",
        ),
        ({"head_bias": np.ones((), "float32")}, r"bias is \(\) in the file"),
    ],
)
def test_a_classifier_that_differs_in_more_than_the_classes_is_refused(
    head, message, files, tmp_path
):
    path = changed_published(files, tmp_path, ".safetensors", **head)
    refused(path, f"predictions/{message}")


def test_a_tensor_under_two_names_is_refused(tmp_path):
    weights.export_weights(tiny("ResMLP", classes=3), tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    tensors["patch_embed.proj.bias"] = tensors["stem.proj.bias"]
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="has a tensor under two names"):
        tiny("ResMLP", classes=3, weights=tmp_path / "a.safetensors")


# What reaches the terminal


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".weights.h5"])
def test_control_characters_in_a_file_are_never_printed(suffix, files, tmp_path):
    name = "\x1b[2J\x07\nforged line\u202e"
    if suffix == ".weights.h5":
        path = changed_h5(
            files, tmp_path, lambda group, _: group.update({name: np.ones(8, "float32")})
        )
    else:
        path = changed_published(files, tmp_path, suffix, **{name: np.ones(8, "float32")})
    error = refused(path, r"forged line")
    printed = "".join(traceback.format_exception(error))
    assert not set(printed) & set("\x1b\x07\u202e")
    assert not any(line.startswith("forged line") for line in printed.splitlines())


def test_control_characters_in_a_broken_file_are_never_printed(tmp_path):
    header = b'{"\x1b[2Jtensor":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}'
    broken = len(header).to_bytes(8, "little") + header + bytes(4)
    (tmp_path / "a.safetensors").write_bytes(broken)
    (tmp_path / "a.pth").write_bytes(b"cos\x1b[2J\nsystem\n.")
    for name in ("a.safetensors", "a.pth"):
        error = refused(tmp_path / name, "is damaged, or holds")
        assert "\x1b" not in "".join(traceback.format_exception(error))


# What `weights` may be


@pytest.mark.parametrize("given", [3, b"a.keras", ["a.keras"], 1.5, object()])
def test_weights_that_are_no_name_or_path_are_a_type_error(given):
    refused(given, "`weights` must be None, a string, a path .* Received: weights=", TypeError)


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match="no weights file at .*='nowhere.keras'"):
        tiny(weights="nowhere.keras")


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "a.keras").mkdir()
    with pytest.raises(ValueError, match="this is a folder: weights='.*a.keras'"):
        tiny(weights=tmp_path / "a.keras")


@pytest.mark.parametrize("weights", ["resnet50", "model.onnx"])
def test_other_sources_are_not_known(weights):
    with pytest.raises(ValueError, match="`weights` must be None, a name in keras_gimlp.weights"):
        applications.gMLP_S(depth=1, weights=weights)


def test_a_file_that_may_not_be_read_is_named(exported, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    with pytest.raises(PermissionError, match=r"may not be read: weights='.*gmlp.safetensors'"):
        tiny(classes=3, weights=exported[1])


def test_a_missing_library_is_named_with_the_command_that_installs_it(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r'pip install "keras_gimlp\[weights\]"'):
        tiny(classes=3, weights=exported[1])


@pytest.mark.parametrize("given", [f"{'a' * 5000}.keras", "a\0.keras", "~nobody-here/a.keras"])
def test_a_path_that_cannot_be_opened_is_one_sentence(given):
    error = refused(given, "Received: weights=", (ValueError, FileNotFoundError))
    assert len(str(error)) < 600


def test_the_home_folder_may_be_abbreviated(files, monkeypatch):
    monkeypatch.setenv("HOME", str(files))
    monkeypatch.setenv("USERPROFILE", str(files))
    assert tiny(classes=3, weights="~/a.weights.h5")


def test_an_older_torch_does_not_read_pth_files(files, tmp_path, monkeypatch):
    path = changed_published(files, tmp_path, ".pth")
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata,
        "version",
        lambda name: "2.5.1+cpu" if name == "torch" else version(name),
    )
    refused(path, "PyTorch 2.6 or later is needed .* Installed is 2.5", ImportError)
