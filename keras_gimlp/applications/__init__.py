"""Models by name, with the signature of `keras.applications`."""

from keras.applications.imagenet_utils import decode_predictions as decode_predictions

from keras_gimlp.applications.gmlp import gMLP as gMLP
from keras_gimlp.applications.gmlp import gMLP_B as gMLP_B
from keras_gimlp.applications.gmlp import gMLP_S as gMLP_S
from keras_gimlp.applications.gmlp import gMLP_Ti as gMLP_Ti
from keras_gimlp.applications.gmlp import preprocess_input as preprocess_input


def list_models():
    """Returns the names of all models of the papers' sizes, for `getattr(applications, name)`."""
    return ["gMLP_Ti", "gMLP_S", "gMLP_B"]
