"""The libraries that compute: their memory, how to wait for them, and a product of matrices."""

from recipes.program import machine

# Runtimes of exported files, by format.
RUNTIMES = {"onnx": "onnxruntime", "openvino": "openvino"}
OPENVINO = RUNTIMES["openvino"]


class Library:
    """A library on the processor.

    Attributes:
        accelerator: Name of the accelerator that it computes on, `None` for the processor.
        matrix_size: Side of matrices whose product occupies the device.
    """

    accelerator = None

    @property
    def matrix_size(self):
        return 8192 if self.accelerator else 2048

    def memory(self):
        """Returns the MiB of the process before a model is built; `None` if unknown."""
        return 0 if self.accelerator else machine.resident("VmRSS")

    def peak(self):
        """Returns the most MiB since `forget_peak`."""
        return machine.resident("VmHWM")

    def forget_peak(self):
        machine.forget_peak()

    def wait(self, outputs):
        """Returns when the outputs have been computed."""

    def product(self, size, precision):
        """Returns a function that multiplies two matrices of `size` x `size`, or `None`."""

    def profile(self, step, steps):
        """Returns the operations of a step, the slowest first, `None` if unknown.

        Each is a dictionary of its `name`, `milliseconds` and `calls` in a step, and its `share` of
        the time of all operations.
        """


class TensorFlow(Library):
    def __init__(self):
        import tensorflow as tf

        self.tf = tf
        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            self.accelerator = tf.config.experimental.get_device_details(gpus[0])["device_name"]

    def peak(self):
        if not self.accelerator:
            return super().peak()
        return self.tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20

    def forget_peak(self):
        if self.accelerator:
            self.tf.config.experimental.reset_memory_stats("GPU:0")
        else:
            super().forget_peak()

    def wait(self, outputs):
        self.tf.test.experimental.sync_devices()

    def product(self, size, precision):
        a, b = (self.tf.random.normal((size, size)) for _ in range(2))
        a, b = (self.tf.cast(x, computed_in(precision)) for x in (a, b))
        return lambda: self.tf.matmul(a, b)


class JAX(Library):
    """On an accelerator, the peak is since the start of the process: JAX cannot reset it."""

    def __init__(self):
        import jax

        self.jax = jax
        self.device = jax.devices()[0]
        if self.device.platform != "cpu":
            self.accelerator = self.device.device_kind

    def peak(self):
        if not self.accelerator:
            return super().peak()
        return self.device.memory_stats()["peak_bytes_in_use"] / 2**20

    def wait(self, outputs):
        self.jax.block_until_ready(outputs)

    def product(self, size, precision):
        keys = self.jax.random.split(self.jax.random.key(0))
        a, b = (self.jax.random.normal(key, (size, size), computed_in(precision)) for key in keys)
        multiply = self.jax.jit(self.jax.numpy.matmul)
        return lambda: multiply(a, b)


class Torch(Library):
    def __init__(self):
        import torch

        self.torch = torch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if torch.cuda.is_available():
            self.accelerator = torch.cuda.get_device_name()

    def peak(self):
        if not self.accelerator:
            return super().peak()
        return self.torch.cuda.max_memory_allocated() / 2**20

    def forget_peak(self):
        if self.accelerator:
            self.torch.cuda.reset_peak_memory_stats()
        else:
            super().forget_peak()

    def wait(self, outputs):
        if self.accelerator:
            self.torch.cuda.synchronize()

    def product(self, size, precision):
        dtype = getattr(self.torch, computed_in(precision))
        a, b = (self.torch.randn(size, size, device=self.device).to(dtype) for _ in range(2))
        return lambda: self.torch.matmul(a, b)

    def profile(self, step, steps):
        with self.torch.profiler.profile() as profiler:
            for _ in range(steps):
                step()
            self.wait(None)
        time = "self_device_time_total" if self.accelerator else "self_cpu_time_total"
        times = [(getattr(x, time) / 1000 / steps, x) for x in profiler.key_averages()]
        total = sum(milliseconds for milliseconds, _ in times)
        return [
            {
                "name": x.key,
                "milliseconds": milliseconds,
                "share": milliseconds / total,
                "calls": x.count / steps,
            }
            for milliseconds, x in sorted(times, key=lambda pair: -pair[0])
        ]


def computed_in(precision):
    """Returns the data type of matrix products."""
    return precision.removeprefix("mixed_")


BACKENDS = {"tensorflow": TensorFlow, "jax": JAX, "torch": Torch}
LIBRARIES = BACKENDS | dict.fromkeys(RUNTIMES.values(), Library)
