"""How timm's files name gMLP, MLP-Mixer and ResMLP."""

import re

from keras_gimlp.weights.correspondence import (
    Correspondence,
    affine,
    convolution,
    dense,
    norm,
    scale,
)


def depth_of(model):
    blocks = {re.match(r"block(\d+)_", layer.name) for layer in model.layers} - {None}
    return 1 + max(int(match[1]) for match in blocks)


def ends(norm_row):
    return (
        convolution("patch_embedding", "stem.proj")
        | norm_row("norm", "norm")
        | dense("predictions", "head")
    )


def gmlp(model):
    rows = ends(norm)
    for i in range(depth_of(model)):
        ours, theirs = f"block{i}", f"blocks.{i}"
        rows |= norm(f"{ours}_norm", f"{theirs}.norm")
        rows |= dense(f"{ours}_expand", f"{theirs}.mlp_channels.fc1")
        rows |= norm(f"{ours}_gate/norm", f"{theirs}.mlp_channels.gate.norm")
        rows |= dense(f"{ours}_gate/spatial", f"{theirs}.mlp_channels.gate.proj")
        rows |= dense(f"{ours}_contract", f"{theirs}.mlp_channels.fc2")
    return Correspondence(rows)


def mlp_mixer(model):
    rows = ends(norm)
    for i in range(depth_of(model)):
        for number, mixed in enumerate(("tokens", "channels"), start=1):
            ours, theirs = f"block{i}_{mixed}", f"blocks.{i}.mlp_{mixed}"
            rows |= norm(f"{ours}_norm", f"blocks.{i}.norm{number}")
            rows |= dense(f"{ours}_expand", f"{theirs}.fc1")
            rows |= dense(f"{ours}_contract", f"{theirs}.fc2")
    return Correspondence(rows)


def resmlp(model):
    rows = ends(affine)
    for i in range(depth_of(model)):
        ours, theirs = f"block{i}", f"blocks.{i}"
        rows |= affine(f"{ours}_tokens_norm", f"{theirs}.norm1")
        rows |= dense(f"{ours}_tokens_mix", f"{theirs}.linear_tokens")
        rows |= scale(f"{ours}_tokens_scale", f"{theirs}.ls1")
        rows |= affine(f"{ours}_channels_norm", f"{theirs}.norm2")
        rows |= dense(f"{ours}_channels_expand", f"{theirs}.mlp_channels.fc1")
        rows |= dense(f"{ours}_channels_contract", f"{theirs}.mlp_channels.fc2")
        rows |= scale(f"{ours}_channels_scale", f"{theirs}.ls2")
    return Correspondence(rows, renamed=from_the_papers_name)


def from_the_papers_name(name):
    """Returns timm's name of a tensor in ResMLP's own files; timm's stay as they are."""
    for theirs, timms in (
        (r"^patch_embed\.", "stem."),
        (r"\.attn\.", ".linear_tokens."),
        (r"\.mlp\.", ".mlp_channels."),
        (r"\.gamma_", ".ls"),
    ):
        name = re.sub(theirs, timms, name)
    return name
