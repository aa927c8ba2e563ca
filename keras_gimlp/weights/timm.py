"""How timm's files name gMLP, MLP-Mixer and ResMLP."""

import re

from keras_gimlp.weights.names import (
    Correspondence,
    affine,
    dense,
    ends,
    mlp,
    norm,
    scale,
)

EMBEDDING = "patch_embedding", "stem.proj"


def depth_of(model):
    blocks = {re.match(r"block(\d+)_", layer.name) for layer in model.layers} - {None}
    return 1 + max(int(match[1]) for match in blocks)


def gmlp(model):
    rows = ends(*EMBEDDING)
    for i in range(depth_of(model)):
        ours, theirs = f"block{i}", f"blocks.{i}"
        rows |= norm(f"{ours}_norm", f"{theirs}.norm")
        rows |= mlp(ours, f"{theirs}.mlp_channels")
        rows |= norm(f"{ours}_gate/norm", f"{theirs}.mlp_channels.gate.norm")
        rows |= dense(f"{ours}_gate/spatial", f"{theirs}.mlp_channels.gate.proj")
    return Correspondence(rows)


def mlp_mixer(model):
    rows = ends(*EMBEDDING)
    for i in range(depth_of(model)):
        for number, mixed in enumerate(("tokens", "channels"), start=1):
            rows |= norm(f"block{i}_{mixed}_norm", f"blocks.{i}.norm{number}")
            rows |= mlp(f"block{i}_{mixed}", f"blocks.{i}.mlp_{mixed}")
    return Correspondence(rows)


def resmlp(model):
    rows = ends(*EMBEDDING, affine)
    for i in range(depth_of(model)):
        ours, theirs = f"block{i}", f"blocks.{i}"
        rows |= affine(f"{ours}_tokens_norm", f"{theirs}.norm1")
        rows |= dense(f"{ours}_tokens_mix", f"{theirs}.linear_tokens")
        rows |= scale(f"{ours}_tokens_scale", f"{theirs}.ls1")
        rows |= affine(f"{ours}_channels_norm", f"{theirs}.norm2")
        rows |= mlp(f"{ours}_channels", f"{theirs}.mlp_channels")
        rows |= scale(f"{ours}_channels_scale", f"{theirs}.ls2")
    return Correspondence(rows, renamed=from_papers_name)


def from_papers_name(name):
    """Returns timm's name of a tensor in ResMLP's own files; timm's stay as they are."""
    for theirs, timms in (
        (r"^patch_embed\.", "stem."),
        (r"\.attn\.", ".linear_tokens."),
        (r"\.mlp\.", ".mlp_channels."),
        (r"\.gamma_", ".ls"),
    ):
        name = re.sub(theirs, timms, name)
    return name
