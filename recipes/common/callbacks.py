"""What happens in every training beside the training: seeds and reports."""

import time

import keras
import numpy as np


class Reseed(keras.callbacks.Callback):
    """Sets PyTorch's own generator before each step, as a function of seed, epoch and step.

    Keras' dropouts draw from it there. It belongs to no model, so no checkpoint holds it, and other
    parts of a program draw from it too.
    """

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if keras.backend.backend() == "torch":
            import torch

            state = np.random.SeedSequence((self.seed, self.epoch, batch)).generate_state(1)
            torch.manual_seed(int(state[0]))


class Report(keras.callbacks.Callback):
    """Adds learning rate, seconds and training examples per second to what each epoch reports.

    It comes before the callbacks that test, unless `fit` does, and before those that write.

    Args:
        unit: What an example is, such as `"images"`.
        per_epoch: Integer, training examples of an epoch.
    """

    def __init__(self, unit, per_epoch):
        super().__init__()
        self.unit = unit
        self.per_epoch = per_epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.begin = time.perf_counter()
        self.trained = None

    def on_test_begin(self, logs=None):
        self.trained = time.perf_counter() - self.begin

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.begin
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        logs["learning_rate"] = float(rate)
        logs[f"{self.unit}_per_second"] = self.per_epoch / (self.trained or seconds)
        logs["seconds"] = seconds
