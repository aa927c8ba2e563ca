"""What was measured here: one folder a question, with its tool, numbers, pictures and words."""
