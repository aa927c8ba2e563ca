"""What our KerasHub tasks share, and tasks of one encoder made for another."""

import functools
import json
import pathlib

import keras
import keras_hub


class HubTask:
    """Mixed into a KerasHub task, adds what our tasks share.

    * Logits and losses keep their digits under mixed precision: the head computes in float32.
    * Only variables that the loss can reach are trained. The encoder itself stays as it is: another
      head on it may train the others.
    * A saved task is loaded compiled.
    * A preset is loaded in the current precision, whatever it was saved in.
    """

    # The output of the encoder that the head takes, where the encoder has several.
    encoder_output = None
    # The attribute that KerasHub gives the layer of the logits, before it is built.
    logits_layer = None

    def __setattr__(self, name, value):
        if name == self.logits_layer:
            value.dtype_policy = logits_dtype(self.backbone)
        super().__setattr__(name, value)

    def compile_from_config(self, config):
        """Compiles a loaded task as it was when it was saved."""
        # Keras itself does not, for a class with a `compile` of its own.
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def save_to_preset(self, preset_dir, *args, **kwargs):
        super().save_to_preset(preset_dir, *args, **kwargs)
        forget_mixed_precision(preset_dir)

    @functools.cached_property
    def untrained_layers(self):
        """The names of the encoder's layers that do not lead to the head, as a pooler may not."""
        outputs = self.backbone.output
        if self.encoder_output is None or not isinstance(outputs, dict):
            return ()
        leading = keras.Model(self.backbone.input, outputs[self.encoder_output]).layers
        leading = {id(layer) for layer in leading}
        return tuple(layer.name for layer in self.backbone.layers if id(layer) not in leading)

    def reached(self, variables):
        """Returns those of `variables` that the loss can reach."""
        layers = map(self.backbone.get_layer, self.untrained_layers)
        beside = {id(variable) for layer in layers for variable in layer.variables}
        return [variable for variable in variables if id(variable) not in beside]

    @property
    def trainable_variables(self):
        return self.reached(super().trainable_variables)

    @property
    def trainable_weights(self):
        return self.reached(super().trainable_weights)

    @property
    def non_trainable_variables(self):
        trained = {id(v) for v in self.trainable_variables}
        return [v for v in self.variables if id(v) not in trained]

    @property
    def non_trainable_weights(self):
        trained = {id(v) for v in self.trainable_weights}
        return [v for v in self.weights if id(v) not in trained]


def logits_dtype(backbone):
    """Returns the type of the backbone's weights, in which logits are computed."""
    return backbone.dtype_policy.variable_dtype


def forget_mixed_precision(preset_dir):
    """Names the type of the weights as the precision of a preset, instead of a mixed one.

    KerasHub loads a preset in the current precision, but fails to load a task if the saved one is mixed.
    """
    path = pathlib.Path(preset_dir) / "config.json"
    config = json.loads(path.read_text())
    dtype = config["config"].get("dtype") or {}
    name = dtype.get("config", {}).get("name") or ""
    if name.startswith("mixed_"):
        dtype["config"]["name"] = keras.DTypePolicy(name).variable_dtype
        path.write_text(json.dumps(config, indent=4))


def hub_tasks(backbone_cls, theirs, family, package="keras_gimlp"):
    """Makes the tasks of another encoder fit `backbone_cls`.

    KerasHub finds the tokenizer, preprocessor and task of a preset by the class of its backbone.

    Args:
        backbone_cls: Class of the encoder. The tasks get its name, without `_MLM`, and live in its
            module.
        theirs: Module of the tasks that ours are subclasses of.
        family: String, what their names start with.
        package: Name under which Keras registers ours. Defaults to `"keras_gimlp"`.

    Returns:
        Five classes: tokenizer, preprocessor for classification, preprocessor for masked language
        modeling, text classifier, masked language model.
    """
    register = keras.saving.register_keras_serializable(package=package)
    of_keras_hub = theirs is keras_hub.models

    def made(kind, **attributes):
        base = getattr(theirs, family + kind)
        task = issubclass(base, keras_hub.models.Task)
        bases = (HubTask, base) if task and of_keras_hub else (base,)
        name = backbone_cls.__name__.removesuffix("_MLM") + kind
        described = ("keras_hub.models." if of_keras_hub else "") + base.__name__
        attributes |= {
            "__doc__": f"`{described}` for `{backbone_cls.__name__}`.",
            "__module__": backbone_cls.__module__,
            "__qualname__": name,
            "backbone_cls": backbone_cls,
        }
        return register(type(name, bases, attributes))

    tokenizer = made("Tokenizer")
    classifier_preprocessor = made("TextClassifierPreprocessor", tokenizer_cls=tokenizer)
    masked_lm_preprocessor = made("MaskedLMPreprocessor", tokenizer_cls=tokenizer)
    classifier = made(
        "TextClassifier", preprocessor_cls=classifier_preprocessor, logits_layer="output_dense"
    )
    masked_lm = made(
        "MaskedLM",
        preprocessor_cls=masked_lm_preprocessor,
        logits_layer="masked_lm_head",
        encoder_output="sequence_output",
    )
    return tokenizer, classifier_preprocessor, masked_lm_preprocessor, classifier, masked_lm
