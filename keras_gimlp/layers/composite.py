"""The base class of layers that are made of other layers."""

import keras


class CompositeLayer(keras.layers.Layer):
    """A layer made of sublayers, each of which may be quantized.

    Its config records the precision of those that are, so that a saved quantized model is rebuilt
    with it before its weights are loaded.
    """

    quantized = {}  # noqa: RUF012  the precision of each quantized sublayer, by name

    def sublayer(self, make, name, input_shape, **arguments):
        """Creates and builds a sublayer, in this layer's precision unless it has its own."""
        arguments = {"dtype": self.dtype_policy} | arguments | self.quantized.get(name, {})
        layer = make(name=name, **arguments)
        layer.build(input_shape)
        return layer

    def get_config(self):
        quantized = {
            layer.name: {key: layer.get_config()[key] for key in ("dtype", "quantization_config")}
            for layer in self._flatten_layers(include_self=False)
            if layer.quantization_mode is not None
        }
        return super().get_config() | ({"quantized": quantized} if quantized else {})

    @classmethod
    def from_config(cls, config):
        quantized = config.get("quantized", {})
        layer = super().from_config({k: v for k, v in config.items() if k != "quantized"})
        layer.quantized = keras.saving.deserialize_keras_object(quantized)
        return layer
