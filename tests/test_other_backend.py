"""What one backend saves, another one loads, and predicts the same with it."""

import keras_hub
import numpy as np
import pytest

from keras_gimlp import applications
from tests.applications.text import test_gated_encoders, test_gmlp_mlm
from tests.families import images, tiny
from tests.test_package import other_backend, python

# What the other backend runs: it loads the model in each folder, and writes what that predicts.
ELSEWHERE = """
import pathlib, sys, keras, keras_hub, numpy as np
from keras_gimlp import applications

applications.giBERT
for folder in pathlib.Path(sys.argv[1]).iterdir():
    if folder.name == "images":
        model = keras.saving.load_model(folder / "model.keras")
    else:
        model = getattr(keras_hub.models, folder.name).from_preset(str(folder), preprocessor=None)
    x = dict(np.load(folder / "x.npz"))
    np.save(folder / "y.npy", model.predict(x.get("images", x), verbose=0))
"""


@pytest.mark.process
def test_what_is_saved_here_predicts_the_same_on_another_backend(tmp_path):
    encoder = test_gated_encoders.small("giBERT")
    classifier = applications.giBERTTextClassifier(encoder, 2, preprocessor=None)
    masked_lm = applications.gMLPMaskedLM(test_gmlp_mlm.small(attention_dim=4))
    sentences = test_gmlp_mlm.masked(test_gmlp_mlm.texts())
    expected = {}
    for name, model, x, tolerance in (
        ("images", tiny("aMLP", classes=3), {"images": images(4, 8, 8, 3)}, 1e-6),
        ("TextClassifier", classifier, test_gated_encoders.tokens("giBERT"), 1e-5),
        ("MaskedLM", masked_lm, sentences, 1e-4),
    ):
        folder = tmp_path / name
        folder.mkdir()
        if isinstance(model, keras_hub.models.Task):
            model.save_to_preset(str(folder))
        else:
            model.save(folder / "model.keras")
        np.savez(folder / "x.npz", **x)
        expected[name] = model.predict(x.get("images", x), verbose=0), tolerance
    python(ELSEWHERE, tmp_path, backend=other_backend())
    for name, (value, tolerance) in expected.items():
        predicted = np.load(tmp_path / name / "y.npy")
        np.testing.assert_allclose(predicted, value, rtol=1e-4, atol=tolerance, err_msg=name)
