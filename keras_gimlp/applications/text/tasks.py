"""Heads on text encoders that KerasHub lacks: regression, choices, labels of tokens, and spans.

Each works on every backbone, KerasHub's or ours, that takes `token_ids` and `padding_mask` and returns
one vector per token.
"""

import keras
import keras_hub
from keras import ops

from keras_gimlp.applications.text.hub_task import HubTask, logits_dtype
from keras_gimlp.applications.text.pretrained import load_task
from keras_gimlp.layers.arguments import check_positive_integers


class TextTask(HubTask, keras_hub.models.Task):
    """What the heads share: defaults for `compile`, and presets of every backbone."""

    def compile(self, optimizer="auto", loss="auto", *, metrics="auto", **kwargs):
        """Configures training. `"auto"` means Adam at 5e-5 and the task's own loss and metric."""
        super().compile(
            optimizer=keras.optimizers.Adam(5e-5) if optimizer == "auto" else optimizer,
            loss=self.default_loss() if loss == "auto" else loss,
            metrics=self.default_metrics() if metrics == "auto" else metrics,
            **kwargs,
        )

    def default_loss(self):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def default_metrics(self):
        return [keras.metrics.SparseCategoricalAccuracy("accuracy")]

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """Builds the task from its own preset, or puts a new head on the encoder of another.

        Args:
            preset: The name of a KerasHub preset, a handle (`"hf://..."`), or a folder.
            load_weights: Whether to load the weights too. Defaults to `True`.
            **kwargs: Arguments of the task, which replace those of the preset.
        """
        return load_task(cls, preset, load_weights, **kwargs)


@keras.saving.register_keras_serializable(package="keras_gimlp")
class TextRegressor(TextTask):
    """One number per text or pair of texts, such as the similarity in STS-B.

        score = w · dropout(pooled) + b

    `pooled` is the encoder's own pooled output or, failing that, a dense layer (tanh) on the first
    token.

    Args:
        backbone: A `keras_hub.models.Backbone`.
        preprocessor: A layer that turns texts into the backbone's inputs, such as a KerasHub
            `TextClassifierPreprocessor`, or `None` if the inputs are preprocessed already. Defaults
            to `None`.
        dropout: Float, dropout rate before the head. Defaults to 0.1.
        **kwargs: `name`, as for every Keras model.

    Call arguments:
        inputs: The backbone's inputs, a dictionary of `(batch, tokens)`.

    Output shape:
        `(batch, 1)`.

    Example:

    ```python
    import numpy as np
    from keras_gimlp import applications

    regressor = applications.TextRegressor(applications.giBERT_Tiny())
    ones = np.ones((2, 12), "int32")
    x = {"token_ids": ones, "segment_ids": 0 * ones, "padding_mask": ones}
    regressor.fit(x, np.array([0.5, 4.0]), shuffle=False)
    ```
    """

    def __init__(self, backbone, preprocessor=None, dropout=0.1, **kwargs):
        inputs = backbone.input
        x = pooled(backbone, inputs)
        x = keras.layers.Dropout(dropout, dtype=backbone.dtype_policy, name="head_dropout")(x)
        outputs = logits(1, backbone)(x)
        self.backbone = backbone
        self.preprocessor = preprocessor
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.dropout = dropout

    def default_loss(self):
        return keras.losses.MeanSquaredError()

    def default_metrics(self):
        return [keras.metrics.RootMeanSquaredError("rmse")]

    def get_config(self):
        return super().get_config() | {"dropout": self.dropout}


@keras.saving.register_keras_serializable(package="keras_gimlp")
class MultipleChoice(TextTask):
    """A score for each of several continuations of a text: SWAG, PIQA, COPA.

        score_k = w · dropout(pooled_k) + b,    the same weights for every choice k

    `pooled` is the encoder's own pooled output or, failing that, a dense layer (tanh) on the first
    token.

    Args:
        backbone: A `keras_hub.models.Backbone`.
        num_choices: Integer, choices per example, at least 2.
        preprocessor: A layer that turns texts into the inputs, or `None`. Defaults to `None`.
        dropout: Float, dropout rate before the head. Defaults to 0.1.
        **kwargs: `name`, as for every Keras model.

    Call arguments:
        inputs: The backbone's inputs with an axis of choices, a dictionary of
            `(batch, num_choices, tokens)`.

    Output shape:
        `(batch, num_choices)`, logits.

    Raises:
        ValueError: If `num_choices` is below 2.

    Example:

    ```python
    import numpy as np
    from keras_gimlp import applications

    chooser = applications.MultipleChoice(applications.giBERT_Tiny(), num_choices=4)
    ones = np.ones((2, 4, 12), "int32")
    chooser({"token_ids": ones, "segment_ids": 0 * ones, "padding_mask": ones})  # (2, 4)
    ```
    """

    def __init__(self, backbone, num_choices, preprocessor=None, dropout=0.1, **kwargs):
        at_least("num_choices", num_choices, 2)
        inputs = {
            name: keras.Input((num_choices, *x.shape[1:]), dtype=x.dtype, name=name)
            for name, x in backbone.input.items()
        }
        x = pooled(
            backbone, {name: JoinChoices(name=f"join_{name}")(inputs[name]) for name in inputs}
        )
        x = keras.layers.Dropout(dropout, dtype=backbone.dtype_policy, name="head_dropout")(x)
        outputs = ops.reshape(logits(1, backbone)(x), (-1, num_choices))
        self.backbone = backbone
        self.preprocessor = preprocessor
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.num_choices = num_choices
        self.dropout = dropout

    def get_config(self):
        return super().get_config() | {"num_choices": self.num_choices, "dropout": self.dropout}


@keras.saving.register_keras_serializable(package="keras_gimlp")
class JoinChoices(keras.layers.Layer):
    """Turns every choice into an example: `(batch, choices, tokens)` to `(..., tokens)`."""

    def call(self, inputs):
        return ops.reshape(inputs, (-1, ops.shape(inputs)[-1]))

    def compute_output_shape(self, input_shape):
        return (None, input_shape[-1])

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=inputs.dtype)


@keras.saving.register_keras_serializable(package="keras_gimlp")
class TokenClassifier(TextTask):
    """A label for each token: named entities.

        scores = dropout(h) W + b

    If the encoder has a pooler, this task does not train it, since the loss does not reach it.

    Args:
        backbone: A `keras_hub.models.Backbone`.
        num_classes: Integer, number of labels.
        preprocessor: A layer that turns texts into the backbone's inputs, or `None`. Defaults to
            `None`.
        dropout: Float, dropout rate before the head. Defaults to 0.1.
        **kwargs: `name`, as for every Keras model.

    Call arguments:
        inputs: The backbone's inputs, a dictionary of `(batch, tokens)`.

    Output shape:
        `(batch, tokens, num_classes)`, logits. The default loss ignores labels of -1, meant for
        padding and for all but the first token of a word.

    Raises:
        ValueError: If `num_classes` is below 2.

    Example:

    ```python
    import numpy as np
    from keras_gimlp import applications

    tagger = applications.TokenClassifier(applications.giBERT_Tiny(), num_classes=9)
    ones = np.ones((2, 12), "int32")
    tagger({"token_ids": ones, "segment_ids": 0 * ones, "padding_mask": ones})  # (2, 12, 9)
    ```
    """

    encoder_output = "sequence_output"

    def __init__(self, backbone, num_classes, preprocessor=None, dropout=0.1, **kwargs):
        at_least("num_classes", num_classes, 2)
        inputs = backbone.input
        x = token_vectors(backbone, inputs)
        x = keras.layers.Dropout(dropout, dtype=backbone.dtype_policy, name="head_dropout")(x)
        outputs = logits(num_classes, backbone)(x)
        self.backbone = backbone
        self.preprocessor = preprocessor
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.num_classes = num_classes
        self.dropout = dropout

    def default_loss(self):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)

    def default_metrics(self):
        return None  # Keras' accuracy would count what the loss ignores

    def get_config(self):
        return super().get_config() | {"num_classes": self.num_classes, "dropout": self.dropout}


@keras.saving.register_keras_serializable(package="keras_gimlp")
class SpanExtractor(TextTask):
    """The first and the last token of an answer in a text: SQuAD.

        scores = h W + b,    one column for the first token, one for the last

    Padding scores -10,000. If the encoder has a pooler, this task does not train it, since the loss
    does not reach it.

    Args:
        backbone: A `keras_hub.models.Backbone`.
        preprocessor: A layer that turns texts into the backbone's inputs, or `None`. Defaults to
            `None`.
        **kwargs: `name`, as for every Keras model.

    Call arguments:
        inputs: The backbone's inputs, a dictionary of `(batch, tokens)`.

    Output shape:
        `(batch, 2, tokens)`, logits. The labels are `(batch, 2)`, the positions of the two tokens.

    Example:

    ```python
    import numpy as np
    from keras_gimlp import applications

    extractor = applications.SpanExtractor(applications.giBERT_Tiny())
    ones = np.ones((2, 12), "int32")
    x = {"token_ids": ones, "segment_ids": 0 * ones, "padding_mask": ones}
    extractor.fit(x, np.array([[3, 5], [0, 0]]), shuffle=False)
    ```
    """

    encoder_output = "sequence_output"

    def __init__(self, backbone, preprocessor=None, **kwargs):
        inputs = backbone.input
        x = logits(2, backbone)(token_vectors(backbone, inputs))
        mask = ops.expand_dims(ops.cast(inputs["padding_mask"], "bool"), 1)
        outputs = ops.where(mask, ops.transpose(x, (0, 2, 1)), -1e4)
        self.backbone = backbone
        self.preprocessor = preprocessor
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)


def logits(units, backbone):
    """Returns the last layer of a head, which keeps its digits under mixed precision."""
    return keras.layers.Dense(
        units,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        dtype=logits_dtype(backbone),
        name="logits",
    )


def token_vectors(backbone, inputs):
    """Returns one vector per token."""
    outputs = backbone(inputs)
    return outputs["sequence_output"] if isinstance(outputs, dict) else outputs


def pooled(backbone, inputs):
    """Returns one vector per example: the encoder's own, or a dense layer on the first token."""
    outputs = backbone(inputs)
    if isinstance(outputs, dict) and "pooled_output" in outputs:
        return outputs["pooled_output"]
    tokens = outputs["sequence_output"] if isinstance(outputs, dict) else outputs
    dense = keras.layers.Dense(
        tokens.shape[-1], activation="tanh", dtype=backbone.dtype_policy, name="pooled_dense"
    )
    return dense(tokens[:, getattr(backbone, "start_token_index", 0), :])


def at_least(name, value, least):
    check_positive_integers(**{name: value})
    if value < least:
        raise ValueError(f"`{name}` must be at least {least}. Received: {name}={value}")
