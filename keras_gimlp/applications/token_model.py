"""What gMLP, MLP-Mixer and ResMLP share: images become tokens, whose number is fixed."""

import keras

from keras_gimlp.applications.common import on_image, sources
from keras_gimlp.weights import Spatial, load_weights

DESCRIPTIONS = {
    "arguments of keras.applications": """\
        include_top: Whether the classifier follows the features. Defaults to `True`.
        weights: Where the weights come from, `None` for newly initialized ones: `"imagenet"` or a
            name in `keras_gimlp.weights.list_weights()`, which is downloaded; the path of a
            published `.safetensors` or `.pth` file, or of a `.weights.h5` or `.keras` file of ours;
            or `"hf://timm/NAME"` on the Hugging Face hub. With `include_top=False` the classifier
            in the file is left out; where it has another number of classes, the new one keeps its
            initial weights. Defaults to `None`.
        input_tensor: Optional Keras tensor of shape `(batch, height, width, channels)` to build the
            model on.
        input_shape: Optional tuple `(height, width, channels)` in pixels, any that `patch_size`
            divides. Defaults to `(224, 224, 3)`.
        pooling: What `include_top=False` returns: `None` the tokens after the last layer, of shape
            `(batch, tokens, dim)`; `"avg"` or `"max"` their mean or maximum, of shape `(batch,
            dim)`. Defaults to `None`.
        classes: Integer, the number of classes. Ignored with `include_top=False`. Defaults to
            1000.
        classifier_activation: Activation of the classifier, `None` for logits. Defaults to
            `"softmax"`.
        name: Name of the model.
""",
    "arguments of token models, returns, raises": """\
        patch_size: Integer, pixels, the side of a patch. Defaults to 16.
        drop_path_rate: Float in [0, 1), stochastic depth of the last block; it rises linearly from
            0 in the first. Survival is `1 - drop_path_rate`. Defaults to 0.
        resize_spatial: Whether the spatial weights of a file of another image size are
            interpolated, as `keras_gimlp.weights.Spatial` explains. `True` for a file of square
            images, the grid `(rows, columns)` of the file's tokens for others. Defaults to `False`.

    Returns:
        A `keras.Model` that takes images preprocessed by `preprocess_input`.

    Raises:
        ValueError: If the arguments contradict each other, `patch_size` does not divide the image,
            or the file in `weights` does not fit the model.
""",
}


def describe(builder):
    """Fills what the docstrings of the three builders have in common into that of one of them."""
    for name, text in DESCRIPTIONS.items():
        docstring = builder.__doc__ or ""  # none under `python -OO`
        builder.__doc__ = docstring.replace(f"        {{{name}}}\n", text)
    return builder


def patch_tokens(inputs, dim, patch_size):
    """Cuts images into patches and embeds each as a token: `(batch, tokens, dim)`."""
    height, width = inputs.shape[1:3]
    if None in (height, width) or height % patch_size or width % patch_size:
        raise ValueError(
            "`patch_size` must divide a known image height and width, in pixels. Received: "
            f"patch_size={patch_size}, image shape={tuple(inputs.shape[1:])}"
        )
    embed = keras.layers.Conv2D(
        dim, patch_size, strides=patch_size, data_format="channels_last", name="patch_embedding"
    )
    x = on_image(embed, inputs)  # (B, H / P, W / P, C)
    return keras.layers.Reshape((-1, dim), name="tokens")(x)  # (B, N, C)


def token_model(inputs, outputs, name, weights, patch_size, spatial_axes, resize_spatial):
    """Returns the model from images to `outputs`, filled with `weights` over its grid of tokens."""
    model = keras.Model(sources(inputs), outputs, name=name)
    if weights is not None:
        grid = inputs.shape[1] // patch_size, inputs.shape[2] // patch_size
        load_weights(model, weights, spatial=Spatial(spatial_axes, grid, resize_spatial))
    return model
