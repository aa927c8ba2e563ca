"""Writes what is supported on which backend: `python -m tests.support_matrix`.

It reads the reports of `make test`, and writes the table into docs/support.md. A test that is not
for a backend makes the cell a "no".
"""

import re
from xml.etree import ElementTree

from recipes.program import files
from tests.conftest import ROOT

BACKENDS = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}
APPLICATIONS = "tests/applications/test_applications.py"
DEVICES = "tests/recipes/test_devices.py"
MEANS = {
    "one device": (
        "tests/recipes/test_image_classification.py::test_every_family_trains_by_name",
        "tests/recipes/test_mlm_pretraining.py::test_every_model_is_pretrained",
        "tests/recipes/test_language_recipes.py::test_every_encoder_is_trained_by_name",
    ),
    "many devices": (f"{DEVICES}::test_devices_and_processes_train_what_one_device_trains",),
    "many processes": (
        f"{DEVICES}::test_devices_and_processes_train_what_one_device_trains",
        f"{DEVICES}::test_a_process_that_dies_ends_the_others_and_the_run_continues",
    ),
    "model parallel": (
        "tests/test_distribution.py::test_devices_that_share_a_model_train_it_like_one_device",
    ),
    "jit": (f"{APPLICATIONS}::test_model_compiles_just_in_time",),
    "bfloat16": (
        f"{APPLICATIONS}::test_mixed_precision_trains_and_classifies_in_float32",
        "tests/applications/text/test_gated_encoders.py::test_mixed_precision_computes_in_half",
        "tests/applications/text/test_gmlp_mlm.py::test_mixed_precision_computes_in_half",
    ),
    "remat": ("tests/test_rematerialization.py",),
    "LoRA": (
        f"{APPLICATIONS}::test_a_quantized_model_keeps_what_lora_learned_when_saved_and_loaded",
        "tests/applications/text/test_gated_encoders.py::test_lora_reaches_the_projections_under_the_gates",
        "tests/applications/text/test_gmlp_mlm.py::test_lora_adapts_every_dense_layer",
    ),
    "int8": (
        f"{APPLICATIONS}::test_a_quantized_model_predicts_the_same_when_saved_and_loaded",
        "tests/applications/text/test_gated_encoders.py::test_gates_quantize_to_int8",
        "tests/applications/text/test_gmlp_mlm.py::test_a_quantized_model_is_saved_and_loaded",
    ),
}
PAGE = ROOT / "docs" / "support.md"
PLACE = re.compile(r"(<!-- support matrix -->\n).*?(<!-- end -->)", re.DOTALL)


def main():
    rows = []
    for backend, name in BACKENDS.items():
        report = ROOT / "runs" / f"tests-{backend}.xml"
        if not report.exists():
            raise SystemExit(f"{report} is missing: make test BACKENDS={backend} writes it.")
        passed = outcomes(report)
        rows.append([name, *(cell(tests, passed) for tests in MEANS.values())])
    table = files.markdown_table(["", *MEANS], rows)
    print(table)
    PAGE.write_text(PLACE.sub(lambda place: place[1] + table + place[2], PAGE.read_text()))


def outcomes(report):
    """Returns for each file and test function in a report whether all of its cases passed."""
    passed = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        file = case.get("classname").replace(".", "/") + ".py"
        test = f"{file}::{case.get('name').partition('[')[0]}"
        whole = case.find("failure") is None and case.find("error") is None
        for key in (file, test):
            passed[key] = passed.get(key, True) and whole
    return passed


def cell(tests, passed):
    """Returns what a table says of `tests`, given what `outcomes` found."""
    if any(test not in passed for test in tests):
        return "no"
    return "yes" if all(passed[test] for test in tests) else "fails"


if __name__ == "__main__":
    main()
