"""Functional models that keep no tensor longer than they need it."""

import keras

from keras_gimlp.applications.compiled_whole import CompiledWhole


class Frugal:
    """Mixed into a functional model, lets go of each tensor after its last use.

    Keras keeps what every layer returns until the model is done. Where each operation is computed
    by itself, as PyTorch does it by default, that is several times the memory, all of it new to the
    processor. Compiled models are the same with and without.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        depths = sorted(self._nodes_by_depth, reverse=True)
        nodes = [node for depth in depths for node in self._nodes_by_depth[depth]]
        nodes = [node for node in nodes if not node.is_input]
        last = {id(x): node for node in nodes for x in node.input_tensors}
        # Past what Keras tracks.
        self.__dict__["_last_uses"] = {
            id(node): [
                id(x)
                for x in {id(x): x for x in node.input_tensors}.values()
                if last[id(x)] is node and not any(x is output for output in self.outputs)
            ]
            for node in nodes
        }
        self.__dict__["_ordered_nodes"] = nodes

    def _run_through_graph(self, inputs, operation_fn=lambda op: op, call_fn=None):
        if call_fn is not None:  # Keras clones the model
            return super()._run_through_graph(inputs, operation_fn, call_fn)
        found = dict(zip(map(id, self.inputs), keras.tree.flatten(inputs), strict=True))
        for node in self._ordered_nodes:
            if not all(id(x) in found for x in node.input_tensors):
                continue  # as in Keras, since an input can be optional
            args, kwargs = node.arguments.fill_in(found)
            outputs = operation_fn(self._get_operation_for_node(node))(*args, **kwargs)
            found.update(zip(map(id, node.outputs), keras.tree.flatten(outputs), strict=True))
            del args, kwargs, outputs
            for key in self._last_uses[id(node)]:
                del found[key]
        return keras.tree.pack_sequence_as(
            self._outputs_struct, [found[id(x)] for x in self.outputs]
        )


@keras.saving.register_keras_serializable(package="keras_gimlp")
class ImageModel(CompiledWhole, Frugal, keras.Model):
    """A functional model on images."""
