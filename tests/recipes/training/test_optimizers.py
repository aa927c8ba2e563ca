"""Which variables AdamW decays, and the schedules of its learning rate."""

import keras
import keras_hub
import numpy as np
import pytest

from keras_gimlp import applications
from recipes.training import optimizers
from recipes.training.optimizers import LinearDecay
from recipes.training.options import AdamWOptions
from tests.conftest import once

SIZES = {"num_layers": 1, "num_heads": 2, "hidden_dim": 4, "intermediate_dim": 4}
SIZES |= {"max_sequence_length": 8, "vocabulary_size": 20}
STAGES = {"depths": (1, 1), "dims": (8, 8), "mlp_ratios": (2, 2), "stem_size": 3, "stem_strides": 2}
IMAGE = {"input_shape": (8, 8, 3)}
PATCHES = {"patch_size": 4, "depth": 1, "dim": 8}


def text_gmlp(spatial):
    sizes = {"depth": 1, "dim": 8, "ffn_dim": 16, "sequence_length": 8, "attention_dim": 4}
    backbone = applications.gMLP_MLM(vocabulary_size=20, spatial=spatial, **sizes)
    return applications.gMLPMaskedLM(backbone, preprocessor=None)


# By model, the last parts of the paths of what is decayed, and of what is not; with their ranks.
MODELS = {
    "BERT": (
        lambda: keras_hub.models.BertMaskedLM(
            keras_hub.models.BertBackbone(**SIZES), preprocessor=None
        ),
        {("embeddings", 2), ("kernel", 2), ("kernel", 3)},
        {("bias", 1), ("bias", 2), ("output_bias", 1), ("gamma", 1), ("beta", 1)},
    ),
    "giBERT": (
        lambda: applications.giBERT(**SIZES),
        {("embeddings", 2), ("kernel", 2), ("kernel", 3)},
        {("bias", 1), ("bias", 2), ("gamma", 1), ("beta", 1)},
    ),
    "giDeBERTaV3": (
        lambda: applications.giDeBERTaV3(**SIZES, bucket_size=4),
        {("embeddings", 2), ("rel_embedding", 2), ("kernel", 2), ("kernel", 3)},
        {("bias", 1), ("bias", 2), ("gamma", 1), ("beta", 1)},
    ),
    "dense gMLP": (
        lambda: text_gmlp("dense"),
        {("embeddings", 2), ("kernel", 2)},
        {("bias", 1), ("gamma", 1), ("beta", 1)},
    ),
    "Toeplitz gMLP": (
        lambda: text_gmlp("toeplitz"),
        {("embeddings", 2), ("kernel", 2), ("kernel", 1)},
        {("bias", 1), ("gamma", 1), ("beta", 1)},
    ),
    "CycleMLP": (
        lambda: applications.CycleMLP_B1(**STAGES, **IMAGE),
        {("kernel", 2), ("kernel", 4)},
        {("bias", 1), ("gamma", 1), ("beta", 1)},
    ),
    "ResMLP": (
        lambda: applications.ResMLP_S12(**PATCHES, **IMAGE),
        {("kernel", 2), ("kernel", 4)},
        {("bias", 1), ("alpha", 1), ("beta", 1)},
    ),
}


@once
@pytest.mark.parametrize("name", MODELS)
def test_kernels_and_embeddings_are_decayed_whatever_their_rank(name):
    build, decayed, kept = MODELS[name]
    model = build()
    optimizer = optimizers.adamw(model, 0.1, AdamWOptions())
    optimizer.build(model.trainable_variables)
    found = {True: set(), False: set()}
    for variable in model.trainable_variables:
        kind = (variable.path.rpartition("/")[2], len(variable.shape))
        found[optimizer._use_weight_decay(variable)].add(kind)
    assert found[True] == decayed
    assert found[False] == kept
    # Checkpoints name the variables by their paths.
    for variables in (model.variables, optimizer.variables):
        assert len({variable.path for variable in variables}) == len(variables)


def rates(schedule, steps):
    return [float(keras.ops.convert_to_numpy(schedule(step))) for step in steps]


@pytest.mark.parametrize("warmup", [0, 4])
def test_learning_rate_rises_and_falls_linearly(warmup):
    rise = [0.5 * step / 4 for step in range(warmup)]
    fall = np.linspace(0.5, 0, 21 - warmup)
    found = rates(LinearDecay(0.5, warmup, 20), range(22))
    np.testing.assert_allclose(found, [*rise, *fall, 0.0], atol=1e-6)


@pytest.mark.parametrize("warmup", [0, 4])
def test_learning_rate_falls_as_a_cosine(warmup):
    rise = [0.5 * step / 4 for step in range(warmup)]
    fall = 0.25 * (1 + np.cos(np.linspace(0, np.pi, 21 - warmup)))
    found = rates(optimizers.cosine_decay(0.5, warmup, 20), range(21))
    np.testing.assert_allclose(found, [*rise, *fall], atol=1e-6)


@once
def test_schedule_is_kept_in_a_config():
    schedule = LinearDecay(0.5, 4, 20)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert again.get_config() == schedule.get_config()


@once
def test_warmup_takes_at_most_half_of_the_run_and_says_so(capsys):
    assert optimizers.limit_warmup(22, 44) == 22
    assert not capsys.readouterr().out
    assert optimizers.limit_warmup(23, 44) == 22
    assert optimizers.limit_warmup(100, 1) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Warm-up takes 22 of the run's 44 updates, instead of 23."


@once
def test_accumulated_batches_are_fewer_updates():
    assert optimizers.count_updates(AdamWOptions(accumulation_steps=4), 11) == 2
    with pytest.raises(SystemExit, match="--accumulation_steps must be at most .*, 3. Received: 4"):
        optimizers.count_updates(AdamWOptions(accumulation_steps=4), 3)
