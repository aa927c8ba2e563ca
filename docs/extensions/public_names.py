"""What is public, with its docstring as a part of a page.

    ```{public} keras_gimlp.layers.CycleFC
    $$ ... $$
    ```

The docstrings are Markdown in Google's sections. Their formulas are plain text, which a terminal
shows: here each is replaced, in turn, by one between dollars, if there are any. With the option
`summary`, there is the first line alone.

Where a page has a public name as code, it becomes a link to that part.
"""

import importlib
import inspect
import re
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

SECTION = re.compile(r"^([A-Z][A-Za-z ]*):$")
ITEM = re.compile(r"^([\w*][\w*, ]*): (.*)$")
FORMULA = re.compile(r"(?:(?<=\n\n)|^)(?:    .*\n?|\n(?=    ))+")
FIELDS = {"Args": "param", "Attributes": "ivar", "Raises": "raises"}
MODULES = ("keras_gimlp", "keras_gimlp.layers", "keras_gimlp.weights", "keras_gimlp.applications")
MODULES += ("keras_gimlp.distribution", "keras_gimlp.optimizers")


class Public(SphinxDirective):
    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"summary": directives.flag}

    def run(self):
        module, _, name = self.arguments[0].rpartition(".")
        value = getattr(importlib.import_module(module), name)
        math = re.findall(r"\$\$.*?\$\$", "\n".join(self.content), re.DOTALL)
        text = render(module, name, value, math, "summary" in self.options)
        self.env.note_dependency(inspect.getsourcefile(inspect.unwrap(value)))
        parsed = nodes.Element()
        self.state.nested_parse(StringList(text.splitlines(), source=name), 0, parsed)
        return parsed.children


def render(module, name, value, math=(), summary=False):
    """Returns the directive of Sphinx, in MyST's Markdown, that describes a class or function."""
    kind = "class" if inspect.isclass(value) else "function"
    lines = [f":::::{{py:{kind}}} {name}{'' if summary else signature(value)}"]
    lines += [f":module: {module}", ""]
    description, sections = split(inspect.getdoc(value))
    if summary:
        return "\n".join([*lines, description.partition("\n\n")[0], ":::::"])
    for formula in math:
        description, count = FORMULA.subn(lambda _, f=formula: f + "\n", description, count=1)
        if not count:
            raise ValueError(f"The docstring of {name} has fewer formulas than its page.")
    if math and FORMULA.search(description):
        raise ValueError(f"The docstring of {name} has more formulas than its page.")
    lines.append(description)
    for title, body in sections:
        if title in FIELDS:
            lines += ["", *(field(f":{FIELDS[title]} {of}:", text) for of, text in items(body))]
        elif title == "Returns":
            lines += ["", field(":returns:", body)]
        elif title == "Call arguments":
            lines += ["", f"**{title}**", ""]
            lines += [field(f"- `{of}`:", text) for of, text in items(body)]
        else:
            lines += ["", f"**{title}**", "", body]
    return "\n".join([*lines, ":::::"])


def signature(value):
    # `'gelu'` is what a caller writes; the address of a function is not.
    return re.sub(r"<function (\w+) at \w+>", r"\1", str(inspect.signature(value)))


def split(docstring):
    """Returns the description and the sections, as pairs of title and body, of a docstring."""
    description, sections = [], []
    current = description
    lines = docstring.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        title = SECTION.match(line)
        if title and (following.startswith("    ") or title[1] == "Example"):
            current = []
            sections.append((title[1], current))
        else:
            if line[:1].strip() and current is not description and sections[-1][0] != "Example":
                current = description  # a paragraph between sections
            current.append(line)
    join = lambda lines: inspect.cleandoc("\n" + "\n".join(lines))  # noqa: E731
    return "\n".join(description), [(title, join(body)) for title, body in sections]


def items(body):
    """Returns pairs of name and text of a section that lists arguments or errors."""
    pairs = []
    for line in body.splitlines():
        item = ITEM.match(line)
        if item:
            pairs.append((item[1].replace("*", r"\*").replace(", ", ","), [item[2]]))
        else:
            pairs[-1][1].append(line.strip())
    return [(name, "\n".join(lines)) for name, lines in pairs]


def field(head, body):
    return head + " " + body.replace("\n", "\n    ")


class LinkPublicNames(SphinxPostTransform):
    """Links code that is a public name, such as `gMLP_S` or `keras_gimlp.layers.CycleFC`."""

    default_priority = 5  # before references are resolved

    def run(self, **kwargs):
        objects = self.env.domains.python_domain.objects
        names = {name.rpartition(".")[2]: name for name in objects} | {n: n for n in objects}
        for node in list(self.document.findall(nodes.literal)):
            text = node.astext()
            name = names.get(text.removeprefix("applications.").removeprefix("layers."))
            if name is None or isinstance(node.parent, nodes.reference | pending_xref):
                continue
            link = pending_xref(
                "", refdomain="py", reftype="obj", reftarget=name, refdoc=self.env.docname
            )
            node.replace_self(link)
            link += node


def setup(app):
    app.add_directive("public", Public)
    app.add_post_transform(LinkPublicNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
