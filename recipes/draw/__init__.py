"""Pictures of models. Each file has a function `draw` that a notebook can call too.

It takes a model, and its inputs where the picture needs some, and returns a `Figure` of matplotlib.
A model that has no such thing is a `PictureError`.
"""


class PictureError(ValueError):
    """A picture that cannot be drawn of this model; the message says why in one sentence."""
