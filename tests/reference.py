"""Every formula in plain NumPy, written from the papers: the specification of the layers.

Loops instead of cleverness. Shapes without the batch: N tokens, C channels.
"""

import math

import numpy as np


def gelu(x):
    return np.vectorize(lambda value: 0.5 * value * (1 + math.erf(value / math.sqrt(2))))(x)


def softmax(x):
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def layer_norm(x, gamma, beta, epsilon):
    normalized = np.empty_like(x)
    for token in range(len(x)):
        mean = x[token].mean()
        variance = ((x[token] - mean) ** 2).mean()
        normalized[token] = (x[token] - mean) / math.sqrt(variance + epsilon)
    return normalized * gamma + beta


def spatial_gating_unit(x, gamma, beta, W, b, epsilon, addend=None, mask=None):
    """`W[m, n]` is the weight of token n in the gate of token m; `b[m]` the bias of token m."""
    tokens, channels = x.shape
    u, v = x[:, : channels // 2], x[:, channels // 2 :]
    v = layer_norm(v, gamma, beta, epsilon)
    output = np.empty_like(u)
    for m in range(tokens):
        gate = np.full(channels // 2, b[m])
        for n in range(tokens):
            if mask is None or mask[n]:
                gate = gate + W[m, n] * v[n]
        if addend is not None:
            gate = gate + addend[m]
        output[m] = u[m] * gate
    return output


def tiny_attention(x, W_qkv, b_qkv, W_o, b_o, mask=None):
    size = len(W_o)
    projected = x @ W_qkv + b_qkv
    q, k, v = (projected[:, i * size : (i + 1) * size] for i in range(3))
    visible = [n for n in range(len(x)) if mask is None or mask[n]]
    output = np.empty((len(x), W_o.shape[1]))
    for m in range(len(x)):
        scores = np.array([q[m] @ k[n] / math.sqrt(size) for n in visible])
        mixed = sum(weight * v[n] for weight, n in zip(softmax(scores), visible, strict=True))
        output[m] = mixed @ W_o + b_o
    return output


def gmlp_block(x, norm, expand, unit, contract, attention=None):
    """One block; every argument after `x` is the tuple of parameters of one part.

    `norm` is `(gamma, beta, epsilon)`, `unit` is `(gamma, beta, W, b, epsilon)`.
    """
    y = layer_norm(x, *norm)
    z = gelu(y @ expand[0] + expand[1])
    addend = None if attention is None else tiny_attention(y, *attention)
    z = spatial_gating_unit(z, *unit, addend=addend)
    return x + z @ contract[0] + contract[1]
