"""Mathematics as MathML, which browsers set by themselves: no script, no fonts to fetch.

LaTeX is turned into MathML when the site is built. Readers of screens can read it too.
"""

from docutils import nodes
from math_core import LatexToMathML

converter = LatexToMathML()


def inline(writer, node):
    writer.body.append(mathml(node, displaystyle=False))
    raise nodes.SkipNode


def block(writer, node):
    writer.body.append(f'<div class="math">{mathml(node, displaystyle=True)}</div>')
    raise nodes.SkipNode


def mathml(node, displaystyle):
    return converter.convert_with_local_state(node.astext(), displaystyle=displaystyle)


def setup(app):
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
