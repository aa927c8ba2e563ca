"""A part of the tokens, in a form that torch.compile can trace.

torch.compile gives up at the code of `keras.layers.Cropping1D`. No figure is kept; to compare,
replace the layer by that one:
`python -m studies.speed --models AFT_Full_S --backends torch --jit_compile on --no_peers`.

The class is in saved files: when torch.compile traces `Cropping1D`, new models can take that one.
"""

import keras


@keras.saving.register_keras_serializable(package="keras_gimlp")
class TokenSlice(keras.layers.Layer):
    """Returns the tokens from `start` up to `stop`, which is left out.

    Args:
        start: Integer, the first token.
        stop: Integer, `None` for all that follow. Defaults to `None`.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: Tensor of shape `(batch, tokens, channels)`.

    Output shape:
        `(batch, stop - start, channels)`.
    """

    def __init__(self, start, stop=None, **kwargs):
        super().__init__(**kwargs)
        self.start = start
        self.stop = stop

    def call(self, inputs):
        return inputs[:, self.start : self.stop]

    def get_config(self):
        return {**super().get_config(), "start": self.start, "stop": self.stop}
