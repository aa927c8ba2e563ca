"""The gate with inhibition of giMLPs."""

import keras
from keras import ops

from keras_gimlp.backend.dense import Dense
from keras_gimlp.backend.gelu import fastest
from keras_gimlp.layers.arguments import check_optional_integers, check_positive_integers
from keras_gimlp.layers.composite import CompositeLayer
from keras_gimlp.layers.inhibition import Inhibition


@keras.saving.register_keras_serializable(package="keras_gimlp")
class GateWithInhibition(CompositeLayer):
    """Computes a gate: the factor that multiplies the keys, queries or features of a layer.

        i = GELU(inputs W_g + b_g)
        s = i W_i + b_i
        gate = GELU(s - inhibition * max s) + 1

    The threshold, a fraction of the largest `s`, inhibits all that does not stand out. `W_i` and
    `b_i` start at zero, so a new gate is 1 everywhere and adding gates to a pretrained model leaves
    its outputs unchanged.

    Args:
        units: Integer, channels of the gate. Defaults to `None`, as many as the inputs have.
        hidden_units: Integer, channels of `i`. Fewer than `units` make a low-rank gate. Defaults to
            `None`, the same as `units`.
        inhibition: Float in [0, 1], fraction of the maximum to subtract. Defaults to 0.3.
        scope: `"example"`, `"token"` or `"batch"`, what the maximum is taken over; see
            `Inhibition`. Defaults to `"example"`.
        activation: Activation in both places, a name or a function. The paper finds that a short,
            smooth negative tail works best. A new gate starts at 1 if the activation is 0 at 0. A
            gate whose kernel starts at zero never learns with `"relu"`, whose gradient at 0 is 0:
            pass another `kernel_initializer`. Defaults to `"gelu"`, the exact GELU.
        residual: Whether to add 1, as the paper does for keys and queries. Without it, the gate is
            the one in the paper's Figure 2 (left), and starts near 0. Defaults to `True`.
        gates: Integer, number of gates to compute from the same inputs, each with its own weights;
            their `W_g` form one matrix. Defaults to 1.
        kernel_initializer: Initializer of `W_i`. Defaults to `"zeros"`.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: Tensor of shape `(batch, ..., channels)`: tokens or images.
        mask: Optional boolean tensor of the shape of `inputs` without the channels, true where
            there is a token. The maximum ignores masked tokens, except with `scope="batch"`.

    Output shape:
        `(batch, ..., gates * units)`, one gate after another.

    Raises:
        ValueError: If `units`, `hidden_units` or `gates` is not a positive integer, `inhibition` is
            outside [0, 1], `scope` is not one of the values above, or the number of channels is
            unknown.

    Differences from the paper:
        The released code takes the maximum over the whole batch, padding included
        (`scope="batch"`), and initializes `W_i` with a standard deviation of 0.02.

    Example:

    ```python
    import keras
    from keras_gimlp import layers

    gate = layers.GateWithInhibition(inhibition=0.3)
    hidden = keras.ops.ones((2, 128, 64))
    keys = keras.layers.Dense(64)(hidden) * gate(hidden)  # (2, 128, 64)
    ```

    Reference:
        Kang et al., "giMLPs: Gate with Inhibition Mechanism in MLPs" (2022), arXiv:2208.00929,
        Figure 2.
    """

    def __init__(
        self,
        units=None,
        hidden_units=None,
        inhibition=0.3,
        scope="example",
        activation="gelu",
        residual=True,
        gates=1,
        *,
        kernel_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_optional_integers(units=units, hidden_units=hidden_units)
        check_positive_integers(gates=gates)
        self.units = units
        self.hidden_units = hidden_units
        self.inhibition = inhibition
        self.scope = scope
        self.activation = keras.activations.get(activation)
        self.residual = residual
        self.gates = gates
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.inhibit = Inhibition(inhibition, scope, dtype=self.dtype_policy, name="inhibit")
        self.supports_masking = True

    def build(self, input_shape):
        if input_shape[-1] is None:
            raise ValueError(
                "`GateWithInhibition` needs `inputs` with known channels. "
                f"Received: inputs.shape={tuple(input_shape)}"
            )
        units = self.units or input_shape[-1]
        hidden_units = self.hidden_units or units
        self.gate_projection = self.sublayer(
            Dense, "gate_projection", input_shape, units=hidden_units * self.gates
        )
        self.inhibition_projections = [
            self.sublayer(
                Dense,
                f"inhibition_projection_{n}",
                (*input_shape[:-1], hidden_units),
                units=units,
                kernel_initializer=self.kernel_initializer.clone(),
            )
            for n in range(self.gates)
        ]
        self.inhibit.build((*input_shape[:-1], units))

    def call(self, inputs, mask=None):
        activation = fastest(self.activation)
        hidden = activation(self.gate_projection(inputs))  # (B, ..., hidden_units * gates)
        gates = []
        for i, project in zip(
            ops.split(hidden, self.gates, axis=-1), self.inhibition_projections, strict=True
        ):
            s = project(i)  # (B, ..., units)
            gate = activation(self.inhibit(s, mask=mask))
            gates.append(gate + 1 if self.residual else gate)
        return ops.concatenate(gates, axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.gates * (self.units or input_shape[-1]))

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "hidden_units": self.hidden_units,
            "inhibition": self.inhibition,
            "scope": self.scope,
            "activation": keras.activations.serialize(self.activation),
            "residual": self.residual,
            "gates": self.gates,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
