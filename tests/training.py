"""One step of training, to see what it reaches."""

import keras
import numpy as np
from keras import ops

from tests.conftest import JIT


def unmoved(model, x, y, loss, jit_compile=JIT):
    """Trains for one step and returns the paths of the trainable weights that it left in place."""
    # Every weight with a gradient moves by the learning rate, however small the gradient is.
    optimizer = keras.optimizers.Lion(0.01)
    optimizer.build(model.trainable_variables)  # TensorFlow would trace the step twice
    before = [ops.convert_to_numpy(v).copy() for v in model.trainable_variables]
    model.compile(optimizer, loss, jit_compile=jit_compile)
    model.fit(x, y, shuffle=False, verbose=0)
    return [
        variable.path
        for variable, old in zip(model.trainable_variables, before, strict=True)
        if np.abs(ops.convert_to_numpy(variable) - old).max() < 5e-3
    ]
