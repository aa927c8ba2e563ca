"""The attention of Combiner, which reaches every token at less than quadratic cost."""

import keras
from keras import ops

from keras_gimlp.backend.dense import Dense
from keras_gimlp.layers.arguments import check_integers_with, check_positive_integers
from keras_gimlp.layers.combiner_patterns import PATTERNS, expectation
from keras_gimlp.layers.composite import CompositeLayer


@keras.saving.register_keras_serializable(package="keras_gimlp")
class CombinerAttention(CompositeLayer):
    """Self-attention to some tokens directly, and to all others by summaries of spans.

    With `q`, `k` and `v` of one head of `D` channels, and `max` taken for each channel, token `i`
    gets one softmax over the tokens `j` and the spans `S` that its pattern gives it:

        output_i = (sum_j exp(q_i · k_j / sqrt D) v_j + sum_S exp(q_i · k_S / sqrt D) v_S) / Z_i
        k_S = max over S of k_j
        v_S = sum over S of softmax_j(q_S · k_j / sqrt D) v_j,  where q_S = max over S of q_j

    A token that attends to a span attends to every token in it, in proportions that are the span's
    own. Tokens and spans together are all tokens, or, if causal, all up to `i`, each once. With `N`
    tokens, in segments of `s` or in a grid of `m` columns and `n` rows:

    | pattern | directly | spans | terms of a token |
    |---|---|---|---|
    | `"fixed"` | its segment | the other segments | `s + N / s` |
    | `"logsparse"` | itself | blocks of 1, 2, 4 ... tokens that end before it | `log2 N` |
    | `"axial_vertical"` | its row and column | above its row, the other columns | `2 m + n` |
    | `"axial_horizontal"` | its row and column | rows above, without its column | `m + 2 n` |
    | `"axial_rowmajor"` | its row | rows above | `m + n` |

    In `"axial_rowmajor"`, `q_S` is no maximum, but the query of the token of that row in the column
    of token `i`.

    With `s`, `m` and `n` near the square root of `N`, time and memory grow as `N ** 1.5`, and as
    `N log N` for `"logsparse"`. The logsparse blocks are those of the binary form of the position:
    13 = 8 + 4 + 1 tokens come before the token at position 13, so it attends to blocks of these
    sizes, the largest first in the text.

    Args:
        num_heads: Integer, number of heads. The number of channels must be a multiple of it.
        pattern: One of the patterns above.
        segment_size: Integer, number of tokens in a segment for `"fixed"`, which requires it.
            `None` for the others. Defaults to `None`.
        columns: Integer, number of columns of the grid for the axial patterns, which require it.
            The tokens fill it row by row. `None` for the others. Defaults to `None`.
        causal: Boolean, whether a token attends to itself and the tokens before it only. All
            patterns but `"fixed"` require it. Defaults to `False`.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: Tensor of shape `(batch, tokens, channels)`. Any number of tokens: the last segment
            or row may be incomplete. `"logsparse"` computes as many as the next power of two.
            TensorFlow's graphs must know the number for `"logsparse"` and `"axial_vertical"`.
        mask: Optional boolean tensor of shape `(batch, tokens)`, true where there is a token. A
            masked token is not attended to, and is in no maximum. A token that has nothing to
            attend to gets the bias of the output projection.

    Output shape:
        Same as `inputs`.

    Raises:
        ValueError: If `num_heads` is not a positive integer, `pattern` is not one of those above,
            `segment_size`, `columns` or `causal` is not what the pattern requires, the inputs are
            not of rank 3 with known channels, a multiple of `num_heads`, or the number of tokens
            is unknown where it must be known.

    Differences from the paper:
        Written from the text of the paper's first submission; its later version and its appendices,
        with forms of `"logsparse"` and the axial patterns that are not causal, were not at hand.

        For `"axial_rowmajor"` the paper says that the summary of a row depends on the column of the
        token that asks, and not how. In the released code the row attends to itself, each column
        gets the result of its own token, and its key is made from that by a layer normalization and
        two more projections. Here the values are those of the code (the query of a masked token is
        zero), and the key is the maximum, without more weights.

        The released code has no `"axial_horizontal"`, only its parts left and right of the column
        as two spans in a mixture with the other patterns. That mixture, the paper's mean over
        patterns, its learned ones and DeepSets in the place of the maximum are not here.

        Where the code and the paper's formulas differ, the formulas hold: the released TensorFlow
        code counts a token's own segment twice in `"fixed"` without `causal`, and the released JAX
        code misses a block of `"logsparse"` if the number of tokens is a power of two and one.

        The paper does not say whether the projections have biases (here they do), has no mask and
        no incomplete rows; the released codes drop attention weights in training, each in its way,
        and this layer drops none.

    Example:

    ```python
    import keras
    from keras_gimlp import layers

    attention = layers.CombinerAttention(num_heads=8, pattern="fixed", segment_size=32)
    attention(keras.ops.ones((2, 1000, 64))).shape  # (2, 1000, 64)

    image = layers.CombinerAttention(8, "axial_vertical", columns=32, causal=True)
    image(keras.ops.ones((2, 1024, 64))).shape  # (2, 1024, 64)
    ```

    Reference:
        Ren et al., "Combiner: Full Attention Transformer with Sparse Computation Cost" (2021),
        arXiv:2107.05768, Sections 3 and 4.
    """

    def __init__(
        self, num_heads, pattern, *, segment_size=None, columns=None, causal=False, **kwargs
    ):
        super().__init__(**kwargs)
        check_positive_integers(num_heads=num_heads)
        if pattern not in PATTERNS:
            names = ", ".join(f'"{name}"' for name in PATTERNS)
            raise ValueError(f"`pattern` must be one of {names}. Received: pattern={pattern!r}")
        choice = f'pattern="{pattern}"'
        check_integers_with(choice, pattern == "fixed", segment_size=segment_size)
        check_integers_with(choice, pattern.startswith("axial"), columns=columns)
        if pattern != "fixed" and not causal:
            raise ValueError(f"`causal` must be True with {choice}. Received: causal={causal}")
        self.num_heads = num_heads
        self.pattern = pattern
        self.segment_size = segment_size
        self.columns = columns
        self.causal = causal
        self.supports_masking = True

    def build(self, input_shape):
        if len(input_shape) != 3 or input_shape[2] is None:
            raise ValueError(
                "`CombinerAttention` needs `inputs` of shape (batch, tokens, channels) with known "
                f"channels. Received: inputs.shape={tuple(input_shape)}"
            )
        channels = input_shape[2]
        if channels % self.num_heads:
            raise ValueError(
                "The number of channels must be a multiple of `num_heads`. "
                f"Received: num_heads={self.num_heads}, inputs.shape={tuple(input_shape)}"
            )
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={2: channels})
        self.qkv = self.sublayer(Dense, "qkv", input_shape, units=3 * channels)
        self.projection = self.sublayer(Dense, "projection", input_shape, units=channels)

    def call(self, inputs, mask=None):
        tokens, columns = ops.shape(inputs)[1], self.row_length(inputs.shape)
        q, k, v = (
            to_grid(x, columns, self.num_heads)  # (B, H, R, C, D) each
            for x in ops.split(self.qkv(inputs), 3, axis=-1)
        )
        q = q * q.shape[-1] ** -0.5
        mask = grid_mask(mask, tokens, columns, self.causal)
        causal = {"causal": self.causal} if self.pattern == "fixed" else {}  # the others always are
        output = expectation(*PATTERNS[self.pattern](q, k, v, mask, **causal))
        return self.projection(from_grid(output)[:, :tokens])

    def row_length(self, shape):
        """Returns the number of columns of the grid in which the tokens stand."""
        if self.pattern in ("logsparse", "axial_vertical") and shape[1] is None:
            raise ValueError(
                f'pattern="{self.pattern}" needs `inputs` with a known number of tokens. '
                f"Received: inputs.shape={tuple(shape)}"
            )
        if self.pattern == "logsparse":  # one row, which is halved again and again
            return 1 << (int(shape[1]) - 1).bit_length()
        return self.segment_size or self.columns

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "pattern": self.pattern,
            "segment_size": self.segment_size,
            "columns": self.columns,
            "causal": self.causal,
        }


def to_grid(x, columns, heads):
    """Turns (B, N, H D) into heads of rows of tokens, (B, H, R, C, D), the last row completed."""
    missing = -ops.shape(x)[1] % columns
    if not is_zero(missing):
        x = ops.pad(x, ((0, 0), (0, missing), (0, 0)))
    shape = (-1, ops.shape(x)[1] // columns, columns, heads, x.shape[-1] // heads)
    return ops.transpose(ops.reshape(x, shape), (0, 3, 1, 2, 4))


def from_grid(x):
    """Turns (B, H, R, C, D) into (B, R C, H D)."""
    _, heads, rows, columns, channels = ops.shape(x)
    x = ops.transpose(x, (0, 2, 3, 1, 4))
    return ops.reshape(x, (-1, rows * columns, heads * channels))


def grid_mask(mask, tokens, columns, causal):
    """Returns where there is a token, of shape (B, 1, R, C), or `None`: everywhere."""
    if mask is None:
        if causal or is_zero(-tokens % columns):
            return None  # no token sees what completes the last row
        mask = ops.ones((1, tokens), dtype="bool")
    mask = ops.expand_dims(ops.cast(mask, "bool"), -1)
    return ops.squeeze(to_grid(mask, columns, heads=1), -1)


def is_zero(number):
    """Returns whether a number is known to be zero; TensorFlow may know it as a tensor only."""
    return isinstance(number, int) and number == 0
