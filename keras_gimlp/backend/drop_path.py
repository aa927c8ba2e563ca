"""Stochastic depth, in a form that torch.compile can trace."""

import keras


@keras.saving.register_keras_serializable(package="keras_gimlp")
class DropPath(keras.layers.Dropout):
    """A `keras.layers.Dropout` of whole examples.

    In training, each example becomes zero with probability `rate`, and is divided by `1 - rate`
    otherwise. A model that PyTorch compiles draws from PyTorch's own generator: Keras makes one in
    each call, which cannot be compiled, and there the model would fall into pieces.

    Args:
        **kwargs: Arguments of `keras.layers.Dropout`. In `noise_shape`, all but the first are 1.

    Call arguments:
        inputs: Tensor of shape `(batch, ...)`.
        training: Boolean, whether to drop anything.

    Output shape:
        Same as `inputs`.

    Reference:
        Huang et al., "Deep Networks with Stochastic Depth" (2016), arXiv:1603.09382.
    """

    def call(self, inputs, training=False):
        if keras.backend.backend() == "torch" and training and self.rate > 0:
            import torch

            if torch.compiler.is_compiling():
                kept = inputs.new_ones((inputs.shape[0], *self.noise_shape[1:]))
                return inputs * torch.nn.functional.dropout(kept, self.rate)
        return super().call(inputs, training=training)
