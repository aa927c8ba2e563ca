"""The complementary error function, which TensorFlow's GELU takes, for ONNX, which has only erf."""

import numpy as np
from tf2onnx.handler import tf_op
from tf2onnx.utils import make_name


@tf_op("Erfc")
class Erfc:
    """Writes `erfc(x)` as `1 - erf(x)`; tf2onnx 1.17 knows no form of it."""

    @classmethod
    def version_9(cls, graph, node, **kwargs):
        (output,), shapes, dtypes = node.output, node.output_shapes, node.output_dtypes
        graph.remove_node(node.name)
        one = graph.make_const(make_name("one"), np.ones((), "float32"))
        erf = graph.make_node("Erf", node.input)
        graph.make_node(
            "Sub", [one.output[0], erf.output[0]], outputs=[output], shapes=shapes, dtypes=dtypes
        )
