"""Stochastic depth that torch.compile can trace.

Keras makes a generator in each call that draws with `noise_shape`, at which torch.compile cuts the
model in two. The layer draws from PyTorch's own generator there, and is Keras' in all other cases.

No figure is kept. To see the pieces, replace `DropPath` by `keras.layers.Dropout`:
`python -m studies.speed --models "gMLP_S(drop_path_rate=0.1)" --backends torch --jit_compile on`.

The file can go when `keras.layers.Dropout` with `noise_shape` compiles as one graph.
"""

import keras


@keras.saving.register_keras_serializable(package="keras_gimlp")
class DropPath(keras.layers.Dropout):
    """A `keras.layers.Dropout` of whole examples.

    In training, each example becomes zero with probability `rate`, and is divided by `1 - rate`
    otherwise. A model that PyTorch compiles draws from PyTorch's generator, whatever the `seed`.

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
