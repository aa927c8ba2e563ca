"""The plan of a training on many chips, from the sizes of real models."""

import contextlib
import dataclasses
import math
import re

import keras
import pytest

from keras_gimlp import applications
from keras_gimlp.counting import count_macs
from recipes import mlm_pretraining
from recipes.image_classification import CONFIGURATIONS
from studies.scaling import plan
from tests.conftest import ROOT, once

pytestmark = once

IMAGES = {"input_shape": (32, 32, 3), "patch_size": 8, "classes": 10, "dim": 8, "ffn_dim": 24}
TEXT = {"vocabulary_size": 50, "dim": 8, "ffn_dim": 24, "sequence_length": 12}
CHIP = plan.Chip("chip", 1e9, 1e12, 1e9, 64, 2e9)
JOB = plan.Job(
    name="job",
    parameters=1100,
    shared=1000,
    macs=5000,
    depth=3,
    dim=10,
    ffn_dim=40,
    tokens=7,
    batch_size=64,
)


def planned(data, model=1, recompute=False, job=JOB, chip=CHIP, utilization=0.5):
    return plan.Plan(job, chip, data, model, recompute, utilization)


@contextlib.contextmanager
def without_values():
    """Variables get a shape and no value, which is quicker."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session(free_memory=False)  # or the next scope would fill them


def xlarge():
    """Returns the job of the largest model from those of the same model with one and two blocks."""
    with without_values():
        one, two = (
            plan.describe("x", applications.gMLP_MLM_XLarge(depth=depth), 256) for depth in (1, 2)
        )
    sizes = {
        key: getattr(one, key) + 143 * (getattr(two, key) - getattr(one, key))
        for key in ("parameters", "shared", "macs", "depth")
    }
    return dataclasses.replace(one, name="gMLP_MLM_XLarge", **sizes)


# Jobs


def test_sizes_are_those_of_the_model():
    with without_values():
        model = applications.gMLP(depth=2, **IMAGES)
    job = plan.describe("gMLP", model, 64)
    assert job.parameters == sum(math.prod(v.shape) for v in model.weights)
    block = 8 * 24 + 24 + 12 * 8
    assert job.shared == 2 * block + 8 * 8 * 3 * 8 + 8 + 8 * 10
    # Expansion, tokens, contraction; patches and classifier.
    assert job.macs == 2 * 16 * (8 * 24 + 16 * 12 + 12 * 8) + 16 * 8 * 8 * 3 * 8 + 8 * 10
    assert (job.depth, job.dim, job.ffn_dim, job.tokens) == (2, 8, 24, 16)


def test_sizes_of_a_text_encoder_are_those_at_full_length():
    with without_values():
        model = applications.gMLP_MLM(depth=3, **TEXT)
    job = plan.describe("gMLP_MLM", model, 64)
    assert job.parameters == model.count_params()
    assert job.shared == 3 * (8 * 24 + 24 + 12 * 8) + 50 * 8
    assert job.macs == count_macs(model, tokens=12)
    assert (job.depth, job.tokens) == (3, 12)


def test_the_models_of_the_plan_have_the_published_sizes():
    job = plan.build("gMLP_B", 4096)
    assert job.parameters == 73_075_392
    assert job.macs == pytest.approx(15.720e9, abs=1e6 / 2)
    assert (job.depth, job.dim, job.ffn_dim, job.tokens) == (30, 512, 3072, 196)
    job = xlarge()
    assert job.parameters == 940_582_768
    assert 0.96 < 2 * job.macs / 1091.3e9 <= 1  # Table 5, with the element-wise work
    assert (job.depth, job.dim, job.ffn_dim, job.tokens) == (144, 1024, 4096, 512)


def test_models_are_planned_with_the_batches_of_the_paper():
    assert plan.BATCHES["gMLP_B"] == 4096
    assert plan.BATCHES["gMLP_MLM_XLarge"] == 256
    assert CONFIGURATIONS["imagenet_gmlp_s"].batch_size == plan.BATCHES["gMLP_S"]
    base = mlm_pretraining.CONFIGURATIONS["gmlp_base"]
    assert base.batch_size == plan.BATCHES["gMLP_MLM_Base"]
    known = applications.list_models("gmlp*")
    assert sorted(plan.BATCHES) == sorted(known)


# One chip of a plan


def test_data_parallel_chips_hold_all_weights_and_send_their_gradients_twice():
    chip = planned(data=8)
    assert chip.examples == 8
    assert chip.parameters == 1100
    assert chip.state_bytes == 12 * 1100
    assert chip.gradient_bytes == 6 * 1100
    assert chip.operations == 6 * 5000 * 8
    assert chip.sent_gradient_bytes == pytest.approx(2 * 7 / 8 * 4 * 1100)
    assert chip.sent_activation_bytes == 0
    assert planned(data=1).sent_gradient_bytes == 0


def test_chips_that_share_weights_hold_a_part_and_send_activations():
    chip = planned(data=4, model=2)
    assert chip.examples == 16
    assert chip.parameters == 100 + 1000 / 2
    assert chip.operations == 6 * 5000 * 8  # as many chips as above
    assert chip.sent_gradient_bytes == pytest.approx(2 * 3 / 4 * 4 * 600)
    # Two all-reduces of 10 values, of which each chip sends all; 40 values are moved.
    assert chip.sent_activation_bytes == 3 * 16 * 7 * 2 * (2 * 10 + 40)
    # Half of the 40 are moved again.
    chip = planned(data=4, model=2, recompute=True)
    assert chip.sent_activation_bytes == 3 * 16 * 7 * 2 * (2 * 10 + 60)


def test_recomputing_a_block_keeps_its_input_and_computes_it_twice():
    kept, recomputed = planned(data=8), planned(data=8, recompute=True)
    tokens = 8 * 7
    assert kept.least_activation_bytes == 3 * tokens * 2 * (2 * 10 + 3.5 * 40)
    assert kept.activation_bytes == 3 * tokens * (6 * 10 + 10 * 40)
    assert recomputed.recomputed_activation_bytes == tokens * (3 * 2 * 10 + 6 * 10 + 10 * 40)
    assert recomputed.operations == kept.operations * 4 / 3
    assert kept.memory - kept.activation_bytes == 18 * 1100
    assert recomputed.memory - recomputed.recomputed_activation_bytes == 18 * 1100


def test_times_come_from_the_rates():
    chip = planned(data=8)
    assert chip.compute_seconds == chip.operations / 0.5e12
    assert chip.communication_seconds == chip.sent_gradient_bytes / 1e9
    least, most = chip.seconds
    assert least == max(chip.compute_seconds, chip.communication_seconds)
    assert most == chip.compute_seconds + chip.communication_seconds


def test_between_islands_the_slower_links_count():
    inside, across = planned(data=16, model=4), planned(data=32, model=4)
    activations = inside.sent_activation_bytes / 1e9
    assert inside.communication_seconds == inside.sent_gradient_bytes / 1e9 + activations
    # Four rings share the 2e9 bytes a second that leave an island.
    activations = across.sent_activation_bytes / 1e9
    assert across.communication_seconds == across.sent_gradient_bytes / 0.5e9 + activations


@pytest.mark.parametrize("text", [False, True])
def test_activations_are_those_that_jax_keeps(text):
    import jax

    keras.config.set_dtype_policy("mixed_bfloat16")

    def kept(depth):
        """Returns the bytes a token of what the backward pass is given."""
        if text:
            model = applications.gMLP_MLM(depth=depth, **TEXT | {"dim": 64, "ffn_dim": 384})
            ones = jax.numpy.ones((2, 12), "int32")
            x = {"token_ids": ones, "padding_mask": ones}
        else:
            model = applications.gMLP(depth=depth, **IMAGES | {"dim": 64, "ffn_dim": 384})
            x = jax.numpy.ones((2, 32, 32, 3))

        def loss(weights, seeds):
            return model.stateless_call(weights, seeds, x, training=True)[0].sum()

        weights, seeds = (
            [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        )
        backward = jax.eval_shape(lambda *args: jax.vjp(loss, *args)[1], weights, seeds)
        arrays = jax.tree_util.tree_leaves(backward)
        # Those of tokens; the others are weights and single numbers.
        sizes = [x.size * x.dtype.itemsize for x in arrays if x.ndim == 3 and x.shape[0] == 2]
        return sum(sizes) / (2 * (12 if text else 16))

    with without_values():
        block = kept(2) - kept(1)
    one = dataclasses.replace(JOB, depth=1, tokens=1, batch_size=1, dim=64, ffn_dim=384)
    # The normalizations and the mask keep a few numbers for each token.
    assert 0 <= block - planned(data=1, job=one).activation_bytes < 40


# The choice


def test_blocks_are_recomputed_where_the_memory_needs_it():
    config = plan.Config()
    assert not plan.choose(JOB, CHIP, 8, config).recompute
    needed = planned(data=8).memory
    small = dataclasses.replace(CHIP, memory=needed / 0.9 - 1)
    chosen = plan.choose(JOB, small, 8, config)
    assert chosen.recompute
    assert (chosen.data, chosen.model) == (8, 1)


def test_weights_are_shared_where_the_batch_or_the_memory_needs_it():
    config = plan.Config()
    chosen = plan.choose(JOB, dataclasses.replace(CHIP, island=512), 256, config)
    assert (chosen.data, chosen.model) == (64, 4)
    large = dataclasses.replace(JOB, parameters=90_000_000, shared=89_000_000)
    chosen = plan.choose(large, CHIP, 8, config)
    assert (chosen.data, chosen.model) == (4, 2)
    chosen = plan.choose(JOB, CHIP, 8, dataclasses.replace(config, model_devices=4))
    assert (chosen.data, chosen.model) == (2, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "gMLP_X"], "no model to plan named 'gMLP_X'. Did you mean"),
        (["--models", "gMLP_Ti", "--devices", "24"], "no plan for gMLP_Ti on 24 chips: a batch of"),
        (["--models", "gMLP_Ti", "--memory", "0.1"], "must fit into 0.09 GB"),
        (["--devices", "8192"], "--devices must be at most 4,096 with --chip tpu_v4"),
        (["--utilization", "1.5"], "--utilization must be above 0 and at most 1. Received: 1.5"),
    ],
)
def test_mistakes_end_in_one_sentence(arguments, message, tmp_path):
    with pytest.raises(SystemExit, match=message):
        plan.main([*arguments, "--output", str(tmp_path / "plan.md")])
    assert not list(tmp_path.iterdir())


# The table


def test_the_table_is_printed_and_written(tmp_path, capsys):
    path = tmp_path / "new" / "plan.md"
    rates = ["--matrix_rate", "100", "--utilization", "0.5", "--link_rate", "10"]
    plan.main(["--models", "gMLP_Ti", "--devices", "4", "64", *rates, "--output", str(path)])
    text = path.read_text()
    assert capsys.readouterr().out == text
    caption, _, head, _, *lines = text.splitlines()
    assert caption.startswith("**gMLP_Ti**: 5,867,328 parameters, 1.33 G multiply-accumulates")
    assert caption.endswith("TPU v4: 34.4 GB, 100 Tflop/s at 50 %, 10 GB/s.")
    assert head == "|  | 4 chips | 64 chips |"
    rows = {name: cells for name, *cells in (re.findall(r"[^|]+(?= \|)", line) for line in lines)}
    rows = {name.strip(): [cell.strip() for cell in cells] for name, cells in rows.items()}
    assert rows["mesh, data x model"] == ["4 x 1", "64 x 1"]
    assert rows["weights and moments of AdamW, GB"] == ["0.0704", "0.0704"]
    assert rows["arithmetic of a chip, Tflop"][1] == "0.51"  # 6 x 1.329e9 x 64
    assert rows["computation, ms"][1] == "10.2"  # at 50 Tflop/s
    assert rows["communication, ms"][1] == "4.62"  # 2 x 63 / 64 x 4 x 5.867e6 bytes at 10 GB/s
    assert rows["efficiency, without to with full overlap"][1] == "69 to 100 %"


def test_the_tables_of_the_documents_are_those_of_the_command():
    text = (ROOT / "studies" / "scaling" / "README.md").read_text()
    jobs = [plan.build("gMLP_B", 4096), xlarge()]
    for kind in ("tpu_v4", "h100"):
        config = plan.Config(chip=kind)
        chip = plan.adjusted(config)
        for job in jobs:
            plans = [plan.choose(job, chip, devices, config) for devices in config.devices]
            if kind == "tpu_v4":
                assert plan.caption(plans[0]) in text
                assert plan.table(plans) in text
            row = [job.name, chip.title, *map(plan.efficiency, plans)]
            assert f"| {' | '.join(row)} |" in text
