"""Functional models that torch.compile takes as one operation."""

import keras

if keras.backend.backend() == "torch":
    import torch

LAYERS = keras.layers
# Keras' layers that change no variable when they are called, and whose Python does nothing else
# that would have to be done again in each step. Ours are all like that.
PURE = (
    *(LAYERS.InputLayer, LAYERS.Conv2D, LAYERS.Dropout, LAYERS.Reshape, LAYERS.Permute),
    *(LAYERS.Add, LAYERS.Multiply, LAYERS.Softmax, LAYERS.Activation, LAYERS.ReversibleEmbedding),
    *(LAYERS.GlobalAveragePooling1D, LAYERS.GlobalAveragePooling2D),
    *(LAYERS.GlobalMaxPooling1D, LAYERS.GlobalMaxPooling2D),
)


class CompiledWhole:
    """Mixed into a functional model, spares torch.compile the code of Keras.

    torch.compile reads the Python of a call, of which Keras has a lot in each layer; for a deep
    model, that takes longer than to compile the operations. Here it reads nothing: the model is
    called once, and the operations on its tensors are recorded, as JAX and TensorFlow do it. As
    there, what is no tensor is fixed until the model is compiled again.

    A model with layers that could do more than compute, such as ones that a user puts into a clone,
    is read by torch.compile.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # Past what Keras tracks.
        self.__dict__["_recorded"] = recorded(self) if can_record(self) else None

    def call(self, inputs, training=None, mask=None):
        # Of several inputs, it is a mask for each, or none.
        masked = any(one is not None for one in keras.tree.flatten(mask))
        if self._recorded is None or masked or not compiled_by_torch():
            return super().call(inputs, training=training, mask=mask)
        # Gradients flow to arguments alone; `value` would be cast already in mixed precision.
        values = [variable._value for variable in self.variables]
        # Another number after each `compile`, at which torch.compile records the model again.
        compilation = id(getattr(self, "_compile_config", None))
        return self._recorded(values, inputs, bool(training), compilation)

    if keras.backend.backend() == "torch":

        @torch.compiler.disable
        def zero_grad(self, *args, **kwargs):
            # It asks whether there are gradients, which is no in the first step of `fit` alone: the
            # step that torch.compile makes of it would have to be compiled again for the second.
            super().zero_grad(*args, **kwargs)


def can_record(model):
    return (
        keras.backend.backend() == "torch"
        and hasattr(torch._dynamo, "nonstrict_trace")  # since PyTorch 2.7
        and all(map(is_pure, model._flatten_layers()))
    )


def is_pure(layer):
    """Returns whether a call of a layer computes its outputs and does nothing else."""
    known = type(layer) in PURE or type(layer).__module__.startswith("keras_gimlp.")
    # With a seed, Keras draws from a generator that starts at it in each call.
    seeded = type(layer) is LAYERS.Dropout and (layer.seed, layer.noise_shape) != (None, None)
    return known and not seeded and layer.activity_regularizer is None


def compiled_by_torch():
    return torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting()


def recorded(model):
    """Returns a function of a model's variables and inputs, which torch.compile does not read.

    It records the function again where the last argument has another value.
    """

    def compute(values, inputs, training, _):
        with keras.StatelessScope(state_mapping=zip(model.variables, values, strict=True)):
            return super(CompiledWhole, model).call(inputs, training=training)

    return torch._dynamo.nonstrict_trace(compute)


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
