"""Draws filters, kernels, gates, reach or saliency of a model.

    python -m recipes.draw --picture spatial_filters --weights runs/A/model.keras --output a.png
    python -m recipes.draw --picture toeplitz_kernels --preset runs/B/preset --output b.png
    python -m recipes.draw --picture gates --preset runs/C/preset --texts "A bore." --output c.png
    python -m recipes.draw --picture reach --model CycleMLP_B1 --output d.png
    python -m recipes.draw --picture saliency --weights runs/A/model.keras --examples 0 1 2 3 \
        --output e.png

* spatial_filters: rows of the matrices over tokens, on the grid of patches. gMLP, aMLP, MLP-Mixer
  and ResMLP for images.
* toeplitz_kernels: the weights of relative positions over the depth. gMLP and aMLP for text.
* gates: their values with and without inhibition, over an image or a text. giCycleMLP, giBERT,
  giRoBERTa, giDeBERTaV3.
* reach: the pixels that one position sees. CycleMLP and giCycleMLP.
* saliency: input x gradient of the likeliest class or token. Image classifiers, text classifiers
  and masked language models.

A model in the folder of its run is shown test images of that run. A file that is there already is
replaced. Each picture is a function of `recipes.draw` too, for notebooks.
"""

import dataclasses
import pathlib

from recipes.program import command_line
from recipes.program.command_line import Arguments, Whole

PROGRAM = "python -m recipes.draw"
PICTURES = ("spatial_filters", "toeplitz_kernels", "gates", "reach", "saliency")
FORMATS = (".png", ".svg", ".pdf")


@dataclasses.dataclass(frozen=True)
class Config:
    """The picture, and the model to draw."""

    # spatial_filters, toeplitz_kernels, gates, reach or saliency.
    picture: str
    # Path of the picture: .png, .svg or .pdf.
    output: pathlib.Path
    # Model of keras_gimlp.applications, such as gMLP_S.
    model: str | None = None
    # Arguments of --model, such as classifier_activation=None for a saliency of logits.
    model_args: Arguments = dataclasses.field(default_factory=dict)
    # Weights of --model, such as imagenet or a file; or alone, a .keras file with a model.
    weights: str | None = None
    # Folder of a preset: a text model, with its tokenizer.
    preset: str | None = None
    # Photos, for gates, reach and saliency. None: test images of the model's run.
    images: tuple[pathlib.Path, ...] = ()
    # Numbers of the test images of the run. gates and reach take one.
    examples: tuple[Whole, ...] = (0,)
    # Folder of the run's data. None: where it was when the model was trained.
    data_dir: str | None = None
    # Texts, for gates (one) and saliency; with [MASK] for a masked language model.
    texts: tuple[str, ...] = ()
    # Numbers of the blocks, for spatial_filters, toeplitz_kernels and gates. None: some at all
    # depths.
    blocks: tuple[Whole, ...] | None = None
    # Numbers of the tokens, for spatial_filters. None: some all over the image.
    tokens: tuple[Whole, ...] | None = None
    # Row and column of a pixel, for reach. None: the middle.
    position: tuple[Whole, Whole] | None = None


def main(arguments=None):
    config = command_line.parse_options(Config, PROGRAM, __doc__, arguments)
    command_line.one_of(config.picture, PICTURES, "picture")
    if config.output.suffix not in FORMATS:
        raise SystemExit(f"--output must end in {', '.join(FORMATS)}. Received: {config.output}")
    if config.picture in ("gates", "reach"):
        for name in ("images", "examples", "texts"):
            if len(getattr(config, name)) > 1:
                raise SystemExit(f"{config.picture} is drawn of one example: one of --{name}.")
    from recipes.draw import PictureError
    from recipes.program import files
    from recipes.trained import loading
    from recipes.training import devices

    devices.prepare("float32", seed=0)
    try:
        figure = draw(loading.load(config), config)
    except PictureError as error:
        raise SystemExit(str(error)) from error
    try:
        config.output.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(config.output) as file:
            figure.savefig(file, format=config.output.suffix[1:])
    except OSError as error:
        raise SystemExit(f"--output cannot be written: {error}") from error
    print(f"Picture: {config.output}")


def draw(model, config):
    """Returns the picture that the options ask for, a `Figure`."""
    from recipes.draw import examples, gates, reach, saliency, spatial_filters, toeplitz_kernels

    match config.picture:
        case "spatial_filters":
            return spatial_filters.draw(model, config.blocks, config.tokens)
        case "toeplitz_kernels":
            return toeplitz_kernels.draw(model, config.blocks)
        case "gates":
            gates.check(model)
            shown = examples.load(model, config)
            words = shown.words and shown.words[0]
            return gates.draw(model, shown.first, words, config.blocks)
        case "reach":
            reach.check(model)
            known = config.images or examples.run_of(config)
            image = examples.load(model, config).first if known else None
            return reach.draw(model, image, config.position)
    shown = examples.load(model, config)
    return saliency.draw(model, shown.inputs, shown.words, shown.labels, shown.name)


if __name__ == "__main__":
    command_line.run(main)
