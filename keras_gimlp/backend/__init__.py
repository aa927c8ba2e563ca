"""Operations of Keras in the form that each backend computes fastest.

Only this room imports TensorFlow, JAX or PyTorch. Each file begins with what Keras does instead,
what was measured and by which command, and when the file can go.
"""
