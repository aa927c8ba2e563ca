"""AdamW as the papers use it, and the schedule of the language recipes."""

import keras
from keras import ops


def adamw(model, learning_rate, *, weight_decay, epsilon, clip_norm, **kwargs):
    """Returns AdamW that decays the matrices of `model`, not its biases and normalizations.

    Args:
        model: A built model, of which the trainable variables are optimized.
        learning_rate: Float or schedule.
        weight_decay: Float, decoupled weight decay.
        epsilon: Float, epsilon of Adam.
        clip_norm: Float, largest norm of all gradients together, `None` for no clipping.
        **kwargs: Further arguments of `keras.optimizers.AdamW`.
    """
    optimizer = keras.optimizers.AdamW(
        learning_rate,
        weight_decay=weight_decay,
        epsilon=epsilon,
        global_clipnorm=clip_norm,
        **kwargs,
    )
    vectors = [variable for variable in model.trainable_variables if len(variable.shape) < 2]
    optimizer.exclude_from_weight_decay(var_list=vectors)
    return optimizer


@keras.saving.register_keras_serializable(package="keras_gimlp_recipes")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from 0 to `peak` in `warmup_steps` steps, then falls linearly to 0 at `steps`.

    Keras has warm-up only before a cosine.
    """

    def __init__(self, peak, warmup_steps, steps):
        super().__init__()
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.steps = steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = step / max(self.warmup_steps, 1) if self.warmup_steps else ops.ones_like(step)
        fall = (self.steps - step) / max(self.steps - self.warmup_steps, 1)
        return self.peak * ops.clip(ops.minimum(rise, fall), 0.0, 1.0)

    def get_config(self):
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "steps": self.steps}
