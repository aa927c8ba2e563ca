"""Computes memory, communication and efficiency of training a gMLP on many chips.

    python -m studies.scaling.plan
    python -m studies.scaling.plan --chip h100 --devices 16 128 --models gMLP_S gMLP_MLM_Large

One table in Markdown for each model, computed from the model's weights and products and from rates
that vendors publish. Nothing is measured; studies/scaling/README.md has the assumptions.

The chips form a mesh of `data x model` chips. The chips of the axis "model" share one copy of the
weights, as in Megatron-LM: expansions and the patch embedding are split by output channels, the
token embedding by tokens, contractions and the classifier by input channels. Every other weight is
on all chips.
"""

import dataclasses
import math
import pathlib
import re
from typing import Annotated, Literal

from recipes import image_classification as images
from recipes import mlm_pretraining
from recipes.program import command_line, files
from recipes.program.command_line import Count, Positive, Range

PROGRAM = "python -m studies.scaling.plan"
Share = Annotated[float, Range(above=0, most=1)]
IMAGES = images.CONFIGURATIONS["imagenet_gmlp_b"].batch_size
TEXTS = mlm_pretraining.CONFIGURATIONS["gmlp_xlarge"].batch_size
# The models to plan, and the examples per step in the paper (Appendix A).
BATCHES = {"gMLP_Ti": IMAGES, "gMLP_S": IMAGES, "gMLP_B": IMAGES}
BATCHES |= {"gMLP_MLM_Base": TEXTS, "gMLP_MLM_Large": TEXTS, "gMLP_MLM_XLarge": TEXTS}
# The weights that the axis "model" splits.
SHARED = re.compile(
    r"(_expand/kernel|_expand/bias|_contract/kernel|predictions/kernel|token_embedding/embeddings"
    r"|patch_embedding/kernel|patch_embedding/bias)$"
)


@dataclasses.dataclass(frozen=True)
class Chip:
    """Memory, peak rates and links of a chip."""

    title: str
    memory: float  # bytes
    matrix_rate: float  # bfloat16 operations a second
    link_rate: float  # bytes a second that a chip sends to its neighbors
    island: int  # chips joined by these links
    island_rate: float | None  # bytes a second from an island to others; None: not published


# The link rate of a TPU is its share of the pod's all-reduce bandwidth, as the vendor calls it.
CHIPS = {
    # https://docs.cloud.google.com/tpu/docs/v4
    "tpu_v4": Chip("TPU v4", 32 * 2**30, 275e12, 1.1e15 / 4096, 4096, None),
    # https://docs.cloud.google.com/tpu/docs/v5e
    "tpu_v5e": Chip("TPU v5e", 16e9, 197e12, 51.2e12 / 256, 256, 6.4e12 / 8),
    # NVIDIA's data sheet of the H100 SXM: 1,979 Tflop/s with sparsity, half of it without; 900 GB/s
    # of NVLink, half of it in each direction. A DGX H100 has eight network cards of 400 Gbit/s:
    # https://docs.nvidia.com/dgx-basepod/reference-architecture-infrastructure-foundation-enterprise-ai/latest/core-components.html
    "h100": Chip("H100 SXM", 80e9, 1979e12 / 2, 450e9, 8, 8 * 400e9 / 8),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """What to plan."""

    # gMLP_Ti, gMLP_S, gMLP_B, gMLP_MLM_Base, gMLP_MLM_Large or gMLP_MLM_XLarge.
    models: tuple[str, ...] = ("gMLP_B", "gMLP_MLM_XLarge")
    # Numbers of chips, one column each.
    devices: tuple[Count, ...] = (8, 64, 512)
    # The chip, whose published rates are the defaults of the options below.
    chip: Literal["tpu_v4", "tpu_v5e", "h100"] = "tpu_v4"
    # Examples per step of all chips together. None: as in the paper, 4,096 images or 256 texts.
    batch_size: Count | None = None
    # Chips that share a copy of the weights. None: the fewest for which the memory suffices and the
    # batch can be divided.
    model_devices: Count | None = None
    # Memory of a chip in GB. None: as published.
    memory: Positive | None = None
    # Fraction of the memory that the plan may fill.
    memory_share: Share = 0.9
    # Peak rate of bfloat16 products in Tflop/s. None: as published.
    matrix_rate: Positive | None = None
    # Fraction of this rate that the products reach.
    utilization: Share = 0.4
    # Rate from a chip to its neighbors in GB/s. None: as published.
    link_rate: Positive | None = None
    # File for the tables. None: they are only printed.
    output: pathlib.Path | None = None


@dataclasses.dataclass(frozen=True)
class Job:
    """The training of a model: its sizes and those of a step."""

    name: str
    parameters: int
    shared: int  # parameters that the axis "model" splits
    macs: int  # multiply-accumulates of the products for one example, forward
    depth: int
    dim: int
    ffn_dim: int
    tokens: int  # of an example
    batch_size: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """A job on `data x model` chips: what one chip holds, computes and sends in a step."""

    job: Job
    chip: Chip
    data: int
    model: int
    recompute: bool  # whether the backward pass computes each block again
    utilization: float

    @property
    def examples(self):
        """Examples per step of the chips that share one copy of the weights."""
        return self.job.batch_size // self.data

    @property
    def parameters(self):
        return self.job.parameters - self.job.shared + self.job.shared / self.model

    @property
    def state_bytes(self):
        """The weights in float32 and the two moments of AdamW."""
        return 12 * self.parameters

    @property
    def gradient_bytes(self):
        """The gradients in float32, and the copy of the weights in bfloat16."""
        return 6 * self.parameters

    def block_bytes(self, dim_bytes, ffn_bytes):
        """The bytes kept of a block, given the bytes per token and channel of its two widths."""
        per_token = dim_bytes * self.job.dim + ffn_bytes * self.job.ffn_dim / self.model
        return self.examples * self.job.tokens * per_token

    @property
    def least_activation_bytes(self):
        """The values that the backward pass needs, each once in bfloat16.

        For each of the `dim` channels of a token two values: the input and the normalized input.
        For each two of the `ffn_dim` channels seven: two before and two after GELU, and in one half
        the normalization, the gate and the gated value.
        """
        return self.job.depth * self.block_bytes(4, 7)

    @property
    def activation_bytes(self):
        """The values that JAX keeps under `mixed_bfloat16`, before XLA improves on it."""
        return self.job.depth * self.block_bytes(6, 10)

    @property
    def recomputed_activation_bytes(self):
        """The input of every block in bfloat16, and all of the block that is recomputed."""
        return self.job.depth * self.block_bytes(2, 0) + self.block_bytes(6, 10)

    @property
    def memory(self):
        kept = self.recomputed_activation_bytes if self.recompute else self.activation_bytes
        return self.state_bytes + self.gradient_bytes + kept

    @property
    def operations(self):
        """Two for each multiply-accumulate forward, twice as many backward."""
        passes = 4 if self.recompute else 3
        return 2 * passes * self.job.macs * self.job.batch_size / (self.data * self.model)

    @property
    def sent_gradient_bytes(self):
        """A ring's all-reduce of gradients in float32 over the chips that hold the same weights."""
        return 2 * (self.data - 1) / self.data * 4 * self.parameters

    @property
    def sent_activation_bytes(self):
        """The activations between the chips that share a copy of the weights, in bfloat16."""
        if self.model == 1:
            return 0
        # One all-reduce forward, of the contraction's output, and one backward, of the gradients of
        # the expansion's input.
        sums = 2 * 2 * (self.model - 1) / self.model * self.job.dim
        # The gate and the half that it multiplies lie on different chips. The programs of XLA (JAX
        # 0.10.2) for a block on 2 and on 4 chips move at most this many values per token; half of
        # them are assumed to be forward.
        halves = self.job.ffn_dim * (1.5 if self.recompute else 1)
        return 2 * (sums + halves) * self.examples * self.job.tokens * self.job.depth

    @property
    def compute_seconds(self):
        return self.operations / (self.chip.matrix_rate * self.utilization)

    @property
    def communication_seconds(self):
        rate = self.chip.link_rate
        if self.data * self.model > self.chip.island:
            # `model` rings leave every island and share its links.
            rate = min(rate, self.chip.island_rate / self.model)
        return self.sent_gradient_bytes / rate + self.sent_activation_bytes / self.chip.link_rate

    @property
    def seconds(self):
        """The least and the most of a step, with full and without overlap of communication."""
        compute, communication = self.compute_seconds, self.communication_seconds
        return max(compute, communication), compute + communication


def main(arguments=None):
    config = command_line.parse_options(Config, PROGRAM, __doc__, arguments)
    for name in config.models:
        command_line.one_of(name, BATCHES, "model to plan")
    chip = adjusted(config)
    if max(config.devices) > chip.island and chip.island_rate is None:
        raise SystemExit(f"--devices must be at most {chip.island:,} with --chip {config.chip}.")
    tables = []
    for name in config.models:
        job = build(name, config.batch_size or BATCHES[name])
        plans = [choose(job, chip, devices, config) for devices in config.devices]
        tables.append(f"{caption(plans[0])}\n\n{table(plans)}")
    text = "\n".join(tables)
    if config.output is not None:
        config.output.parent.mkdir(parents=True, exist_ok=True)
        config.output.write_text(text)
    print(text, end="")


def adjusted(config):
    """Returns the chip, with the options in place of published rates."""
    units = {"memory": 1e9, "matrix_rate": 1e12, "link_rate": 1e9}
    given = {name: getattr(config, name) for name in units}
    return dataclasses.replace(
        CHIPS[config.chip], **{k: units[k] * v for k, v in given.items() if v is not None}
    )


def build(name, batch_size):
    """Returns the job of training a model of `keras_gimlp.applications`."""
    import keras

    from keras_gimlp import applications

    try:
        # Variables get a shape but no value: the values of the largest model would take 4 GB.
        with keras.StatelessScope(initialize_variables=False):
            return describe(name, getattr(applications, name)(), batch_size)
    except ImportError as error:
        raise SystemExit(str(error)) from error
    finally:
        keras.utils.clear_session(free_memory=False)  # or the next scope would give them values


def describe(name, model, batch_size):
    """Returns the job of training a gMLP."""
    from keras_gimlp import counting

    dim, ffn_dim = model.get_layer("block0_expand").kernel.shape
    # A text encoder takes any number of tokens up to `sequence_length`.
    tokens = model.get_layer("block0_gate").output.shape[1] or model.sequence_length
    shared = [v.shape for v in model.trainable_variables if SHARED.search(v.path)]
    return Job(
        name=name,
        parameters=model.count_params(),
        shared=sum(map(math.prod, shared)),
        macs=counting.count_macs(model, tokens),
        depth=sum(re.fullmatch(r"block\d+_gate", layer.name) is not None for layer in model.layers),
        dim=dim,
        ffn_dim=ffn_dim,
        tokens=tokens,
        batch_size=batch_size,
    )


def choose(job, chip, devices, config):
    """Returns the plan with the fewest chips per copy of the weights, or ends the program.

    Blocks are recomputed only if the memory does not suffice otherwise.
    """
    room = config.memory_share * chip.memory
    powers = [2**i for i in range(min(devices, chip.island).bit_length())]
    for model in powers if config.model_devices is None else [config.model_devices]:
        data, rest = divmod(devices, model)
        if rest or not data or job.batch_size % data or job.ffn_dim // 2 % model:
            continue
        for recompute in (False, True):
            plan = Plan(job, chip, data, model, recompute, config.utilization)
            if plan.memory <= room:
                return plan
    raise SystemExit(
        f"There is no plan for {job.name} on {devices:,} chips: a batch of {job.batch_size:,} must "
        "be a multiple of the copies of the weights, and what a chip holds must fit into "
        f"{rounded(room / 1e9)} GB."
    )


def caption(plan):
    job, chip = plan.job, plan.chip
    return (
        f"**{job.name}**: {job.parameters:,} parameters, {rounded(job.macs / 1e9)} G "
        f"multiply-accumulates an example of {job.tokens} tokens, {job.batch_size:,} examples a "
        f"step. {chip.title}: {rounded(chip.memory / 1e9)} GB, {rounded(chip.matrix_rate / 1e12)} "
        f"Tflop/s at {percent(plan.utilization)}, {rounded(chip.link_rate / 1e9)} GB/s."
    )


def table(plans):
    """Returns the table of some plans, one in each column."""
    columns = [describe_plan(plan) for plan in plans]
    return files.markdown_table(
        ["", *(f"{plan.data * plan.model} chips" for plan in plans)],
        [[name, *(column[name] for column in columns)] for name in columns[0]],
    )


def describe_plan(plan):
    """Returns the numbers of a plan as texts, by their names in the table."""

    def giga(number):
        return rounded(number / 1e9)

    rates = [rounded(plan.job.batch_size / seconds) for seconds in reversed(plan.seconds)]
    return {
        "mesh, data x model": f"{plan.data} x {plan.model}",
        "examples for a copy of the weights": f"{plan.examples:,}",
        "parameters a chip, M": rounded(plan.parameters / 1e6),
        "weights and moments of AdamW, GB": giga(plan.state_bytes),
        "gradients and bfloat16 weights, GB": giga(plan.gradient_bytes),
        "activations, GB: least / JAX": (
            f"{giga(plan.least_activation_bytes)} / {giga(plan.activation_bytes)}"
        ),
        "activations if blocks are recomputed, GB": giga(plan.recomputed_activation_bytes),
        "blocks are recomputed": "yes" if plan.recompute else "no",
        "memory of a chip in use, GB": giga(plan.memory),
        "arithmetic of a chip, Tflop": rounded(plan.operations / 1e12),
        "gradients sent by a chip, GB": giga(plan.sent_gradient_bytes),
        "activations sent by a chip, GB": giga(plan.sent_activation_bytes),
        "computation, ms": rounded(1e3 * plan.compute_seconds),
        "communication, ms": rounded(1e3 * plan.communication_seconds),
        "efficiency, without to with full overlap": efficiency(plan),
        "examples a second": " to ".join(rates),
    }


def efficiency(plan):
    """Returns the fraction of a step in which a chip computes, without and with full overlap."""
    return percent(*(plan.compute_seconds / seconds for seconds in reversed(plan.seconds)))


def percent(*numbers):
    return f"{' to '.join(dict.fromkeys(f'{100 * number:.0f}' for number in numbers))} %"


def rounded(number):
    """Returns a number with three significant digits."""
    return f"{float(f'{number:.3g}'):,.10g}"


if __name__ == "__main__":
    command_line.run(main)
