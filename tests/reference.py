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


def spatial_gating_unit(x, gamma, beta, W, b, epsilon, addend=None, mask=None, form="split"):
    """`W[m, n]` is the weight of token n in the gate of token m; `b[m]` the bias of token m."""
    tokens, channels = x.shape
    u, v = (x[:, : channels // 2], x[:, channels // 2 :]) if form == "split" else (x, x)
    f = np.empty_like(v)
    v = layer_norm(v, gamma, beta, epsilon)
    for m in range(tokens):
        f[m] = b[m]
        for n in range(tokens):
            if mask is None or mask[n]:
                f[m] = f[m] + W[m, n] * v[n]
        if addend is not None:
            f[m] = f[m] + addend[m]
    return {"split": u * f, "multiplicative": u * f, "additive": u + f, "linear": f}[form]


def toeplitz(w, tokens):
    """`w[r + most - 1]` is the weight of a token r places before, at most `most - 1`."""
    most = (len(w) + 1) // 2
    W = np.empty((tokens, tokens))
    for m in range(tokens):
        for n in range(tokens):
            W[m, n] = w[m - n + most - 1]
    return W


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


def attention_free_means(keys, values, w, mask=None, causal=False):
    """Token t adds `w[t, s]` to the keys of token s, of which each channel has its own."""
    tokens, channels = values.shape
    means = np.zeros((tokens, channels))
    for t in range(tokens):
        seen = [s for s in range(tokens if not causal else t + 1) if mask is None or mask[s]]
        for c in range(channels):
            if seen:
                weights = softmax(np.array([keys[s, c] + w[t, s] for s in seen]))
                means[t, c] = sum(weights[n] * values[s, c] for n, s in enumerate(seen))
    return means


def attention_free_mixing(x, W_qkv, b_qkv, W_o, b_o, w, mask=None, causal=False):
    q, k, v = np.split(x @ W_qkv + b_qkv, 3, axis=1)
    return attention_free_means(k, v, w, mask, causal) / (1 + np.exp(-q)) @ W_o + b_o


def standardized(kernel, gamma, beta, epsilon):
    """One kernel of a head, without the axis over heads."""
    return gamma * (kernel - kernel.mean()) / math.sqrt(kernel.var() + epsilon) + beta


def position_biases(kernel, height, width):
    """The matrix `w[t, s]` of a kernel of shape `(rows, columns)`; what it does not reach is 0."""
    w = np.zeros((height, width, height, width))
    down, right = kernel.shape[0] // 2, kernel.shape[1] // 2
    for y in range(height):
        for x in range(width):
            for i in range(-down, down + 1):
                for j in range(-right, right + 1):
                    if 0 <= y + i < height and 0 <= x + j < width:
                        w[y, x, y + i, x + j] = kernel[down + i, right + j]
    return w.reshape(height * width, height * width)


def attention_free_convolution_means(keys, values, kernel):
    """The paper's equation 6 for one head on an image: keys `(H, W)`, values `(H, W, C)`."""
    height, width, _ = values.shape
    down, right = kernel.shape[0] // 2, kernel.shape[1] // 2
    means = np.empty_like(values)
    for y in range(height):
        for x in range(width):
            numerator = sum(np.exp(keys[i, j]) * values[i, j] for i, j in np.ndindex(height, width))
            denominator = np.exp(keys).sum()
            for i in range(-down, down + 1):
                for j in range(-right, right + 1):
                    if 0 <= y + i < height and 0 <= x + j < width:
                        weight = np.exp(kernel[down + i, right + j]) - 1
                        weight = weight * np.exp(keys[y + i, x + j])
                        numerator = numerator + weight * values[y + i, x + j]
                        denominator = denominator + weight
            means[y, x] = numerator / denominator
    return means


def combiner_supports(pattern, i, tokens, segment_size=None, columns=None, causal=False):
    """Returns the tokens that token `i` attends to directly, and a list of its spans."""
    if pattern == "fixed":
        allowed = range(i + 1) if causal else range(tokens)
        segments = {}
        for j in allowed:
            segments.setdefault(j // segment_size, []).append(j)
        direct = segments.pop(i // segment_size)
        return direct, list(segments.values())
    if pattern == "logsparse":
        direct, spans, end = [i], [], i
        while end > 0:
            size = 1
            while end % (2 * size) == 0:
                size *= 2
            spans.append(list(range(end - size, end)))
            end -= size
        return direct, spans
    row, column = i // columns, i % columns
    direct = [j for j in range(i + 1) if j // columns == row]
    if pattern == "axial_rowmajor":
        return direct, [list(range(r * columns, (r + 1) * columns)) for r in range(row)]
    above = range(row * columns)
    direct += [j for j in above if j % columns == column]
    others = [j for j in above if j % columns != column]
    if pattern == "axial_vertical":
        spans = [[j for j in others if j % columns == c] for c in range(columns)]
    else:
        spans = [[j for j in others if j // columns == r] for r in range(row)]
    return direct, [span for span in spans if span]


def combiner_weights(q, k, pattern, mask=None, **arguments):
    """Returns what each token of one head attends to, of shape `(N, N)`."""
    tokens, size = q.shape
    seen = [True] * tokens if mask is None else mask
    weights = np.zeros((tokens, tokens))
    for i in range(tokens):
        direct, spans = combiner_supports(pattern, i, tokens, **arguments)
        direct = [j for j in direct if seen[j]]
        spans = [[j for j in span if seen[j]] for span in spans]
        spans = [span for span in spans if span]
        scores = [q[i] @ k[j] / math.sqrt(size) for j in direct]
        for span in spans:
            scores.append(q[i] @ np.max([k[j] for j in span], axis=0) / math.sqrt(size))
        if not scores:
            continue
        shares = softmax(np.array(scores))
        for j, share in zip(direct, shares[: len(direct)], strict=True):
            weights[i, j] = share
        for span, share in zip(spans, shares[len(direct) :], strict=True):
            query = np.max([q[j] for j in span], axis=0)
            if pattern == "axial_rowmajor":  # that of the same column
                columns = arguments["columns"]
                j = span[0] // columns * columns + i % columns
                query = q[j] if seen[j] else np.zeros(size)
            inside = softmax(np.array([query @ k[j] / math.sqrt(size) for j in span]))
            for j, part in zip(span, inside, strict=True):
                weights[i, j] = share * part
    return weights


def combiner_attention(x, W_qkv, b_qkv, W_o, b_o, num_heads, pattern, mask=None, **arguments):
    channels = x.shape[1]
    size = channels // num_heads
    projected = x @ W_qkv + b_qkv
    heads = []
    for h in range(num_heads):
        q, k, v = (
            projected[:, i * channels + h * size : i * channels + (h + 1) * size] for i in range(3)
        )
        heads.append(combiner_weights(q, k, pattern, mask, **arguments) @ v)
    return np.concatenate(heads, axis=1) @ W_o + b_o


def gmlp_block(x, norm, expand, unit, contract, attention=None, mask=None, form="split"):
    """One block; every argument after `x` is the tuple of parameters of one part.

    `norm` is `(gamma, beta, epsilon)`, `unit` is `(gamma, beta, W, b, epsilon)`.
    """
    y = layer_norm(x, *norm)
    z = gelu(y @ expand[0] + expand[1])
    addend = None if attention is None else tiny_attention(y, *attention, mask=mask)
    z = spatial_gating_unit(z, *unit, addend=addend, mask=mask, form=form)
    return x + z @ contract[0] + contract[1]


def cycle_fc(x, W, b, axis, kernel_size):
    """`x` is one image of shape `(H, W, C)`."""
    height, width, channels = x.shape
    output = np.empty((height, width, len(b)))
    for h in range(height):
        for w in range(width):
            total = b
            for c in range(channels):
                shift = (c + kernel_size // 2) % kernel_size - kernel_size // 2
                row, column = (h, w + shift) if axis == "width" else (h + shift, w)
                if 0 <= row < height and 0 <= column < width:
                    total = total + x[row, column, c] * W[c]
            output[h, w] = total
    return output


def split_attention(branches, W_1, b_1, W_2, b_2):
    """`branches` are maps of one image, each of shape `(H, W, C)`."""
    height, width, channels = branches[0].shape
    average = sum(branches).sum((0, 1)) / (height * width)
    scores = gelu(average @ W_1 + b_1) @ W_2 + b_2
    output = np.zeros_like(branches[0])
    for c in range(channels):
        weights = softmax(scores[c * len(branches) : (c + 1) * len(branches)])
        for weight, branch in zip(weights, branches, strict=True):
            output[..., c] += weight * branch[..., c]
    return output


def inhibition(x, level, scope, mask=None):
    """`x` is a batch of tokens of shape `(B, N, C)`."""
    output = np.empty_like(x)
    for example in range(len(x)):
        for token in range(x.shape[1]):
            if scope == "batch":
                seen = x
            elif scope == "token":
                seen = x[example, token]
            else:
                seen = x[example] if mask is None else x[example][mask[example]]
            threshold = level * seen.max() if seen.size else 0.0
            output[example, token] = x[example, token] - threshold
    return output


def gate_with_inhibition(x, W_g, b_g, W_i, b_i, level, scope, residual, mask=None):
    s = gelu(x @ W_g + b_g) @ W_i + b_i
    return gelu(inhibition(s, level, scope, mask)) + (1.0 if residual else 0.0)


def affine(x, alpha, beta):
    return x * alpha + beta


def token_mixing(x, W, b):
    """`W[m, n]` is the weight of token n in token m."""
    return np.stack([sum(W[m, n] * x[n] for n in range(len(x))) + b[m] for m in range(len(W))])


def mixer_block(x, tokens, channels, epsilon):
    """`tokens` and `channels` are `(gamma, beta, W_1, b_1, W_2, b_2)` of the two halves."""
    gamma, beta, W_1, b_1, W_2, b_2 = tokens
    y = layer_norm(x, gamma, beta, epsilon)
    x = x + token_mixing(gelu(token_mixing(y, W_1, b_1)), W_2, b_2)
    gamma, beta, W_1, b_1, W_2, b_2 = channels
    y = layer_norm(x, gamma, beta, epsilon)
    return x + gelu(y @ W_1 + b_1) @ W_2 + b_2


def resmlp_block(x, tokens, channels):
    """`tokens` is `(alpha, beta, W, b, scale)`, `channels` has two matrices and biases."""
    alpha, beta, W, b, scale = tokens
    x = x + scale * token_mixing(affine(x, alpha, beta), W, b)
    alpha, beta, W_1, b_1, W_2, b_2, scale = channels
    return x + scale * (gelu(affine(x, alpha, beta) @ W_1 + b_1) @ W_2 + b_2)


def cycle_block(x, mixing, mlp, epsilon, gate=None, subtract=None):
    """`x` is one map of shape `(H, W, C)`.

    `mixing` is a dictionary of the parameters of its parts, `mlp` is `(gamma, beta, W_1, b_1, W_2,
    b_2)`, `gate` is `(gamma, beta, W_g, b_g, W_i, b_i, level, residual)`, `subtract` a level.
    """

    def norm(x, gamma, beta):
        return layer_norm(x.reshape(-1, x.shape[-1]), gamma, beta, epsilon).reshape(x.shape)

    y = norm(x, *mixing["norm"])
    branches = [
        cycle_fc(y, *mixing["width"], axis="width", kernel_size=3),
        cycle_fc(y, *mixing["height"], axis="height", kernel_size=3),
        y @ mixing["channel"][0],
    ]
    W, b = mixing["project"]
    x = x + split_attention(branches, *mixing["fuse"]) @ W + b
    gamma, beta, W_1, b_1, W_2, b_2 = mlp
    y = gelu(norm(x, gamma, beta) @ W_1 + b_1) @ W_2 + b_2
    if gate is not None:
        gamma, beta, *parameters, level, residual = gate
        tokens = norm(x, gamma, beta).reshape(1, -1, x.shape[-1])
        factor = gate_with_inhibition(tokens, *parameters, level, "example", residual)
        y = y * factor.reshape(x.shape)
    if subtract is not None:
        y = y - subtract * y.max()
    return x + y
