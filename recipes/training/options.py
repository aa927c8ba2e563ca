"""The options that training recipes share, each stated once.

A recipe's `Config` inherits from these dataclasses and adds its own options.
"""

import dataclasses
from typing import Literal

from recipes.program.command_line import Count, NonNegative, Positive, Seed


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What a run is, where it is kept, and how it computes."""

    # These do not change what is trained: a run may be continued with others.
    MEANS = ("run_dir", "devices", "strategy", "model_devices", "remat", "jit_compile")

    # Configuration that gives every other option its default.
    config: str = ""
    # Folder of the run. The same command continues the run in it. None: a folder in runs/ named
    # after what is run.
    run_dir: str | None = None
    # Seed of the initial weights, the order of the examples, the augmentation and the dropout.
    seed: Seed = 0
    # Precision of the computation. The weights are always float32.
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    # on: compiled by XLA, on PyTorch by torch.compile, which takes minutes and makes the steps
    # faster. off: not, except on JAX. auto: as Keras does it, which does not compile on PyTorch.
    jit_compile: Literal["auto", "on", "off"] = "auto"
    # Compute the activations of each block again in the backward pass, which saves memory.
    remat: bool = False
    # Number of devices to train on. auto: all accelerators of all processes.
    devices: Literal["auto"] | Count = "auto"
    # data: each device has a copy of the model and computes a part of every batch. model (JAX):
    # --model_devices share the large matrices of one copy.
    strategy: Literal["data", "model"] = "data"
    # Devices that share a copy of the model, with --strategy model.
    model_devices: Count = 2

    @property
    def compilation(self):
        """The `jit_compile` of `keras.Model.compile`."""
        return {"auto": "auto", "on": True, "off": False}[self.jit_compile]


@dataclasses.dataclass(frozen=True)
class AdamWOptions:
    """Batches, and the optimizer of all training recipes."""

    # Examples per batch.
    batch_size: Count = 32
    # Batches whose gradients are averaged for each update of the weights.
    accumulation_steps: Count = 1
    # Peak learning rate of AdamW.
    learning_rate: Positive = 1e-3
    # Decoupled weight decay of kernels and embeddings. Biases, normalizations and scales are not
    # decayed.
    weight_decay: NonNegative = 0.01
    # Epsilon of AdamW.
    adam_epsilon: Positive = 1e-6
    # Largest norm of all gradients together. None: no clipping.
    clip_norm: Positive | None = 1.0


@dataclasses.dataclass(frozen=True)
class EpochOptions:
    """How long to train, counted in passes over the training examples."""

    # Passes over the training examples.
    epochs: Count = 10
    # Batches per epoch. None: as many as the training examples fill.
    steps_per_epoch: Count | None = None
