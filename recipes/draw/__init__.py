"""Pictures of models. The function `draw` of each file can be called in a notebook too.

It takes a model, and its inputs where the picture needs some, and returns a `Figure` of matplotlib.
It raises `PictureError` for a model that has no such picture.
"""


class PictureError(ValueError):
    """A picture that cannot be drawn of this model; the message says why in one sentence."""
