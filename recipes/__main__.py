"""Lists the jobs: `python -m recipes`."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).parent.parent
# In the order in which a user meets them.
GROUPS = {
    "Train": (
        "recipes.image_classification",
        "recipes.mlm_pretraining",
        "recipes.glue",
        "recipes.squad",
        "recipes.swag",
        "recipes.ner",
    ),
    "Use": (
        "recipes.fill_masks",
        "recipes.compare",
        "recipes.draw",
        "recipes.export",
        "recipes.card",
    ),
    "Measure": (
        "studies.speed",
        "studies.scaling.attention",
        "studies.scaling.text",
        "studies.scaling.devices",
        "studies.scaling.plan",
        "studies.gates.levels",
        "studies.gates.diagnosis",
    ),
}


def path_of(job):
    """Returns the file of a job: a module, or the `__main__` of a package."""
    path = ROOT.joinpath(*job.split("."))
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def summary(job):
    """Returns the first line of a job's docstring; nothing is imported."""
    module = ast.parse(path_of(job).read_text("utf-8"))
    return ast.get_docstring(module).splitlines()[0]


def main():
    width = max(len(job) for jobs in GROUPS.values() for job in jobs)
    for group, jobs in GROUPS.items():
        print(group)
        for job in jobs:
            print(f"  python -m {job:{width}}  {summary(job)}")
    print("\n--help after any of them shows its options.")


if __name__ == "__main__":
    main()
