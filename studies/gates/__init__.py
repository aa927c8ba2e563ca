"""What the gate with inhibition does in fine-tuning and on images."""
