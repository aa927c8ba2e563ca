"""Saliency: how much each pixel, or each word, adds to the likeliest output."""

import numpy as np
from keras import ops

from recipes.draw import PictureError, figures
from recipes.draw.gradients import gradient
from recipes.program import layers_within

COLUMNS = 4  # of images


def draw(model, inputs, words=None, labels=None, name="class {}".format):
    """Draws input x gradient of the likeliest class, or of the likeliest token for a mask.

    Args:
        model: An image classifier, a text classifier or a masked language model.
        inputs: Images as the model takes them; or a list of the inputs of texts, each in a batch of
            its own.
        words: For every text a list of its tokens as words. Defaults to `None`, for images.
        labels: For every example the number of its class. Defaults to `None`, not known.
        name: Function from the number of a class, or token, to its name.

    Returns:
        A `Figure`. Of images, red adds to the output and blue takes from it. Of a text, it is the
        length of every token's vector: the sum of its channels is almost zero, since a layer
        normalization soon removes the length of an embedding.
    """
    rows = draw_images(model, inputs) if words is None else draw_texts(model, inputs, words)
    labels = [None] * len(inputs) if labels is None else labels
    for (axes, number), label in zip(rows, labels, strict=True):
        title = name(number)
        if label is not None and label != number:
            title = f"{name(label)}, taken for {title}"
        axes.set_title(title, fontsize="small")
    return axes.figure


def draw_images(model, images):
    """Draws images and their saliency; returns for each where its title goes and its class."""
    salient, classes = saliency(model, images)
    beside = len(images) < 3  # else below one another
    columns = 2 if beside else min(len(images), COLUMNS)
    rows = len(images) if beside else -(-len(images) // columns) * 2
    height = rows * (figures.WIDTH / columns + 0.2)
    figure = figures.new(0.6 + height, f"Input x gradient, {figures.name_of(model)}")
    table = figure.subplots(rows, columns, squeeze=False)
    for axes in table.flat:
        axes.set_axis_off()
    first, second = (table[:, 0], table[:, 1]) if beside else (table[::2].flat, table[1::2].flat)
    first, second = first[: len(images)], second[: len(images)]
    for image, values, *both in zip(np.asarray(images), salient, first, second, strict=True):
        for axes in both:
            axes.set_axis_on()
            figures.no_ticks(axes)
        figures.show_image(both[0], image)
        drawn = figures.show_signed(both[1], values.sum(-1))
        bar = figure.colorbar(drawn, ax=both[1], location="bottom", fraction=0.06, pad=0.03)
        bar.ax.tick_params(labelsize="x-small")
    return list(zip(first, classes, strict=True))


def draw_texts(model, inputs, words):
    """Draws the saliency of texts; returns for each where its title goes and its class."""
    figure = figures.new(0.5 + 2.3 * len(inputs), f"Input x gradient, {figures.name_of(model)}")
    rows = []
    for x, row, axes in zip(
        inputs, words, figure.subplots(len(inputs), 1, squeeze=False)[:, 0], strict=True
    ):
        salient, classes = saliency(model, x)
        axes.bar(range(len(row)), np.linalg.norm(salient[0], axis=-1)[: len(row)])
        axes.set_xticks(range(len(row)), row, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_ylabel("length", fontsize="small")
        axes.grid(alpha=0.3, axis="y")
        rows.append((axes, classes[0]))
    return rows


def saliency(model, inputs, classes=None):
    """Returns input x gradient of outputs of a model, and the numbers of these outputs.

    The input is an array of images, or the embeddings `(batch, tokens, channels)` of texts, a
    dictionary of inputs. `classes` has for every example the number of the output, `None` for the
    largest; of a masked language model, that at the first mask.
    """
    outputs = ops.convert_to_numpy(scores(model(inputs, training=False), model))
    classes = outputs.argmax(-1) if classes is None else np.asarray(classes)
    chosen = np.eye(outputs.shape[-1], dtype="float32")[classes]

    def score(outputs):
        return ops.sum(ops.multiply(scores(outputs, model), chosen))

    if not isinstance(inputs, dict):
        images = np.asarray(inputs, "float32")
        return images * gradient(lambda x: score(model(x, training=False)), images), classes

    embed = model.backbone.token_embedding
    ((_, embedded), *_) = layers_within.record(model, inputs, [embed])[0]

    def moved(embedded):
        def change(call, x, *args, reverse=False, **kwargs):
            # Reversed, it gives the logits of tokens.
            return call(x, *args, reverse=True, **kwargs) if reverse else embedded

        with layers_within.changed(embed, change):
            return score(model(inputs, training=False))

    return embedded * gradient(moved, embedded), classes


def scores(outputs, model):
    """Returns `(batch, classes)` of outputs, of which a masked language model has some a mask."""
    masks = isinstance(model.input, dict) and "mask_positions" in model.input
    if isinstance(outputs, dict) or len(outputs.shape) != 2 + masks:
        raise PictureError(
            f"{figures.name_of(model)} gives no scores of classes: image classifiers, text "
            "classifiers and masked language models do, and have a saliency."
        )
    return outputs[:, 0] if masks else outputs
