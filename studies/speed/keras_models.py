"""Our models and the plain encoders of KerasHub, and their steps as `fit` and `predict` take them.

Neither units nor blocks are dropped at random, so that our models and their peers compute the same.
"""

import inspect

import keras
import numpy as np
from keras import ops

from keras_gimlp import applications, counting, optimizers, rematerialize
from studies.speed import inputs, subjects


def load_library():
    """Trains something, since libraries load parts of themselves when they are first used."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("adamw", "mse", jit_compile=False)
    model.train_on_batch(np.ones((1, 1)), np.ones((1, 1)))


def prepare(subject):
    """Returns a function that takes a step, and the facts about the model."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(subject.precision)
    _, arguments = subjects.parse(subject.model)
    remat = arguments.pop("remat", False)
    if subject.text:
        encoder, tokens = build_encoder(subject, arguments), subject.size
        model, x = classifier(encoder), texts(subject, encoder)
    else:
        model, tokens = build_image_model(subject.name, arguments, subject.size), None
        x = ops.convert_to_tensor(inputs.images(subject))
    if remat:
        rematerialize(model)
    model.compile(
        optimizer=optimizers.AdamW(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=subject.compiled,
    )
    y = ops.convert_to_tensor(inputs.classes(subject, model.output.shape[-1]))
    facts = {"parameters": model.count_params(), "macs": counting.count_macs(model, tokens)}
    return step_of(model, x, y, subject.training), facts


def build_image_model(name, arguments, size):
    """Returns an image model with the logits of ImageNet's classes."""
    given = {"input_shape": (size, size, 3), "classes": inputs.IMAGE_CLASSES}
    given |= {"drop_path_rate": 0.0, "classifier_activation": None}
    return getattr(applications, name)(**given | arguments)


def build_encoder(subject, arguments):
    """Returns one of our encoders, or the plain encoder that one of our gated encoders extends."""
    if subject.library == subjects.KERAS_HUB:
        gated = getattr(applications, f"gi{subject.name}")
        builder, known = gated.__wrapped__.plain_cls, inspect.signature(gated).parameters
        sizes = {name: known[name].default for name in known if name not in ("name", "weights")}
        sizes = {k: v for k, v in sizes.items() if k in inspect.signature(builder).parameters}
        arguments = {k: v for k, v in sizes.items() if v is not None} | arguments
    else:
        builder = getattr(applications, subject.name)
    longest = "sequence_length" if "MLP" in subject.name else "max_sequence_length"
    return builder(**{"dropout": 0.0, longest: max(512, subject.size)} | arguments)


def classifier(encoder):
    """Returns an encoder with a classifier of the mean over its tokens."""
    x = encoder.output
    x = x["sequence_output"] if isinstance(x, dict) else x  # BERT has a pooled output too
    x = keras.layers.GlobalAveragePooling1D(name="mean")(x)
    return keras.Model(encoder.input, keras.layers.Dense(inputs.TEXT_CLASSES, name="logits")(x))


def texts(subject, encoder):
    """Returns a batch of texts without padding, on the device."""
    token_ids = inputs.tokens(subject, encoder.vocabulary_size)
    x = {
        "token_ids": token_ids,
        "padding_mask": np.ones_like(token_ids),
        "segment_ids": np.zeros_like(token_ids),
    }
    return {name: ops.convert_to_tensor(x[name]) for name in encoder.input}


def step_of(model, x, y, training):
    """Returns a function that takes a step of training or inference, and returns its outputs.

    It calls the function that `fit` or `predict` calls for every batch, with a batch on the device.
    """
    backend = keras.backend.backend()
    if training:
        # `fit` builds both before its first step.
        model.optimizer.build(model.trainable_variables)
        model.compute_loss(x, y, ops.zeros((y.shape[0], model.output.shape[-1])))
        model.make_train_function()
        function, batch = model.train_function, (x, y)
    else:
        model.make_predict_function()
        function, batch = model.predict_function, (x,)
    if backend == "torch" or (backend == "tensorflow" and not training):
        return lambda: function([batch])
    if backend == "tensorflow":
        return lambda: function(iter([batch]))
    groups = [model.trainable_variables, model.non_trainable_variables]
    if training:
        groups += [model.optimizer.variables, model.metrics_variables]
    state = tuple([variable.value for variable in group] for group in groups)

    def step():
        nonlocal state  # JAX writes the new state into its memory
        outputs, state = function(state, iter([batch]))
        return outputs, state

    return step
