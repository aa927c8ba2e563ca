"""What every training shares: devices, runs and their folders, optimizers, streams of examples."""
