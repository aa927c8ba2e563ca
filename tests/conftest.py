"""The suite runs once per backend: `KERAS_BACKEND` says on which."""

import gc
import importlib.util
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# PyTorch's threads cost more than they gain in the small models of the tests. Processes that these
# start have as many, so that they compute the same to the last bit.
os.environ["OMP_NUM_THREADS"] = "1"
# Many tests compile the same small model: with JAX, once a session is enough.
compiled = tempfile.TemporaryDirectory()
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", compiled.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# XLA takes longer to make the code of a small model fast than the test takes to run it slowly.
XLA_FLAGS = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1"
)
# Four devices of JAX, which are threads of this process, for models that devices share.
os.environ.setdefault("XLA_FLAGS", f"{XLA_FLAGS} --xla_force_host_platform_device_count=4")
if importlib.util.find_spec("torch"):
    import torch  # noqa: F401  before TensorFlow: the other way round can crash the process

import keras
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parent.parent
GOLDEN = pathlib.Path(__file__).parent / "golden"
# To compile a small model by XLA takes TensorFlow longer than the test that trains it. One test a
# family does, and those of the layers.
JIT = False if keras.backend.backend() == "tensorflow" else "auto"
# For tests in which the backend has no part: they run on one, whole files by `pytestmark = once`,
# of which `everywhere` excepts the tests that do compute with it.
once = pytest.mark.backends("jax")
everywhere = pytest.mark.backends("tensorflow", "jax", "torch")
# For cases of a test for which other cases stand.
MORE = [once, pytest.mark.slow]


def mostly_once(cases, *everywhere):
    """Returns the cases of a test, of which those in `everywhere` stand for the others.

    These run on every backend, the others on one, and not in `make check`.
    """

    def marked(case):
        values = case if isinstance(case, tuple) else (case,)
        return pytest.param(*values, marks=[] if case in everywhere else MORE)

    return [marked(case) for case in cases]


def pytest_addoption(parser):
    parser.addoption("--matrix", action="store_true", help="run the tests marked matrix too")


def pytest_collection_modifyitems(config, items):
    """Leaves out the tests that are about other backends, and those of a whole matrix."""

    def applies(item):
        if item.get_closest_marker("matrix") and not config.getoption("--matrix"):
            return False
        # Those of the test and of its case; otherwise that of its file.
        marks = [mark for mark in item.own_markers if mark.name == "backends"]
        marks = marks or [*item.iter_markers("backends")][:1]
        return all(keras.backend.backend() in mark.args for mark in marks)

    config.hook.pytest_deselected(items=[item for item in items if not applies(item)])
    items[:] = filter(applies, items)


@pytest.fixture(autouse=True)
def little_garbage():
    """Lets the garbage collector look only at what the test made, and frees that after it.

    Keras calls it for each layer that it quantizes, and it would look at all modules each time.
    """
    gc.freeze()
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def fresh_state():
    """Every test starts from the same seed, and leaves no global policy behind."""
    policy = keras.config.dtype_policy()
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def without_values():
    """Variables get a shape and no value: the largest model alone would take 4 GB."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session(free_memory=False)  # or the next scope would fill them


@pytest.fixture
def rng():
    return np.random.default_rng(0)
