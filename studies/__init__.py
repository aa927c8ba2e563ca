"""What was measured here: one folder a question, with its tool, numbers, pictures and words.

The tools read their options and import Keras as the recipes do: see `recipes/__init__.py`.
"""
