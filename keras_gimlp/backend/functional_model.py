"""Functional models, in the form in which PyTorch runs and compiles them best.

Keras keeps the output of every layer until the model is done, and lets torch.compile read the
Python of every layer. On PyTorch, the models here let go of each tensor after its last use, and
torch.compile takes them as one operation. On TensorFlow and JAX they are Keras' own, as they are
where one of the private names that this file needs is gone.

Measured on PyTorch by `python -m studies.speed --config gmlp --models gMLP_S --modes inference`:
memory of 180 instead of 773 MiB; a first step, compiled, of 1.3 instead of 3.0 times timm's.

The file can go when Keras deletes tensors after their last use, and torch.compile takes a Keras
model without reading it.
"""

import keras

from keras_gimlp.backend.drop_path import DropPath

if keras.backend.backend() == "torch":
    import torch


class FunctionalModel:
    """Mixed into a functional model, runs it in the form that suits the backend."""

    if keras.backend.backend() == "torch":

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            steps, recording = (unless_gone(make, self) for make in (steps_of, recorded))
            self.__dict__.update(_steps=steps, _recorded=recording)  # past what Keras tracks

        def _run_through_graph(self, inputs, operation_fn=lambda op: op, call_fn=None):
            if self.__dict__.get("_steps") is None or call_fn is not None:  # Keras clones the model
                return super()._run_through_graph(inputs, operation_fn, call_fn)
            steps, pack = self._steps
            tensors = dict(zip(map(id, self.inputs), keras.tree.flatten(inputs), strict=True))
            for step in steps:
                if not all(key in tensors for key in step.inputs):
                    continue  # as in Keras, since an input can be optional
                args, kwargs = step.fill_in(tensors)
                outputs = operation_fn(step.operation)(*args, **kwargs)
                tensors.update(zip(step.outputs, keras.tree.flatten(outputs), strict=True))
                del args, kwargs, outputs
                for key in step.last_used:
                    del tensors[key]
            return pack([tensors[id(x)] for x in self.outputs])

        def call(self, inputs, training=None, mask=None):
            # Of several inputs, `mask` holds a mask for each, or none.
            masked = any(one is not None for one in keras.tree.flatten(mask))
            if self._recorded is None or masked or not compiled_by_torch():
                return super().call(inputs, training=training, mask=mask)
            # Gradients flow to arguments alone; `value` would be cast already in mixed precision.
            values = [variable._value for variable in self.variables]
            # Another number after each `compile`, at which torch.compile records the model again.
            compilation = id(getattr(self, "_compile_config", None))
            return self._recorded(values, inputs, bool(training), compilation)

        @torch.compiler.disable
        def zero_grad(self, *args, **kwargs):
            # It asks whether there are gradients, which is no in the first step of `fit` alone: the
            # step that torch.compile makes of it would have to be compiled again for the second.
            super().zero_grad(*args, **kwargs)


def unless_gone(make, model):
    """Returns `make(model)`, or `None` where a private name that it needs is gone."""
    try:
        return make(model)
    except AttributeError:
        return None


class Step:
    """The call of one operation in a model, and the tensors that no later one takes."""

    def __init__(self, node, last_used):
        self.operation = node.operation
        self.fill_in = node.arguments.fill_in
        self.inputs = [id(x) for x in node.input_tensors]
        self.outputs = [id(x) for x in node.outputs]
        self.last_used = last_used


def steps_of(model):
    """Returns the calls that a model is made of, in order, and what packs its outputs."""
    depths = sorted(model._nodes_by_depth, reverse=True)
    nodes = [node for depth in depths for node in model._nodes_by_depth[depth]]
    steps, needed = [], {id(x) for x in model.outputs}
    for node in reversed([node for node in nodes if not node.is_input]):
        inputs = {id(x) for x in node.input_tensors}
        steps.append(Step(node, inputs - needed))
        needed |= inputs
    structure = model._outputs_struct
    return steps[::-1], lambda outputs: keras.tree.pack_sequence_as(structure, outputs)


def recorded(model):
    """Returns a function of a model's variables and inputs, which torch.compile does not read.

    It is called once, and the operations on its tensors are recorded, as JAX and TensorFlow do it.
    As there, what is no tensor is fixed until the model is compiled again, here by the last
    argument. `None` for a model that does more than compute: torch.compile reads it.
    """
    if not only_computes(model) or not all(hasattr(v, "_value") for v in model.variables):
        return None
    torch.compiler.is_dynamo_compiling, torch.compiler.is_exporting  # noqa: B018  there?

    def compute(values, inputs, training, _):
        with keras.StatelessScope(state_mapping=zip(model.variables, values, strict=True)):
            return super(FunctionalModel, model).call(inputs, training=training)

    return torch._dynamo.nonstrict_trace(compute)


def only_computes(model):
    """Returns whether a call of a model changes no variable and adds no loss.

    It is known of the layers of Keras and of this package that have no state. A layer from
    elsewhere could do anything that has to be done again in each step.
    """
    layers = list(model._flatten_layers())
    unused = {id(layer.seed_generator.state) for layer in layers if draws_unseeded(layer)}
    return all(
        type(layer).__module__.startswith(("keras.src.layers.", "keras_gimlp."))
        and layer.activity_regularizer is None
        for layer in layers
    ) and all(variable.trainable or id(variable) in unused for variable in model.variables)


def draws_unseeded(layer):
    """Returns whether a layer draws from PyTorch's own generator, and not from one of Keras."""
    if not isinstance(layer, keras.layers.Dropout) or not layer.rate:
        return False
    return isinstance(layer, DropPath) or (layer.seed, layer.noise_shape) == (None, None)


def compiled_by_torch():
    return torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting()


@keras.saving.register_keras_serializable(package="keras_gimlp")
class ImageModel(FunctionalModel, keras.Model):
    """A functional model on images."""
