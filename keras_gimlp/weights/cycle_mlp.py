"""How the CycleMLP authors' files name CycleMLP."""

import numpy as np

from keras_gimlp.weights.names import (
    POINTWISE,
    Correspondence,
    convolution,
    dense,
    ends,
    mlp,
    norm,
)


def cycle_mlp(model):
    names = {layer.name for layer in model.layers}
    rows = ends("stem", "patch_embed.proj")
    constants = {}
    stage = block = 0
    while f"stage{stage}_block0_mix_norm" in names:
        if stage > 0:
            rows |= convolution(f"stage{stage}_downsample", f"network.{2 * stage - 1}.proj")
        while f"stage{stage}_block{block}_mix_norm" in names:
            ours, theirs = f"stage{stage}_block{block}", f"network.{2 * stage}.{block}"
            rows |= norm(f"{ours}_mix_norm", f"{theirs}.norm1")
            # They are named after the other axis: the kernel of sfc_h is 1 x 3.
            for axis, attribute in (("width", "sfc_h"), ("height", "sfc_w")):
                rows |= dense(f"{ours}_mix_{axis}/dense", f"{theirs}.attn.{attribute}", POINTWISE)
                constants[f"{theirs}.attn.{attribute}.offset"] = offsets(
                    model.get_layer(f"{ours}_mix_{axis}")
                )
            rows |= dense(f"{ours}_mix_channel", f"{theirs}.attn.mlp_c", bias=False)
            rows |= dense(f"{ours}_mix_fuse/contract", f"{theirs}.attn.reweight.fc1")
            rows |= dense(f"{ours}_mix_fuse/expand", f"{theirs}.attn.reweight.fc2")
            rows |= dense(f"{ours}_mix_project", f"{theirs}.attn.proj")
            rows |= norm(f"{ours}_mlp_norm", f"{theirs}.norm2")
            rows |= mlp(f"{ours}_mlp", f"{theirs}.mlp")
            block += 1
        stage, block = stage + 1, 0
    return Correspondence(rows, constants)


def offsets(layer):
    """Returns the files' constant for a `CycleFC`: by channel, its shift down and to the right."""
    reach = layer.kernel_size // 2
    channels = np.arange(layer.input_spec.axes[3])
    shifts = (channels + reach) % layer.kernel_size - reach
    pairs = np.zeros((len(shifts), 2), "float32")
    pairs[:, 1 if layer.axis == "width" else 0] = shifts
    return pairs.reshape(1, -1, 1, 1)
