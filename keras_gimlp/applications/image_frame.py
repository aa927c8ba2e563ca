"""What all image models have around their network: input, head, feature maps, weights."""

import keras

from keras_gimlp.backend.dense import Dense
from keras_gimlp.backend.functional_model import ImageModel
from keras_gimlp.backend.token_slice import TokenSlice
from keras_gimlp.layers.arguments import check_positive_integers
from keras_gimlp.weights import Spatial, load_weights


class ImageFrame:
    """The arguments that all image models share, and the parts that these describe.

    The first eight arguments are those of `keras.applications`.

    Args:
        weights: What `keras_gimlp.weights.load_weights` takes, or `None`.
        feature_maps: `False` for no maps, `True` for the maps of `by_default`, or a list or tuple
            of numbers of blocks or stages, of which negative ones count from the end.
        count: Integer, number of blocks or stages.
        by_default: The numbers that `feature_maps=True` means. Defaults to the last alone.

    Attributes:
        inputs: The tensor of shape `(batch, height, width, channels)` that the model starts from.
        chosen: The numbers of the blocks or stages whose maps the model returns, in rising order.
        maps: The feature maps by name, which the builder fills in.

    Raises:
        ValueError: If an argument is invalid or contradicts another.
    """

    def __init__(
        self,
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        feature_maps,
        count,
        by_default=None,
    ):
        if pooling not in (None, "avg", "max"):
            raise ValueError(
                f'`pooling` must be None, "avg" or "max". Received: pooling={pooling!r}'
            )
        if include_top:
            check_positive_integers(classes=classes)
        if feature_maps is not False and (include_top or pooling is not None):
            raise ValueError(
                "`feature_maps` needs include_top=False and pooling=None. Received: "
                f"feature_maps={feature_maps!r}, include_top={include_top}, pooling={pooling!r}"
            )
        self.include_top = include_top
        self.weights = weights
        self.pooling = pooling
        self.classes = classes
        self.classifier_activation = classifier_activation
        self.name = name
        self.chosen = chosen_maps(feature_maps, count, by_default or [count - 1])
        self.inputs = image_input(input_tensor, input_shape)
        self.grid = None
        self.maps = {}

    def patches(self, dim, patch_size):
        """Cuts the images into patches and embeds each: `(batch, height / P, width / P, dim)`."""
        sizes = self.inputs.shape[1:3]
        self.check_patches(patch_size, [size for size in sizes if size is not None])
        self.grid = tuple(size and size // patch_size for size in sizes)
        embed = keras.layers.Conv2D(
            dim, patch_size, strides=patch_size, data_format="channels_last", name="patch_embedding"
        )
        return self.first(embed)

    def tokens(self, dim, patch_size):
        """Cuts the images into patches and embeds each as a token: `(batch, N, dim)`."""
        self.check_patches(patch_size, self.inputs.shape[1:3])
        x = self.patches(dim, patch_size)  # (B, H / P, W / P, C)
        return keras.layers.Reshape((-1, dim), name="tokens")(x)  # (B, N, C)

    def check_patches(self, patch_size, sizes):
        if any(size is None or size % patch_size for size in sizes):
            raise ValueError(
                "`patch_size` must divide a known image height and width, in pixels. Received: "
                f"patch_size={patch_size}, image shape={tuple(self.inputs.shape[1:])}"
            )

    def first(self, layer):
        """Calls the first layer, which from then on refuses an `image` of another shape.

        On JAX, `fit` and `predict` do not check the shapes that a model was built for.
        """
        outputs = layer(self.inputs)
        axes = {axis: size for axis, size in enumerate(self.inputs.shape) if axis > 0}
        layer.input_spec = keras.layers.InputSpec(ndim=4, axes=axes, name="image")
        return outputs

    def keep(self, number, x, others=0):
        """Keeps the output of a block, if it is chosen, as a feature map.

        Args:
            number: Integer, number of the block.
            x: A map, or tokens of shape `(batch, others + N, dim)`, which become a map.
            others: Integer, number of tokens before those of the image. Defaults to 0.
        """
        if number not in self.chosen:
            return
        # No layer starts with the name of the block, which `rematerialize` would count it to.
        if others:
            x = TokenSlice(others, name=f"tokens_of_block{number}")(x)
        if len(x.shape) == 3:
            shape = (*self.grid, x.shape[-1])
            x = keras.layers.Reshape(shape, name=f"map_of_block{number}")(x)
        self.maps[f"block{number}"] = x

    def token_model(self, x, axes, resize, others=0):
        """Returns the model that ends in `x`, with its weights fitted to the grid of tokens.

        Args:
            x: Tensor, the normalized output of the last block.
            axes: The axes over tokens of the weights, as for `Spatial`.
            resize: As for `Spatial`.
            others: Integer, number of tokens before those of the image in the weights.
        """
        return self.model(x, spatial=Spatial(axes, self.grid, resize, others))

    def model(self, x, of_maps=ImageModel, fresh=(), unused=(), spatial=None):
        """Returns the model from the images to the classes, the features `x`, or the maps.

        Args:
            x: Tensor, the normalized output of the last block.
            of_maps: Class of a model that returns maps. Defaults to `ImageModel`.
            fresh: Endings of the names of layers that a file of weights may lack.
            unused: Names of layers that the file may have in excess.
            spatial: A `Spatial`, or `None`.
        """
        x = self.head(x)
        inputs = keras.utils.get_source_inputs(self.inputs)
        inputs = inputs[0] if len(inputs) == 1 else inputs
        if self.maps:
            complete = ImageModel(inputs, [x, *self.maps.values()], name=self.name)
            model = of_maps(inputs, self.maps, name=self.name)
        else:
            model = complete = ImageModel(inputs, x, name=self.name)
        if self.weights is not None:
            # Into the complete model, since published files are complete.
            names = [layer.name for layer in model.layers]
            left_out = {layer.name for layer in complete.layers} - set(names)
            fresh = [name for name in names if name.endswith(fresh)]
            load_weights(complete, self.weights, fresh, left_out.union(unused), spatial)
        return model

    def head(self, x):
        """Pools features over all positions and classifies them, depending on the arguments.

        The classifier computes in float32 under every mixed precision policy, so that probabilities
        and losses keep full precision.
        """
        average, maximum = {
            3: (keras.layers.GlobalAveragePooling1D, keras.layers.GlobalMaxPooling1D),
            4: (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D),
        }[len(x.shape)]
        if self.include_top or self.pooling == "avg":
            x = average(data_format="channels_last", name="avg_pool")(x)
        elif self.pooling == "max":
            x = maximum(data_format="channels_last", name="max_pool")(x)
        if self.include_top:
            x = Dense(
                self.classes,
                activation=self.classifier_activation,
                dtype=keras.config.dtype_policy().variable_dtype,
                name="predictions",
            )(x)
        return x


def image_input(input_tensor, input_shape):
    """Returns the tensor that a model starts from.

    Raises:
        ValueError: If `input_shape` is not a tuple of three, `input_tensor` is not a Keras tensor,
            or the two disagree.
    """
    if input_shape is not None and len(input_shape) != 3:
        raise ValueError(
            "`input_shape` must be a tuple (height, width, channels), without the batch. "
            f"Received: input_shape={input_shape}"
        )
    if input_tensor is None:
        return keras.Input(input_shape or (224, 224, 3), name="image")
    if not keras.utils.is_keras_tensor(input_tensor):
        raise ValueError(
            "`input_tensor` must be a Keras tensor, such as `keras.Input(...)` or the output of a "
            f"layer called on one. Received: input_tensor={input_tensor!r}"
        )
    if input_shape is not None and tuple(input_shape) != tuple(input_tensor.shape[1:]):
        raise ValueError(
            "`input_shape` and `input_tensor` must agree. Received: "
            f"input_shape={tuple(input_shape)}, input_tensor.shape={tuple(input_tensor.shape)}"
        )
    return input_tensor


def chosen_maps(feature_maps, count, by_default):
    """Returns the numbers of the blocks or stages whose maps a model returns, in rising order.

    Raises:
        ValueError: If a number is out of range, or there is none.
    """
    if feature_maps is False:
        return []
    numbers = by_default if feature_maps is True else feature_maps
    # True is an integer too, and not a number here.
    if not (
        isinstance(numbers, list | tuple)
        and numbers
        and all(type(number) is int and -count <= number < count for number in numbers)
    ):
        raise ValueError(
            "`feature_maps` must be True, False or a list of numbers of blocks (of stages in "
            f"CycleMLP) from {-count} to {count - 1}. Received: feature_maps={feature_maps!r}"
        )
    return sorted({number % count for number in numbers})
