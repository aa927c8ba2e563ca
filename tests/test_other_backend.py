"""What one backend saves, another one loads, and predicts the same with it."""

import keras_hub
import numpy as np
import pytest

from keras_gimlp import applications
from tests.applications.text import test_gated_encoders, test_gmlp_mlm
from tests.families import images, tiny
from tests.test_package import other_backend, python

# What the other backend runs: it loads each model of a folder, and writes what that predicts.
ELSEWHERE = """
import pathlib, sys, keras, keras_hub, numpy as np
from keras_gimlp import applications

applications.giBERT
for folder in pathlib.Path(sys.argv[1]).iterdir():
    if (folder / "model.keras").exists():
        model = keras.saving.load_model(folder / "model.keras")
    else:
        model = keras_hub.models.Task.from_preset(str(folder), preprocessor=None)
    x = dict(np.load(folder / "x.npz"))
    x = x.get("images", x)
    np.save(folder / "y.npy", model.predict(x, verbose=0))
"""


@pytest.mark.process
def test_what_is_saved_here_predicts_the_same_on_another_backend(tmp_path):
    encoder = test_gated_encoders.small("giBERT")
    models = {
        "images": tiny("aMLP", classes=3, drop_path_rate=0.1),
        "classifier": applications.giBERTTextClassifier(encoder, 2, preprocessor=None),
        "masked words": applications.gMLPMaskedLM(test_gmlp_mlm.small(attention_dim=4)),
    }
    inputs = {
        "images": images(4, 8, 8, 3),
        "classifier": test_gated_encoders.tokens("giBERT"),
        "masked words": test_gmlp_mlm.masked(test_gmlp_mlm.texts()),
    }
    expected = {}
    for name, model in models.items():
        folder, x = tmp_path / name, inputs[name]
        folder.mkdir()
        if isinstance(model, keras_hub.models.Task):
            model.save_to_preset(str(folder))
        else:
            model.save(folder / "model.keras")
        np.savez(folder / "x.npz", **(x if isinstance(x, dict) else {"images": x}))
        expected[name] = model.predict(x, verbose=0)
    python(ELSEWHERE, tmp_path, backend=other_backend())
    for name, value in expected.items():
        found = np.load(tmp_path / name / "y.npy")
        np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-5, err_msg=name)
