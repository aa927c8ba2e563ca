"""Operations of Keras in the form that each backend computes fastest.

Models and layers get TensorFlow, JAX and PyTorch from this room alone. Each file begins with what
Keras does instead, what was measured and by which command, and when the file can go.
"""
