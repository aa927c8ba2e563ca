import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp.backend.drop_path import DropPath


@pytest.mark.parametrize(
    "compiled", [False, pytest.param(True, marks=pytest.mark.backends("torch"))]
)
@pytest.mark.filterwarnings("ignore:Dynamo detected:UserWarning", "ignore::DeprecationWarning")
def test_an_example_is_dropped_whole(rng, compiled):
    keras.utils.set_random_seed(0)
    layer = DropPath(0.25, noise_shape=(None, 1, 1))
    x = ops.convert_to_tensor(rng.normal(size=(4000, 2, 3)).astype("float32"))
    call = layer
    if compiled:
        import torch

        call = torch.compile(layer, backend="aot_eager", fullgraph=True)
    share = ops.convert_to_numpy(call(x, training=True)) / ops.convert_to_numpy(x)
    np.testing.assert_allclose(share, np.broadcast_to(share[:, :1, :1], share.shape), rtol=1e-5)
    dropped = share[:, 0, 0] == 0
    np.testing.assert_allclose(share[~dropped], 1 / 0.75, rtol=1e-5)
    assert abs(dropped.mean() - 0.25) < 0.03  # over four standard deviations
    np.testing.assert_array_equal(ops.convert_to_numpy(call(x, training=False)), x)
