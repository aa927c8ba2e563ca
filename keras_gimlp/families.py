"""The families of image models, recognized by the names of their layers.

A built image model is a functional model like any other, and a saved one does not name its builder.
The names of layers never change, so one layer tells the family, in files of earlier versions too.
Text models are classes and need no mark; their blocks have the same names, or those of KerasHub.
"""

import re
from typing import NamedTuple

TOKEN_BLOCK = r"block\d+(?=_)"
STAGE_BLOCK = r"stage\d+_block\d+(?=_)"
ENCODER_LAYER = r"\w+_layer_\d+$"  # in the encoders of KerasHub, a block is one layer


class Family(NamedTuple):
    """How the layers of a family are named.

    Attributes:
        mark: Name of a layer that every model of the family has, and no model of another family.
        block: Pattern of a block's name, with which the names of the block's layers begin.
    """

    mark: str
    block: str


FAMILIES = {
    "gMLP": Family("block0_gate", TOKEN_BLOCK),
    "CycleMLP": Family("stage0_block0_mix_fuse", STAGE_BLOCK),
    "MLPMixer": Family("block0_tokens_expand", TOKEN_BLOCK),
    "ResMLP": Family("block0_tokens_mix", TOKEN_BLOCK),
    "AFT": Family("block0_mix", TOKEN_BLOCK),
}
BLOCK = re.compile("|".join([*(family.block for family in FAMILIES.values()), ENCODER_LAYER]))


def image_family(layers):
    """Returns the name of the family of image models that has these layers, `None` if none has."""
    names = {layer.name for layer in layers}
    return next((name for name, family in FAMILIES.items() if family.mark in names), None)


def block_of(layer):
    """Returns the name of the block that a layer belongs to, `None` if it belongs to none."""
    match = BLOCK.match(layer.name)
    return match and match[0]


def blocks_of(layers):
    """Returns the names of the blocks that have these layers, in the order of the layers."""
    return [name for name in dict.fromkeys(map(block_of, layers)) if name]
