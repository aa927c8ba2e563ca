"""Trained models, the records of their runs, and their scores."""
