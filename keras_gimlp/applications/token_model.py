"""What gMLP, MLP-Mixer, ResMLP and AFT share: images become tokens."""

import keras

from keras_gimlp.applications.common import layers_left_out, on_image, sources
from keras_gimlp.backend.functional_model import ImageModel
from keras_gimlp.weights import Spatial, load_weights

DESCRIPTIONS = {
    "arguments of keras.applications": """\
        include_top: Whether to include the classifier. Defaults to `True`.
        weights: `None` for newly initialized weights; `"imagenet"` or a name in
            `keras_gimlp.weights.list_weights()`, which is downloaded; the path to a published
            `.safetensors` or `.pth` file, or to a `.weights.h5` or `.keras` file saved from such a
            model; or `"hf://timm/NAME"` on the Hugging Face hub. With `include_top=False`, the
            classifier in the file is ignored; if the file has a different number of classes, the
            new classifier keeps its initial weights. Defaults to `None`.
        input_tensor: Optional Keras tensor of shape `(batch, height, width, channels)` to use as
            the input of the model.
        input_shape: Optional tuple `(height, width, channels)` in pixels; `patch_size` must divide
            height and width. Defaults to `(224, 224, 3)`.
        pooling: What the model returns with `include_top=False`. `None`: the tokens after the last
            layer, of shape `(batch, tokens, dim)`. `"avg"` or `"max"`: their mean or maximum, of
            shape `(batch, dim)`. Defaults to `None`.
        classes: Integer, number of classes. Ignored with `include_top=False`. Defaults to 1000.
        classifier_activation: Activation of the classifier, `None` for logits. Defaults to
            `"softmax"`.
        name: Name of the model.
""",
    "arguments of token models, returns, raises": """\
        patch_size: Integer, side of a patch in pixels. Defaults to 16.
        drop_path_rate: Float in [0, 1), stochastic depth of the last block; it rises linearly from
            0 in the first. Survival is `1 - drop_path_rate`. Defaults to 0.
        feature_maps: Which blocks' outputs to return as maps of shape `(batch, height / patch_size,
            width / patch_size, dim)`, in a dictionary by block, `"block0"` the first. `True`: that
            of the last block. A list or tuple: those of these numbers, negative ones counted from
            the end. They are what the blocks return, without the last normalization; the model
            ends with the last block that it needs. Requires `include_top=False` and `pooling=None`.
            Defaults to `False`.
        resize_spatial: Whether to interpolate the spatial weights of a file for another image size,
            as `keras_gimlp.weights.Spatial` explains: `True` if that file is for square images,
            else the grid `(rows, columns)` of its tokens. Defaults to `False`.

    Returns:
        A `keras.Model` that takes images preprocessed by `preprocess_input`.

    Raises:
        ValueError: If an argument is invalid or contradicts another, `patch_size` does not divide
            the image, or the file in `weights` does not fit the model.
""",
}


def describe(builder):
    """Fills in what the docstrings of the builders have in common."""
    for name, text in DESCRIPTIONS.items():
        docstring = builder.__doc__ or ""  # none under `python -OO`
        builder.__doc__ = docstring.replace(f"        {{{name}}}\n", text)
    return builder


def patch_map(inputs, dim, patch_size):
    """Cuts images into patches and embeds each: `(batch, height / P, width / P, dim)`."""
    check_patches(inputs, patch_size, [n for n in inputs.shape[1:3] if n is not None])
    embed = keras.layers.Conv2D(
        dim, patch_size, strides=patch_size, data_format="channels_last", name="patch_embedding"
    )
    return on_image(embed, inputs)


def patch_tokens(inputs, dim, patch_size):
    """Cuts images into patches and embeds each as a token: `(batch, tokens, dim)`."""
    check_patches(inputs, patch_size, inputs.shape[1:3])
    x = patch_map(inputs, dim, patch_size)  # (B, H / P, W / P, C)
    return keras.layers.Reshape((-1, dim), name="tokens")(x)  # (B, N, C)


def check_patches(inputs, patch_size, sizes):
    """Raises `ValueError` if the patches do not divide all of `sizes`."""
    if any(n is None or n % patch_size for n in sizes):
        raise ValueError(
            "`patch_size` must divide a known image height and width, in pixels. Received: "
            f"patch_size={patch_size}, image shape={tuple(inputs.shape[1:])}"
        )


def token_model(
    inputs, outputs, maps, name, weights, patch_size, spatial_axes, resize_spatial, others=0
):
    """Returns the model from `inputs` to `outputs`, with `weights` fitted to its token grid.

    If there are `maps`, by name, it returns these instead; tokens of shape `(batch, N, dim)` become
    maps. `others` is the number of tokens before those of the image in the weights.
    """
    model = complete = ImageModel(sources(inputs), outputs, name=name)
    grid = tuple(n and n // patch_size for n in inputs.shape[1:3])
    if maps:
        model = ImageModel(
            sources(inputs), {key: as_map(x, grid, key) for key, x in maps.items()}, name=name
        )
    if weights is not None:
        # Into the complete model, since published files are.
        load_weights(
            complete,
            weights,
            unused=layers_left_out(complete, model),
            spatial=Spatial(spatial_axes, grid, resize_spatial, others),
        )
    return model


def as_map(x, grid, name):
    if len(x.shape) == 4:
        return x
    # Not named after the block, which `rematerialize` would take it for a part of.
    return keras.layers.Reshape((*grid, x.shape[-1]), name=f"map_of_{name}")(x)
