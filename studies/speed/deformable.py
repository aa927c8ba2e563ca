"""CycleMLP in PyTorch as its authors compute it: the cycle layer as a deformable convolution.

Written from the paper and the released weights, whose names the parameters have. The benchmark
compares it with `keras_gimlp.layers.CycleFC`, which gives the same values.
"""

import torch
from torch import nn
from torch.nn import functional
from torchvision.ops import deform_conv2d


class DeformableCycleFC(nn.Module):
    """A dense layer that reads channel `c` at its own offset, as a convolution of one pixel.

    Args:
        channels: Integer, channels of input and output.
        axis: 0 to shift along the height, 1 along the width.
        kernel_size: Odd integer, number of different offsets.
    """

    def __init__(self, channels, axis, kernel_size=3):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.trunc_normal_(self.weight, std=0.02)
        reach = kernel_size // 2
        offset = torch.zeros(channels, 2)  # down and to the right
        offset[:, axis] = (torch.arange(channels) + reach) % kernel_size - reach
        self.register_buffer("offset", offset.reshape(1, 2 * channels, 1, 1), persistent=False)

    def forward(self, x):
        batch, _, height, width = x.shape  # (B, C, H, W)
        offset = self.offset.expand(batch, -1, height, width)
        # torchvision has no bfloat16 form.
        y = deform_conv2d(x.float(), offset.float(), self.weight.float(), self.bias.float())
        return y.to(x.dtype)


class MLP(nn.Module):
    def __init__(self, dim, hidden_dim, out_dim):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, out_dim)

    def forward(self, x):
        return self.fc2(functional.gelu(self.fc1(x)))


class CycleMixing(nn.Module):
    """Mixes pixels along the width, along the height, and not at all; returns a weighted sum."""

    def __init__(self, dim):
        super().__init__()
        self.mlp_c = nn.Linear(dim, dim, bias=False)
        self.sfc_h = DeformableCycleFC(dim, axis=1)
        self.sfc_w = DeformableCycleFC(dim, axis=0)
        self.reweight = MLP(dim, dim // 4, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):  # (B, H, W, C)
        channels_first = x.permute(0, 3, 1, 2)
        width = self.sfc_h(channels_first).permute(0, 2, 3, 1)
        height = self.sfc_w(channels_first).permute(0, 2, 3, 1)
        channel = self.mlp_c(x)
        average = (width + height + channel).mean(dim=(1, 2))  # (B, C)
        weights = self.reweight(average).unflatten(1, (-1, 3)).softmax(-1)  # (B, C, 3)
        w, h, c = weights[:, None, None].unbind(-1)
        return self.proj(w * width + h * height + c * channel)


class Block(nn.Module):
    def __init__(self, dim, mlp_ratio):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = CycleMixing(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, mlp_ratio * dim, dim)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Convolution(nn.Module):
    """A strided convolution, between channels-last maps unless it is the first."""

    def __init__(self, channels, dim, size, strides, stem=False):
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, size, strides, padding=(size - strides + 1) // 2)
        self.stem = stem

    def forward(self, x):
        x = x if self.stem else x.permute(0, 3, 1, 2)
        return self.proj(x).permute(0, 2, 3, 1)


class DeformableCycleMLP(nn.Module):
    """CycleMLP on images `(batch, 3, height, width)`, with the sizes of our `CycleMLP`."""

    def __init__(self, depths, dims, mlp_ratios, stem_size, stem_strides, classes=1000):
        super().__init__()
        self.patch_embed = Convolution(3, dims[0], stem_size, stem_strides, stem=True)
        stages = []
        for s, (depth, dim, mlp_ratio) in enumerate(zip(depths, dims, mlp_ratios, strict=True)):
            if s > 0:
                stages.append(Convolution(dims[s - 1], dim, 3, 2))
            stages.append(nn.Sequential(*(Block(dim, mlp_ratio) for _ in range(depth))))
        self.network = nn.ModuleList(stages)
        self.norm = nn.LayerNorm(dims[-1])
        self.head = nn.Linear(dims[-1], classes)

    def forward(self, x):
        x = self.patch_embed(x)
        for stage in self.network:
            x = stage(x)
        return self.head(self.norm(x).mean(dim=(1, 2)))
