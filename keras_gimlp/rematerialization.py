"""Recomputing the activations of a block in the backward pass, instead of keeping them.

Keras rematerializes single layers (`keras.RematScope`), which keeps the input of every layer. A
block of our models is several layers, of which only the input and the output need to be kept.
"""

import keras
from keras import ops

from keras_gimlp.families import block_of


def rematerialize(model):
    """Lets a model compute the activations of each block again in the backward pass.

    Training then keeps the inputs and outputs of the blocks, and the inside of one block at a time.
    It computes about a third more. Weights, their names, outputs and saved files stay the same. A
    loaded model is not rematerialized.

    On processors, JAX (0.10.2) computes the blocks again but saves no memory.

    Args:
        model: A built functional model with blocks of `keras_gimlp.applications` or encoder layers
            of KerasHub, or a task on one. It is changed in place.

    Raises:
        ValueError: If `model` has no such blocks.

    Example:

    ```python
    import keras_gimlp

    model = keras_gimlp.applications.gMLP_S(depth=2)
    keras_gimlp.rematerialize(model)
    model.compile("adamw", "categorical_crossentropy")
    ```

    Reference:
        Chen et al., "Training Deep Nets with Sublinear Memory Cost" (2016), arXiv:1604.06174.
    """
    ends = {block_of(operation): operation for operation in operations(model)}
    if not ends.keys() - {None}:
        raise ValueError(
            "`model` must be a functional model with blocks of `keras_gimlp.applications` or "
            f"encoder layers of KerasHub. Received: model={model!r}"
        )
    started = {}

    def call(operation, *args, **kwargs):
        outputs = operation(*args, **kwargs)
        name = block_of(operation)
        if name is None:
            return outputs
        inputs, made = started.setdefault(name, ({}, set()))
        for tensor in keras.tree.flatten((args, kwargs)):
            if isinstance(tensor, keras.KerasTensor) and id(tensor) not in made:
                inputs[id(tensor)] = tensor
        made.update(map(id, keras.tree.flatten(outputs)))
        if operation is not ends[name]:
            return outputs
        inputs = list(inputs.values())
        return Recomputed(keras.Model(inputs, outputs), name=f"{name}_recomputed")(inputs)

    # Another model of the same inputs and outputs, since a compiled one would be compiled again.
    same = keras.Model(model.input, model.output)
    recomputing = keras.models.clone_model(
        same, clone_function=lambda layer: layer, call_function=call, recursive=True
    )
    model.call = recomputing.call


def operations(model):
    """Yields what a functional model computes, and what the models inside it compute, in order."""
    for operation in getattr(model, "operations", ()):
        yield operation
        yield from operations(operation)


class Recomputed(keras.layers.Layer):
    """Computes a block, and computes it again in the backward pass.

    Args:
        block: A `keras.Model` with a list of inputs.
    """

    def __init__(self, block, name):
        super().__init__(name=name)
        self.block = block

    def call(self, inputs, training=None):
        trained, state = self.block.trainable_variables, self.block.non_trainable_variables
        # A copy, since PyTorch writes into the values of a variable.
        state_before = [ops.copy(variable) for variable in state]
        # Tensors that have a gradient are arguments, or TensorFlow would not find them.
        differentiable = [x for x in inputs if is_float(x)] + [v.value for v in trained]

        def compute(*values):
            values = iter(values)
            tensors = [next(values) if is_float(x) else x for x in inputs]
            # Stateless, since the second computation must not draw from a dropout's seed again.
            outputs, state_after = self.block.stateless_call(
                list(values), state_before, tensors, training=training
            )
            return outputs, *state_after

        outputs, *state_after = keras.remat(compute)(*differentiable)
        for variable, value in zip(state, state_after, strict=True):
            variable.assign(value)
        return outputs

    def compute_output_spec(self, inputs, training=None):
        return keras.tree.map_structure(
            lambda output: keras.KerasTensor(output.shape, output.dtype), self.block.output
        )


def is_float(tensor):
    return keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype))
