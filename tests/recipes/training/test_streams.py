import tensorflow as tf

from recipes.training import streams
from tests.conftest import once

pytestmark = once


def test_batches_that_are_ready_wait_for_no_tuning():
    examples = tf.data.Dataset.range(10).batch(4)
    batches = streams.ready(examples)
    assert [list(batch) for batch in batches.as_numpy_iterator()] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    assert batches.options().autotune.enabled is False
