"""The gradient of a function of one tensor, on every backend."""

import keras
import numpy as np
from keras import ops


def gradient(function, x):
    """Returns the gradient at an array of a function from a tensor to a tensor of one number."""
    x = ops.convert_to_tensor(x)
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.jit(jax.grad(function))(x))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x).numpy()
    import torch

    x = x.detach().requires_grad_()
    return torch.autograd.grad(function(x), x)[0].cpu().numpy()
