"""What giBERT, giRoBERTa and giDeBERTaV3 share: gates in an encoder of KerasHub."""

import hashlib
import json
import pathlib

import keras
from keras import ops

from keras_gimlp.applications.text.gated_attention import add_gates
from keras_gimlp.applications.text.pretrained import backbone_class, load_encoder
from keras_gimlp.layers.arguments import check_optional_integers
from keras_gimlp.weights.files import needed, printable, read_safetensors
from keras_gimlp.weights.loading import fill

# The arguments of KerasHub's backbones that give their sizes.
REQUIRED = ("vocabulary_size", "num_layers", "num_heads", "hidden_dim", "intermediate_dim")
SIZES = (*REQUIRED, "dropout", "max_sequence_length", "num_segments", "bucket_size")


class GatedEncoder:
    """Mixed into a KerasHub backbone, multiplies its queries and keys by gates with inhibition.

    A class that mixes it in names the plain backbone (`plain_cls`) and the layer around its
    attention (`attention_cls`), and gives the sizes of the backbone to the constructor below.
    """

    plain_cls = None
    attention_cls = None

    def __init__(
        self,
        weights,
        *,
        inhibition,
        gate_query,
        gate_key,
        gated_layers,
        scope,
        activation,
        rank,
        trainable,
        dtype,
        name,
        **sizes,
    ):
        sizes = {size: value for size, value in sizes.items() if value is not None}
        plain = None
        if weights is not None:
            plain = load_encoder(weights, self.plain_cls)
            sizes = sizes_of(plain) | sizes
        missing = [size for size in REQUIRED if size not in sizes]
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
        check_optional_integers(gated_layers=gated_layers, rank=rank)
        if gated_layers is not None and gated_layers > depth:
            raise ValueError(
                "`gated_layers` must be at most `num_layers`. Received: "
                f"gated_layers={gated_layers}, num_layers={depth}"
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
        saved_cls = backbone_class(preset)
        if saved_cls is not None and issubclass(saved_cls, cls):
            return super().from_preset(preset, load_weights=load_weights, **kwargs)
        if load_weights:
            return cls(weights=preset, **kwargs)
        return cls(**sizes_of(load_encoder(preset, cls.plain_cls, load_weights=False)) | kwargs)


def sizes_of(backbone):
    """Returns the sizes of a KerasHub backbone, by argument."""
    config = backbone.get_config()
    return {size: config[size] for size in SIZES if size in config}
