"""What giBERT, giRoBERTa and giDeBERTaV3 share: gates in an encoder of KerasHub."""

import hashlib
import inspect
import json
import pathlib
import textwrap

import keras
from keras import ops

from keras_gimlp.applications.text.gated_attention import add_gates
from keras_gimlp.applications.text.pretrained import backbone_class, load_encoder
from keras_gimlp.weights.files import needed, printable, read_safetensors
from keras_gimlp.weights.loading import fill

DESCRIPTION = """\
        i = GELU(h W_g + b_g);  s = i W_i + b_i;  g = GELU(s - inhibition * max s) + 1
        query = g_q * (h W_q + b_q);  key = g_k * (h W_k + b_k)

    The gates start at 1, which leaves the outputs of a pretrained encoder unchanged. The model is a
    `keras_hub.models.Backbone` and works with KerasHub's tokenizers, preprocessors and tasks.

    Args:
{arguments}

    Raises:
        ValueError: If the preset is of another architecture, sizes are missing without a preset, or
            an argument is out of its range.

"""
ARGUMENTS = {
    "weights": "A preset that gives the sizes and the weights of the encoder: the name of a "
    'KerasHub preset, a Hugging Face handle (`"hf://..."`), or a folder saved by either library. '
    "`None` requires the sizes. Defaults to `None`.",
    "vocabulary_size": "Integer, number of tokens in the vocabulary.",
    "num_layers": "Integer, number of transformer layers.",
    "num_heads": "Integer, number of attention heads; must divide `hidden_dim`.",
    "hidden_dim": "Integer, channels of a token.",
    "intermediate_dim": "Integer, hidden units of the feed-forward networks.",
    "dropout": "Float, dropout rate.",
    "max_sequence_length": "Integer, maximum tokens per example.",
    "num_segments": "Integer, number of segment ids.",
    "bucket_size": "Integer, number of buckets of relative positions in each direction.",
    "inhibition": "Float in [0, 1], fraction of the maximum that a gate subtracts. Defaults to "
    "0.3.",
    "gate_query": "Whether the queries are gated. Defaults to `True`.",
    "gate_key": "Whether the keys are gated. Defaults to `True`.",
    "gated_layers": "Integer, how many layers are gated, counted from the last one. Defaults to "
    "`None`, all of them.",
    "scope": '`"example"`, `"token"` or `"batch"`, what the maximum is taken over; see '
    '`keras_gimlp.layers.Inhibition`. Defaults to `"example"`.',
    "activation": 'Activation in the gates, a name or a function. With `"relu"`, whose gradient at 0 '
    "is 0, new gates stay 1 for ever unless their weights are set to others than zeros. Defaults to "
    '`"gelu"`.',
    "rank": "Integer, channels of `i`, for low-rank gates. Defaults to `None`, `hidden_dim`.",
    "trainable": '`True`, `False`, or `"gates"` to train only the gates and what is built on top '
    "of the model. Defaults to `True`.",
    "dtype": "Precision, as for every Keras layer.",
    "name": "Name of the model, as for every Keras model.",
}


class GatedEncoder:
    """Mixed into a KerasHub backbone, multiplies its queries and keys by gates with inhibition.

    A class that mixes it in names the plain backbone (`plain_cls`) and the layer around its
    attention (`attention_cls`). Its signature and the description of its arguments are made from
    those of the plain backbone and of the constructor below.
    """

    plain_cls = None
    attention_cls = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            return
        signature = signature_of(cls.plain_cls)

        def init(self, *args, **kwargs):
            try:
                signature.bind(self, *args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{cls.__name__}() {error}") from None
            super(cls, self).__init__(*args, **kwargs)

        init.__name__, init.__signature__ = "__init__", signature
        cls.__init__ = init
        if "plain_cls" in vars(cls) and cls.__doc__:
            summary, *sections = cls.__doc__.partition("    Call arguments:")
            cls.__doc__ = "".join([summary, described(cls.plain_cls, signature), *sections])

    def __init__(
        self,
        weights=None,
        *,
        inhibition=0.3,
        gate_query=True,
        gate_key=True,
        gated_layers=None,
        scope="example",
        activation="gelu",
        rank=None,
        trainable=True,
        dtype=None,
        name=None,
        **sizes,
    ):
        sizes = {size: value for size, value in sizes.items() if value is not None}
        parameters = sizes_of(self.plain_cls)
        plain = None
        if weights is not None:
            plain = load_encoder(weights, self.plain_cls)
            sizes = {size: plain.get_config()[size] for size in parameters} | sizes
        required = [size for size, p in parameters.items() if p.default is p.empty]
        missing = [size for size in required if size not in sizes]
        if missing:
            raise ValueError(
                f"`{type(self).__name__}` needs `weights`, or its sizes. Missing: "
                f"{', '.join(missing)}. Received: weights={weights!r}"
            )
        if not (gate_query or gate_key):
            raise ValueError(
                "`gate_query` or `gate_key` must be true, or both. Received: "
                f"gate_query={gate_query}, gate_key={gate_key}"
            )
        depth = sizes["num_layers"]
        if gated_layers is not None and not 1 <= gated_layers <= depth:
            raise ValueError(
                f"`gated_layers` must be None for all layers, or the number of the last layers to "
                f"gate, 1 to {depth}. Received: gated_layers={gated_layers}"
            )
        if trainable not in (True, False, "gates"):
            raise ValueError(
                f'`trainable` must be True, False or "gates". Received: trainable={trainable!r}'
            )
        self.inhibition = inhibition
        self.gate_query = gate_query
        self.gate_key = gate_key
        self.gated_layers = gated_layers
        self.scope = scope
        self.activation = keras.activations.get(activation)
        self.rank = rank
        self.weights_source = None if weights is None else str(weights)
        self.plain_cls.__init__(self, **sizes, dtype=dtype, name=name)
        # Logits of a masked language model keep their digits under mixed precision.
        self.token_embedding.reverse_dtype = self.dtype_policy.variable_dtype
        self.gated_attention_layers = [
            add_gates(
                layer,
                self.attention_cls,
                gate_query=gate_query,
                gate_key=gate_key,
                inhibition=inhibition,
                scope=scope,
                activation=activation,
                hidden_units=rank,
            )
            for layer in self.transformer_layers[-(gated_layers or depth) :]
        ]
        if plain is not None:
            theirs = {variable.path: variable for variable in plain.weights}
            for variable in self.encoder_variables():
                # As an array: a variable of another model may be deleted with it.
                variable.assign(ops.convert_to_numpy(theirs[variable.path]))
        self.train_gates_alone = trainable == "gates"
        if self.train_gates_alone:
            self.freeze_encoder()
        else:
            self.trainable = trainable

    def gate_variables(self):
        """Returns the variables of all gates."""
        return [v for layer in self.gated_attention_layers for v in layer.gate.weights]

    def encoder_variables(self):
        """Returns the variables that the plain encoder has too."""
        gates = {id(variable) for variable in self.gate_variables()}
        return [variable for variable in self.weights if id(variable) not in gates]

    def freeze_encoder(self):
        """Leaves only the gates trainable."""
        gates = {
            id(x) for layer in self.gated_attention_layers for x in layer.gate._flatten_layers()
        }
        for layer in self._flatten_layers(include_self=False):
            # A layer hands its own state down to those in it: only the innermost are told.
            if id(layer) not in gates and not list(layer._flatten_layers(include_self=False)):
                layer.trainable = False
        for variable in self.encoder_variables():
            variable.trainable = False

    def save_gates(self, path):
        """Writes the gates alone to a `.safetensors` file, with a hash of the encoder.

        Args:
            path: Path that ends in `.safetensors`. An existing file is replaced.
        """
        if pathlib.Path(path).suffix != ".safetensors":
            raise ValueError(f"`path` must end in .safetensors. Received: path={str(path)!r}")
        tensors = {v.path: ops.convert_to_numpy(v).copy() for v in self.gate_variables()}
        record = {
            "encoder": self.encoder_hash(),
            "weights": str(self.weights_source),
            "gates": json.dumps(self.gate_config()),
        }
        needed("safetensors.numpy", "write .safetensors files").save_file(
            tensors, path, metadata=record
        )

    def load_gates(self, path):
        """Fills the gates from a file of `save_gates`, or raises and leaves them as they were.

        Raises:
            ValueError: If the file is damaged, or its gates have another form or belong to other
                encoder weights.
        """
        tensors = read_safetensors(path)
        with needed("safetensors", "read .safetensors files").safe_open(path, "np") as file:
            record = file.metadata() or {}
        if json.loads(record.get("gates", "null")) != self.gate_config():
            raise ValueError(
                "The gates in the file are of another form, "
                f"{printable(record.get('gates'))}, than these, {json.dumps(self.gate_config())}. "
                f"Received: path={str(path)!r}"
            )
        if record.get("encoder") != self.encoder_hash():
            raise ValueError(
                "The gates in the file were trained with other encoder weights, those of "
                f"{printable(record.get('weights'))}. Received: path={str(path)!r}"
            )
        fill(self.name, {v.path: v for v in self.gate_variables()}, tensors, f"path={str(path)!r}")

    def encoder_hash(self):
        """Returns the SHA-256 of the encoder's weights."""
        digest = hashlib.sha256()
        for variable in sorted(self.encoder_variables(), key=lambda v: v.path):
            digest.update(variable.path.encode())
            digest.update(ops.convert_to_numpy(ops.cast(variable.value, "float32")).tobytes())
        return digest.hexdigest()

    def gate_config(self):
        return {
            "inhibition": self.inhibition,
            "gate_query": self.gate_query,
            "gate_key": self.gate_key,
            "gated_layers": self.gated_layers,
            "scope": self.scope,
            "activation": keras.activations.serialize(self.activation),
            "rank": self.rank,
        }

    def get_config(self):
        config = super().get_config() | self.gate_config()
        return config | ({"trainable": "gates"} if self.train_gates_alone else {})

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """Builds the model from a preset of this class, or from one of the plain encoder.

        Args:
            preset: What `weights` takes, or a folder of `save_to_preset`.
            load_weights: Whether to load the weights too; without them, only the sizes come from
                the preset. Defaults to `True`.
            **kwargs: Arguments of the class, which replace those of the preset.
        """
        found = backbone_class(preset)
        if found is not None and issubclass(found, cls):
            return super().from_preset(preset, load_weights=load_weights, **kwargs)
        if load_weights:
            return cls(weights=preset, **kwargs)
        theirs = load_encoder(preset, cls.plain_cls, load_weights=False).get_config()
        return cls(**({size: theirs[size] for size in sizes_of(cls.plain_cls)} | kwargs))


def sizes_of(plain_cls):
    """Returns the parameters of a KerasHub backbone that describe its architecture, by name."""
    parameters = inspect.signature(plain_cls.__init__).parameters
    return {
        name: p
        for name, p in parameters.items()
        if name not in ("self", "dtype") and p.kind is not p.VAR_KEYWORD
    }


def signature_of(plain_cls):
    """Returns the signature of a gated encoder: `weights`, the sizes, and the rest."""
    own, weights, *gates, _ = inspect.signature(GatedEncoder.__init__).parameters.values()
    sizes = [p.replace(kind=p.KEYWORD_ONLY, default=None) for p in sizes_of(plain_cls).values()]
    return inspect.Signature([own, weights, *sizes, *gates])


def described(plain_cls, signature):
    """Returns what the docstrings of all gated encoders say: the gates and the arguments."""
    defaults = {name: p.default for name, p in sizes_of(plain_cls).items()}
    lines = []
    for name in list(signature.parameters)[1:]:
        line = f"{name}: {ARGUMENTS[name]}"
        if defaults.get(name, inspect.Parameter.empty) is not inspect.Parameter.empty:
            line += f" Defaults to the preset's, or {defaults[name]}."
        lines += textwrap.wrap(
            line, 100, initial_indent=" " * 8, subsequent_indent=" " * 12, break_on_hyphens=False
        )
    return DESCRIPTION.format(arguments="\n".join(lines))
