"""AdamW as the papers use it, and the schedules of its learning rate."""

import keras
import tensorflow as tf
from keras import ops

import keras_gimlp

# Ends of the paths of biases, parameters of normalizations and scales, whatever their rank.
NOT_DECAYED = ("bias", "beta", "gamma", "alpha", "scale")


def adamw(model, learning_rate, options, **kwargs):
    """Returns AdamW that decays kernels and embeddings, but no biases, normalizations and scales.

    `**kwargs` are further arguments of `keras.optimizers.AdamW`.
    """
    steps = options.accumulation_steps
    arguments = {
        "weight_decay": options.weight_decay,
        "epsilon": options.adam_epsilon,
        "gradient_accumulation_steps": steps if steps > 1 else None,
    }
    if keras.backend.backend() == "tensorflow" and options.clip_norm is not None:
        optimizer = WholeGradientAdamW(
            learning_rate, clip_norm=options.clip_norm, **arguments, **kwargs
        )
    else:
        optimizer = keras_gimlp.optimizers.AdamW(
            learning_rate, global_clipnorm=options.clip_norm, **arguments, **kwargs
        )
    optimizer.exclude_from_weight_decay(
        var_list=[x for x in model.trainable_variables if x.path.endswith(NOT_DECAYED)]
    )
    return optimizer


class WholeGradientAdamW(keras.optimizers.AdamW):
    """AdamW that clips by the norm of the whole gradient, as Keras does on JAX and PyTorch.

    On TensorFlow, Keras takes the norm of one replica's gradient, and of an embedding's gradient in
    parts, one for each place where a token stands.
    """

    def __init__(self, learning_rate, *, clip_norm, **kwargs):
        # Keras adds up the replicas' gradients, so each gives its share of the clipped one.
        share = clip_norm / tf.distribute.get_strategy().num_replicas_in_sync
        # Checkpoints know it by this name.
        super().__init__(learning_rate, global_clipnorm=share, name="adam_w", **kwargs)

    def apply(self, grads, trainable_variables=None):
        grads = [tf.convert_to_tensor(grad) for grad in grads]
        if tf.distribute.has_strategy():
            grads = tf.distribute.get_replica_context().all_reduce("mean", grads)
        return super().apply(grads, trainable_variables)


def count_updates(options, batches):
    """Returns the updates of the weights in a run, or ends the program if there would be none."""
    updates = batches // options.accumulation_steps
    if not updates:
        raise SystemExit(
            f"--accumulation_steps must be at most the number of batches in the run, {batches}. "
            f"Received: {options.accumulation_steps}"
        )
    return updates


def limit_warmup(warmup_steps, updates):
    """Returns the warm-up steps, at most half of the run's updates, and says if they are fewer."""
    most = updates // 2
    if warmup_steps <= most:
        return warmup_steps
    print(f"Warm-up takes {most} of the run's {updates} updates, instead of {warmup_steps}.")
    return most


def cosine_decay(peak, warmup_steps, updates):
    """Returns the schedule that rises linearly from 0 to `peak`, then falls to 0 as a cosine."""
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else peak,
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
        decay_steps=updates - warmup_steps,
    )


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
