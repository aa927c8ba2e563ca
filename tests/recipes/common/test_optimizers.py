"""The schedule of the language recipes."""

import keras
import numpy as np
import pytest

from recipes.common.optimizers import LinearDecay


@pytest.mark.parametrize("warmup", [0, 4])
def test_learning_rate_rises_and_falls_linearly(warmup):
    schedule = LinearDecay(0.5, warmup, 20)
    rates = [float(keras.ops.convert_to_numpy(schedule(step))) for step in range(22)]
    rise = [0.5 * step / 4 for step in range(warmup)]
    fall = np.linspace(0.5, 0, 21 - warmup)
    np.testing.assert_allclose(rates, [*rise, *fall, 0.0], atol=1e-6)


def test_schedule_is_kept_in_a_config():
    schedule = LinearDecay(0.5, 4, 20)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert again.get_config() == schedule.get_config()
