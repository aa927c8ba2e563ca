"""Fills in the masked words of sentences with a model that was pretrained for it.

    python -m recipes.fill_masks --preset PRESET --texts "He shut the [MASK] behind him."

The model is a preset with its tokenizer: one that `recipes.mlm_pretraining` saved, or a masked
language model of KerasHub by name. `[MASK]` stands for one token. With several in a sentence, each
is predicted as if the others stayed masked.
"""

import dataclasses

import numpy as np

from recipes import language
from recipes.program import command_line
from recipes.program.command_line import Count
from recipes.text.sentences import MASK, encode, name_of

PROGRAM = "python -m recipes.fill_masks"


@dataclasses.dataclass(frozen=True)
class Config:
    """The sentences to fill, and with which model."""

    # Folder or name of the preset.
    preset: str
    # Sentences that contain [MASK].
    texts: tuple[str, ...]
    # How many of the most likely tokens to show.
    top: Count = 5


def main(arguments=None):
    config = command_line.parse_options(Config, PROGRAM, __doc__, arguments)
    with language():
        import keras_hub

        # From here on KerasHub knows our presets, those of the Transformer to compare with too.
        from recipes.text import transformer  # noqa: F401
    from recipes.training import devices

    devices.prepare("float32", seed=0)
    try:
        task = keras_hub.models.MaskedLM.from_preset(config.preset)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"--preset cannot be loaded: {error}") from error
    for text in config.texts:
        print(text)
        for candidates in fill(task, text, config.top):
            print("   ", ", ".join(f"{word} {share:.3f}" for word, share in candidates))


def fill(task, text, top=5):
    """Returns for every `[MASK]` in a text its `top` likeliest tokens with their probabilities.

    The task is a `keras_hub.models.MaskedLM` with its preprocessor. Tokens are without their marks
    of a word's beginning or middle.
    """
    from keras import ops

    if MASK not in text:
        raise SystemExit(f"There is no {MASK} in the text: {text!r}")
    tokenizer = task.preprocessor.tokenizer
    # As long as in training, which some models require.
    x = encode(tokenizer, text, task.input, task.preprocessor.sequence_length)
    # Not `predict`, in which the preprocessor would expect a text and mask it at random.
    (logits,) = task(x)
    candidates = []
    for shares in ops.convert_to_numpy(ops.softmax(ops.cast(logits, "float32"))):
        best = np.argsort(-shares)[:top]
        candidates.append([(name_of(tokenizer, i), float(shares[i])) for i in best])
    return candidates


if __name__ == "__main__":
    command_line.run(main)
