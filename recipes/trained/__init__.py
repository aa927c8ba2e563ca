"""What a training leaves: its model, the record of its run, its scores."""
