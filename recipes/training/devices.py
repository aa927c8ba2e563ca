"""The state to set before the first tensor is made, and the hardware."""

import keras
import tensorflow as tf

from recipes.program import machine
from recipes.training import distribution


def prepare_training(options, model=None):
    """Sets seeds, precision and devices of a training.

    `model` is the class or builder of the model, which `--strategy model` needs.
    """
    prepare(options.precision, options.seed)
    distribution.start(options, model)  # Keras forgets it too, with the layers made so far


def prepare(precision, seed):
    """Sets seed and precision, and keeps TensorFlow's hands off another backend's accelerator.

    Keras forgets the layers made so far, so that variables built next are named as in a new
    process: checkpoints are keyed by these names.
    """
    if keras.backend.backend() != "tensorflow":
        # tf.data would otherwise reserve the whole memory of every accelerator it sees.
        for kind in ("GPU", "TPU"):
            tf.config.set_visible_devices([], kind)
    keras.utils.clear_session()  # first: it forgets precision and seed too
    set_seed(seed)
    keras.config.set_dtype_policy(precision)


def set_seed(seed):
    """Seeds Python, NumPy, TensorFlow and the backend.

    Call it before tokenizers are made: it makes TensorFlow forget the SentencePiece models it has
    read.
    """
    keras.utils.set_random_seed(seed)
    # With a global seed of 0, TensorFlow 2.21 cannot shuffle by a seed that is a tensor.
    tf.random.set_seed(seed + 1)


def hardware():
    """Returns the processor, the cores this process may use, and the backend's accelerators."""
    return ", ".join([machine.processor(), *accelerators()])


def accelerators():
    """Returns the names of the accelerators that the backend sees."""
    if keras.backend.backend() == "torch":
        import torch

        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    devices = keras.distribution.list_devices()
    return [device for device in devices if not device.lower().startswith("cpu")]
