"""AdamW in one pass over the weights."""

import keras
from keras import ops

if keras.backend.backend() == "torch":
    import torch

# A step after which nothing is left to correct: the rate holds the corrections.
LATE = 1e9


@keras.saving.register_keras_serializable(package="keras_gimlp")
class AdamW(keras.optimizers.AdamW):
    """A `keras.optimizers.AdamW` that on PyTorch updates weights and moments in one pass.

    It takes what `keras.optimizers.AdamW` takes and computes the same. On PyTorch, Keras' own goes
    over the weights ten times, with three copies of them in between. On the other backends, where
    the compiler joins the passes, this is Keras' own.

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
            if self.amsgrad:
                super()._backend_update_step(grads, trainable_variables, learning_rate)
                return
            step = ops.cast(self.iterations + 1, "float32")
            # As Keras: `epsilon` is added to a root that is not corrected.
            correction = ops.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
            rate = ops.cast(learning_rate, "float32") * correction
            late = torch.full((), LATE, device=rate.device)
            groups = {}  # one for each data type
            for gradient, variable in zip(grads, trainable_variables, strict=True):
                i = self._get_variable_index(variable)
                weight = variable.value
                gradient = gradient.to(weight.dtype).contiguous()  # whose memory it walks through
                tensors = weight, gradient, self._momentums[i].value, self._velocities[i].value
                group = groups.setdefault(weight.dtype, ([], [], [], []))
                for members, tensor in zip(group, tensors, strict=True):
                    members.append(tensor)
            for weights, gradients, ms, vs in groups.values():
                torch._fused_adamw_(
                    *(weights, gradients, ms, vs, [], [late] * len(weights)),
                    lr=rate,
                    beta1=self.beta_1,
                    beta2=self.beta_2,
                    weight_decay=0.0,  # Keras has applied it
                    eps=self.epsilon,
                    amsgrad=False,
                    maximize=False,
                )
