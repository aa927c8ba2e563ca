"""Many devices: which of them a training uses, and which part of its work this process does.

All differences between Keras on JAX, `tf.distribute` and `torch.distributed` are in this file.
"""

import atexit
import contextlib
import datetime
import functools
import gc
import importlib.util
import json
import os
import sys

import keras
import numpy as np
import tensorflow as tf

from keras_gimlp import distribution as layouts
from keras_gimlp.layers import Inhibition

# One of these is set where JAX finds other processes by itself, or is told of them.
LAUNCHED = (
    "KERAS_DISTRIBUTION_JOB_ADDRESSES",
    "JAX_COORDINATOR_ADDRESS",
    "SLURM_STEP_NODELIST",
    "OMPI_MCA_orte_hnp_uri",
    "TPU_WORKER_HOSTNAMES",
    "MEGASCALE_COORDINATOR_ADDRESS",
    "JOB_COMPLETION_INDEX",  # Kubernetes
)
HEARTBEAT = 30  # seconds after which a process that is silent counts as dead
LONGEST_WAIT = datetime.timedelta(hours=2)  # for a process that prepares data for all others


def start(options, model=None):
    """Sets what the model that is built next runs on, and joins the other processes.

    Ends the program if the devices are not there or do not divide the batch. `model` is the class
    or builder of the model for `--strategy model`; `None` if it is not known yet, and this will be
    called again.
    """
    backend = keras.backend.backend()
    if options.strategy == "model" and backend != "jax":
        raise SystemExit(f"--strategy model requires JAX. This is {backend}.")
    wanted = None if options.devices == "auto" else options.devices
    if backend == "jax":
        _start_jax(wanted, options, model)
    elif backend == "tensorflow":
        _start_tensorflow(wanted)
    else:
        _start_torch(wanted)
    if process():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  one process speaks
    if options.batch_size % replicas():
        raise SystemExit(
            f"--batch_size must be a multiple of the {replicas()} devices that share a batch, or "
            f"--devices must be smaller. Received: {options.batch_size}"
        )


def _start_jax(wanted, options, model):
    import jax

    launched = wanted != 1 and (
        any(name in os.environ for name in LAUNCHED)
        # The hosts of a TPU pod ask their network for each other.
        or importlib.util.find_spec("libtpu") is not None
    )
    if launched and not jax.distributed.is_initialized():
        addresses, *numbers = (
            os.environ.get(f"KERAS_DISTRIBUTION_{name}")
            for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
        )
        # As `keras.distribution.initialize` does, which leaves the time of the heartbeat at 100 s.
        jax.distributed.initialize(
            addresses and addresses.split(",")[0],
            *(number and int(number) for number in numbers),
            heartbeat_timeout_seconds=HEARTBEAT,
        )
    elif wanted not in (None, 1):
        with contextlib.suppress(RuntimeError):  # JAX has begun to compute
            jax.config.update("jax_num_cpu_devices", wanted)
    devices = keras.distribution.list_devices()
    alone_on_cpu = jax.process_count() == 1 and jax.default_backend() == "cpu"
    count = wanted or (1 if alone_on_cpu else len(devices))
    if count > len(devices) or (jax.process_count() > 1 and count != len(devices)):
        raise SystemExit(f"--devices must be auto or {len(devices)} here. Received: {wanted}")
    if count == 1:
        keras.distribution.set_distribution(None)
    elif options.strategy == "data" or model is None:
        keras.distribution.set_distribution(
            keras.distribution.DataParallel(devices=devices[:count], auto_shard_dataset=False)
        )
    else:
        if jax.process_count() > 1:
            # The trained model would have to be put together before one process saves it.
            raise SystemExit("--strategy model works in one process, with all devices of a host.")
        if count % options.model_devices:
            raise SystemExit(
                f"--model_devices must divide the {count} devices. Received: "
                f"{options.model_devices}"
            )
        mesh = keras.distribution.DeviceMesh(
            (count // options.model_devices, options.model_devices),
            ("batch", "model"),
            devices[:count],
        )
        try:
            layout = layouts.layout_map(model, mesh)
        except ValueError as error:
            raise SystemExit(f"--strategy model is not possible: {error}") from error
        keras.distribution.set_distribution(
            layouts.ModelParallel(layout_map=layout, auto_shard_dataset=False)
        )


def _start_tensorflow(wanted):
    if "TF_CONFIG" in os.environ:
        raise SystemExit(
            "On TensorFlow, training is limited to one process: Keras' `fit` fails under "
            "MultiWorkerMirroredStrategy. For many hosts, use JAX or PyTorch (KERAS_BACKEND)."
        )
    if os.environ.get("TPU_NAME"):  # as on a TPU VM
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        tf.distribute.experimental_set_strategy(tf.distribute.TPUStrategy(resolver))
        return
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if kind == "CPU" and wanted not in (None, 1):
        with contextlib.suppress(RuntimeError):  # TensorFlow has begun to compute
            tf.config.set_logical_device_configuration(
                tf.config.list_physical_devices("CPU")[0],
                [tf.config.LogicalDeviceConfiguration()] * wanted,
            )
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    count = wanted or len(devices)
    if count > len(devices):
        raise SystemExit(f"--devices must be at most {len(devices)} here. Received: {wanted}")
    strategy = _mirrored(tuple(devices[:count])) if count > 1 else None
    tf.distribute.experimental_set_strategy(strategy)


# One for all runs of a process: under a second one, TensorFlow fails in the first step.
_mirrored = functools.cache(tf.distribute.MirroredStrategy)


def _start_torch(wanted):
    import torch
    from torch import distributed

    if "TORCHELASTIC_RUN_ID" in os.environ and not distributed.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, timeout=LONGEST_WAIT)
        atexit.register(_leave_torch)
    if wanted not in (None, processes()):
        raise SystemExit(
            f"--devices {wanted} on PyTorch takes {wanted} processes, and there "
            f"{'is 1' if processes() == 1 else f'are {processes()}'}. Start them by: torchrun "
            f"--nproc-per-node {wanted} -m recipes...."
        )


def _leave_torch():
    """Ends the threads of `torch.distributed`, which abort a process if Python ends before them."""
    from torch import distributed

    distributed.destroy_process_group()
    gc.collect()  # a model that was trained holds the group too


def check(model):
    """Ends the program if the rules by which devices share weights do not fit a model.

    It also says if the devices compute another model than one device does.
    """
    inhibitions = (x for x in model._flatten_layers() if isinstance(x, Inhibition))
    divided = keras.backend.backend() != "jax" and replicas() > 1
    if divided and any(layer.scope == "batch" for layer in inhibitions):
        print(
            "With scope batch, the maximum of the inhibition is that of a part of a batch, which "
            "one device has; on one device, it is that of the whole batch."
        )
    shared = keras.distribution.distribution()
    if isinstance(shared, keras.distribution.ModelParallel):
        try:
            shared.layout_map.check(model)
        except ValueError as error:
            raise SystemExit(f"--strategy model is not possible: {error}") from error


def _is_joined():
    """Returns whether this process is one of several of PyTorch."""
    if keras.backend.backend() != "torch":
        return False
    from torch import distributed

    return distributed.is_available() and distributed.is_initialized()


def processes():
    """Returns the number of processes that train together."""
    if _is_joined():
        from torch import distributed

        return distributed.get_world_size()
    if keras.backend.backend() == "jax":
        import jax

        return jax.process_count()
    return 1


def process():
    """Returns the number of this process. Number 0 speaks and writes for all."""
    if _is_joined():
        from torch import distributed

        return distributed.get_rank()
    if keras.backend.backend() == "jax":
        import jax

        return jax.process_index()
    return 0


def replicas():
    """Returns into how many parts a batch is divided, each for a whole copy of the model."""
    shared = keras.distribution.distribution()
    if shared is not None:
        return shared.num_model_replicas
    if keras.backend.backend() == "tensorflow":
        return tf.distribute.get_strategy().num_replicas_in_sync
    return processes()


def own(examples, batch_size):
    """Returns this process's part of every batch of a stream, `own_size(batch_size)` examples.

    Apply it before costly steps.
    """
    count = processes()
    if count == 1:
        return examples
    size, index = own_size(batch_size), process()
    numbered = tf.data.Dataset.zip((tf.data.Dataset.counter(), examples))
    mine = numbered.filter(lambda number, _: number // size % count == index)
    mine = mine.map(lambda _, example: example)
    # Keras warns of a data set whose end comes unforeseen.
    total = int(examples.cardinality())
    known = total >= 0 and total % batch_size == 0
    return mine.apply(tf.data.experimental.assert_cardinality(total // count)) if known else mine


def own_size(batch_size):
    """Returns how many examples of a batch this process reads."""
    return batch_size // processes()


def replicate(model):
    """Lets PyTorch average the gradients of all processes while a backward pass goes on.

    On the other backends, Keras does.
    """
    if not _is_joined():
        return
    # TODO(Keras 3.16): its trainer does this under `keras.distribution.DataParallel`.
    from torch.distributed._composable import replicate

    trained = {id(variable) for variable in model.trainable_variables}
    for variable in model.weights:
        # No gradient is waited for that no loss will give.
        variable.value.requires_grad_(id(variable) in trained)
    plain_class = type(model)
    replicate(model)
    model.__class__ = plain_class  # by its name it is saved


def total_metrics(model):
    """Returns the metrics of all processes together, which JAX and TensorFlow share already."""
    if _is_joined():
        from torch import distributed

        for variable in model.metrics_variables:
            distributed.all_reduce(variable.value)
    return {
        name: float(keras.ops.convert_to_numpy(value))
        for name, value in model.get_metrics_result().items()
    }


def broadcast(value):
    """Returns in every process what process 0 calls this with: bytes, or a value of JSON."""
    if processes() == 1:
        return value
    raw = isinstance(value, bytes)
    data = b"" if process() else bytes([raw]) + (value if raw else json.dumps(value).encode())
    size = int(_broadcast_array(np.array([len(data)]))[0])
    array = np.zeros(size, "uint8") if process() else np.frombuffer(data, "uint8")
    data = _broadcast_array(array).tobytes()
    return data[1:] if data[0] else json.loads(data[1:])


def _broadcast_array(array):
    """Returns the array of process 0. All processes have one of its shape and type."""
    if _is_joined():
        import torch
        from torch import distributed

        nccl = distributed.get_backend() == "nccl"
        tensor = torch.tensor(array, device="cuda" if nccl else "cpu")
        distributed.broadcast(tensor, 0)
        return tensor.cpu().numpy()
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.broadcast_one_to_all(array))


def from_first(function):
    """Returns in every process what `function` returns in process 0; if it ends that, all end.

    It returns bytes or a value of JSON.
    """
    value = error = None
    if not process():
        try:
            value = function()
        except (SystemExit, OSError) as end:
            error = end
    if broadcast(error is not None):
        raise error or SystemExit(1)  # process 0 says why
    return broadcast(value)


def predict_on_batch(model, x):
    """Returns the output of `model` for a batch, a dictionary, in every process, as an array.

    Every process computes all of it: Keras does not divide such a batch.
    """
    if keras.distribution.distribution() is not None:
        model = gathered(model)
    x = {name: np.asarray(value) for name, value in x.items()}
    outputs = keras.ops.convert_to_numpy(model.predict_on_batch(x))
    return outputs[: len(next(iter(x.values())))]  # one of TensorFlow's replicas


class Gathered(keras.Model):
    """Gives every process the whole output of `model`."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def call(self, inputs):
        outputs = self.model(inputs, training=False)
        mesh = keras.distribution.distribution().device_mesh
        everywhere = keras.distribution.TensorLayout([None] * len(outputs.shape), mesh)
        return keras.distribution.distribute_tensor(outputs, everywhere)


gathered = functools.lru_cache(maxsize=1)(Gathered)


def name():
    """Returns the backend and the devices of the training, for its first lines."""
    backend, used = keras.backend.backend(), describe()
    if used["devices"] == 1:
        return backend
    together = f" in {used['processes']} processes" if used["processes"] > 1 else ""
    return f"{backend}, {used['devices']} devices ({used['engine']}){together}"


def describe():
    """Returns the devices of the training, for its summary."""
    shared = keras.distribution.distribution()
    if shared is not None:
        engine = f"keras.distribution.{type(shared).__name__}"
        count = shared.device_mesh.devices.size
    elif keras.backend.backend() == "tensorflow" and tf.distribute.has_strategy():
        engine, count = type(tf.distribute.get_strategy()).__name__, replicas()
    else:
        engine, count = "torch.distributed" if _is_joined() else None, processes()
    return {"engine": engine, "processes": processes(), "devices": count, "replicas": replicas()}
