"""Values along the last axis, by indices that all examples and heads share.

`keras.ops.take_along_axis` loses the shape of texts of any length on TensorFlow, so that a model
with a free length cannot be built; `tf.gather` keeps it. The other backends get `keras.ops`.

It is about shapes and not about speed: nothing was measured. The file can go when Keras'
`take_along_axis` keeps unknown sizes apart on TensorFlow.
"""

import keras
from keras import ops


def pick(scores, indices):
    """Returns `(batch, heads, N, N)` out of `(batch, heads, N, P)`, by indices `(N, N)`."""
    indices = ops.broadcast_to(indices, (*ops.shape(scores)[:-1], ops.shape(indices)[-1]))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.gather(scores, indices, batch_dims=3)
    return ops.take_along_axis(scores, indices, axis=-1)
