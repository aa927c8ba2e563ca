"""The options of the benchmark, and named sets of them.

They stand outside of `__main__`, which the processes of the models cannot import.
"""

import dataclasses
from typing import Literal

from recipes.program.command_line import Count, Whole, named


@dataclasses.dataclass(frozen=True)
class Config:
    """What to measure."""

    # Configuration that gives every other option its default.
    config: str = "short"
    # Folder of the results, which must be empty. None: runs/benchmark-CONFIG.
    run_dir: str | None = None
    # Models of keras_gimlp.applications, such as gMLP_S or "giBERT_Base(rank=64)".
    models: tuple[str, ...] = ("gMLP_Ti", "CycleMLP_B1")
    # Backends of Keras. None: all that are installed.
    backends: tuple[Literal["tensorflow", "jax", "torch"], ...] | None = None
    # Files that recipes.export wrote for ONNX Runtime or OpenVINO, measured in inference.
    files: tuple[str, ...] = ()
    # Whether to measure the installed peers too.
    peers: bool = True
    # Kinds of steps.
    modes: tuple[Literal["inference", "training"], ...] = ("inference", "training")
    # Precision of the computation. bfloat16, with weights of bfloat16 too, is for inference only.
    precisions: tuple[Literal["float32", "mixed_bfloat16", "bfloat16"], ...] = ("float32",)
    # on: compiled by XLA, on PyTorch by torch.compile. off: not compiled, except on JAX. auto: as
    # Keras does by default, which does not compile on PyTorch.
    jit_compile: tuple[Literal["auto", "on", "off"], ...] = ("auto",)
    # Examples per step.
    batch_sizes: tuple[Count, ...] = (8,)
    # Sides of the images in pixels.
    image_sizes: tuple[Count, ...] = (224,)
    # Tokens per text.
    sequence_lengths: tuple[Count, ...] = (128,)
    # Steps between the first and the measurement.
    warmup_steps: Whole = 2
    # Steps per turn.
    steps: Count = 2
    # Turns per model.
    rounds: Count = 3
    # Whether to list the slowest operations of the models that run on PyTorch.
    profile: bool = False
    # Side of the matrices whose product gives the matrix rate. None: 2048, on accelerators 8192.
    matrix_size: Count | None = None


ALL = Config(jit_compile=("on", "off"), rounds=7)
CONFIGURATIONS = named(
    {
        "short": Config(),
        # gMLP in both precisions, and what recomputing its blocks costs.
        "gmlp": dataclasses.replace(
            ALL,
            models=("gMLP_S", "gMLP_S(remat=True)"),
            precisions=("float32", "mixed_bfloat16", "bfloat16"),
        ),
        "images": dataclasses.replace(ALL, models=("CycleMLP_B1", "MLPMixer_B16", "ResMLP_S24")),
        "texts": dataclasses.replace(
            ALL,
            models=(
                *("giBERT_Base", "giBERT_Base(rank=64)"),
                *("gMLP_MLM_Base", "gMLP_MLM_Base(remat=True)"),
            ),
            modes=("training",),
            jit_compile=("auto",),
        ),
        "long_texts": dataclasses.replace(
            ALL,
            models=("gMLP_MLM_Base",),
            modes=("training",),
            jit_compile=("auto",),
            sequence_lengths=(512,),
        ),
        # For an accelerator.
        "accelerator": dataclasses.replace(
            ALL,
            models=(
                *("gMLP_S", "gMLP_B", "CycleMLP_B1", "CycleMLP_B5", "MLPMixer_B16"),
                *("giDeBERTaV3_Base", "gMLP_MLM_Base"),
            ),
            backends=("jax", "torch"),
            precisions=("mixed_bfloat16", "bfloat16"),
            jit_compile=("on",),
            batch_sizes=(128,),
            steps=10,
        ),
    }
)
