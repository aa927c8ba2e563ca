"""AdamW in one pass over the weights.

On PyTorch, Keras computes a step of AdamW by ten passes over all weights, with three copies of them
in between; here PyTorch's fused kernel computes it in one. On the other backends, whose compilers
join the passes, and where one of Keras' private names is gone, this is Keras' own.

Measured with gMLP_S in float32, compiled, on an Intel Xeon: training at 1.22 of timm's rate, and at
1.08 with Keras' AdamW
(`python -m studies.speed --config gmlp --models gMLP_S --modes training --precisions float32`).

The file can go when Keras' AdamW calls PyTorch's fused kernel.
"""

import keras
from keras import ops

if keras.backend.backend() == "torch":
    import torch
    from torch.optim.adamw import adamw

# Keras puts the corrections of the moments, 1 - beta**step, into the learning rate. PyTorch divides
# the moments by them; at a step as late as this one they are 1, and PyTorch corrects nothing.
LATE = 1e9


@keras.saving.register_keras_serializable(package="keras_gimlp")
class AdamW(keras.optimizers.AdamW):
    """A `keras.optimizers.AdamW` that on PyTorch updates weights and moments in one pass.

    It takes what `keras.optimizers.AdamW` takes and computes the same. On the other backends, it is
    Keras' own.

    On PyTorch, the moments of bfloat16 weights are corrected in float32. Keras corrects them in
    bfloat16, where 0.999 is 1 and nothing is left of an update.

    Args:
        *args, **kwargs: Arguments of `keras.optimizers.AdamW`. With `amsgrad=True`, the update is
            Keras' own on every backend.

    Example:

    ```python
    import keras_gimlp

    model = keras_gimlp.applications.gMLP_S(depth=2)
    model.compile(keras_gimlp.optimizers.AdamW(1e-3), "categorical_crossentropy")
    ```

    Reference:
        Loshchilov & Hutter, "Decoupled Weight Decay Regularization" (2019), arXiv:1711.05101.
    """

    if keras.backend.backend() == "torch":

        @torch.compiler.disable  # which would read Keras' code for each weight, and gains nothing
        def apply(self, grads, trainable_variables=None):
            return super().apply(grads, trainable_variables)

        @torch.no_grad()
        def _backend_update_step(self, grads, trainable_variables, learning_rate):
            try:
                places = [self._get_variable_index(x) for x in trainable_variables]
                moments = [(self._momentums[i].value, self._velocities[i].value) for i in places]
            except AttributeError:  # Keras calls them otherwise
                moments = None
            if self.amsgrad or moments is None:
                super()._backend_update_step(grads, trainable_variables, learning_rate)
                return
            weights = [variable.value for variable in trainable_variables]
            # The kernel walks through memory.
            grads = [g.to(w.dtype).contiguous() for g, w in zip(grads, weights, strict=True)]
            first, second = map(list, zip(*moments, strict=True))
            step = ops.cast(self.iterations + 1, "float32")
            correction = ops.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
            rate = ops.cast(learning_rate, "float32") * correction
            late = torch.full((), LATE, device=rate.device)
            adamw(
                *(weights, grads, first, second, [], [late] * len(weights)),
                fused=True,
                lr=rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                weight_decay=0.0,  # Keras has applied it
                eps=self.epsilon,
                amsgrad=False,
                maximize=False,
            )
