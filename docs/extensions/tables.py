"""Tables and lists that the pages take from the code.

`{models} image` or `{models} text`, `{catalogue}` of the published weights and `{cards}` with a
section for each of them, `{differences}` from the docstrings of the names given, and `{jobs}` with
the docstring of every job.
"""

import ast
import importlib
import inspect

import keras
import public_names
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from keras_gimlp import applications, weights
from keras_gimlp.counting import count_macs
from recipes.__main__ import GROUPS, path_of
from recipes.program.files import markdown_table

TOKENS = 128  # of the texts whose multiply-accumulates are counted

# ImageNet top-1 in percent, as the papers print it. What is not here has none that we know.
PAPERS = {
    **{"gMLP_Ti": "72.3", "gMLP_S": "79.6", "gMLP_B": "81.6"},
    **{"CycleMLP_B1": "78.9", "CycleMLP_B2": "81.6", "CycleMLP_B3": "82.4", "CycleMLP_B4": "83.0"},
    "CycleMLP_B5": "83.2",
    **{"MLPMixer_B16": "76.4", "MLPMixer_L16": "71.8"},
    **{"ResMLP_S12": "76.6", "ResMLP_S24": "79.4", "ResMLP_S36": "79.7"},
    **{"AFT_Full_Ti": "72.4", "AFT_Full_S": "79.8", "AFT_Conv_Ti_32_11": "73.9"},
    **{"AFT_Conv_Ti_192_11": "74.8", "AFT_Conv_S_16_11": "80.2", "AFT_Conv_S_384_11": "80.8"},
    **{"AFT_Conv_S_384_15": "81.0"},
}


class Generated(SphinxDirective):
    """A directive whose content is what its subclass writes in MyST's Markdown."""

    optional_arguments = 20

    def run(self):
        parsed = nodes.Element()
        lines = self.markdown(*self.arguments).splitlines()
        self.state.nested_parse(StringList(lines, source=self.name), 0, parsed, match_titles=True)
        return parsed.children


class Models(Generated):
    def markdown(self, kind):
        return images() if kind == "image" else texts()


def build(name, **kwargs):
    # Variables get a shape and no value: the largest model alone would take 4 GB.
    with keras.StatelessScope(initialize_variables=False):
        model = getattr(applications, name)(**kwargs)
    keras.utils.clear_session(free_memory=False)  # or the next scope would fill them
    return model


def images():
    rows = []
    for name in applications.list_models(kind="image"):
        model = build(name)
        published = [weights.find(entry) for entry in weights.list_weights(name)]
        best = max((entry.top1 for entry in published if entry.top1), default=None)
        rows.append(
            (
                f"`{name}`",
                f"{model.count_params():,}",
                f"{count_macs(model) / 1e9:.2f}",
                PAPERS.get(name, ""),
                f"{best:.1f}" if best else "",
                "any" if takes_any_size(name) else "fixed",
                maps(name),
            )
        )
    heads = ["model", "parameters", "G MACs", "paper, top-1, %"]
    heads += ["best weights, top-1, %", "size", "feature maps"]
    return markdown_table(heads, rows)


def takes_any_size(name):
    try:
        build(name, input_shape=(None, None, 3))
    except ValueError:
        return False
    return True


def maps(name):
    """Returns the least and the greatest stride, in pixels, of a model's feature maps."""
    levels = build(name, include_top=False, feature_maps=True).output
    strides = [224 // level.shape[1] for level in levels.values()]
    return " to ".join(str(stride) for stride in dict.fromkeys((strides[0], strides[-1])))


def texts():
    rows = []
    for name in applications.list_models(kind="text"):
        model = build(name)
        longest = getattr(model, "sequence_length", None) or getattr(
            model, "max_sequence_length", 0
        )
        rows.append(
            (
                f"`{name}`",
                f"{model.count_params():,}",
                f"{count_macs(model, TOKENS) / 1e9:.1f}",
                f"{longest:,}" if longest else "any",
            )
        )
    heads = ["model", "parameters", f"G MACs for {TOKENS} tokens", "longest text, tokens"]
    return markdown_table(heads, rows)


class Catalogue(Generated):
    def markdown(self):
        rows = []
        for entry in map(weights.find, weights.list_weights()):
            hashed = f"`{entry.sha256[:12]}`" + (" ..." if len(entry.sha256) > 12 else "")
            rows.append(
                (
                    f"[{entry.name}](#card-{entry.name})",
                    f"`{entry.built_as}`",
                    "" if entry.top1 is None else f"{entry.top1:.2f}",
                    "" if entry.top5 is None else f"{entry.top5:.2f}",
                    f"{entry.interpolation}, crop {entry.crop}",
                    f"{entry.mean}, {entry.deviation}",
                    entry.license,
                    hashed if entry.sha256 else "none",
                    "yes" if entry.imagenet else "",
                )
            )
        heads = (
            "name",
            "model",
            "top-1, %",
            "top-5, %",
            "images",
            "mean, deviation of pixels in [0, 1]",
        )
        return markdown_table([*heads, "license", "SHA-256", '`"imagenet"`'], rows)  # fmt: skip


class Cards(Generated):
    def markdown(self):
        return "\n".join(card(weights.find(name)) for name in weights.list_weights())


def card(entry):
    """Returns a section with what is known of published weights, and how they are loaded."""
    arguments = "".join(f", {name}={value!r}" for name, value in entry.arguments.items())
    return f"""
(card-{entry.name})=
## {entry.name}

```text
{entry}
```
```python
model = applications.{entry.model}(weights="{entry.name}"{arguments})
images = applications.preprocess_input(pixels, weights="{entry.name}")
```
"""


class Differences(Generated):
    """How the public names of a module, or the names given, differ from the paper."""

    def markdown(self, module, *names):
        package = importlib.import_module(module)
        lines = []
        for name in names or package.__all__:
            _, sections = public_names.split(inspect.getdoc(getattr(package, name)))
            differences = dict(sections).get("Differences from the paper")
            if differences is None:
                raise ValueError(f"The docstring of {name} says nothing of the paper.")
            lines += [f"`{name}`", f": {differences}", ""]
            lines[-2] = lines[-2].replace("\n", "\n  ")
        return "\n".join(lines)


class Jobs(Generated):
    """The docstrings of the jobs, as `--help` begins; none is imported."""

    def markdown(self):
        return "\n".join(
            f"### `{job}`\n\n```text\n{docstring(job)}\n```\n"
            for jobs in GROUPS.values()
            for job in jobs
        )


def docstring(job):
    return ast.get_docstring(ast.parse(path_of(job).read_text()))


def setup(app):
    app.add_directive("models", Models)
    app.add_directive("catalogue", Catalogue)
    app.add_directive("cards", Cards)
    app.add_directive("differences", Differences)
    app.add_directive("jobs", Jobs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
