"""The callbacks of every training: seeds and reports."""

import math
import time

import keras
import numpy as np

from recipes.training import distribution


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

            place = (self.seed, self.epoch, batch)
            if distribution.process():  # the first draws as one process alone does
                place += (distribution.process(),)
            state = np.random.SeedSequence(place).generate_state(1)
            torch.manual_seed(int(state[0]))


class Together(keras.callbacks.Callback):
    """Trains with the gradients of all processes, and reports their metrics; it comes first.

    On PyTorch, a process knows only the metrics of its own examples.
    """

    def on_train_begin(self, logs=None):
        # Not before: Keras calls the model without values first.
        distribution.replicate(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self.totals = {}

    def on_test_begin(self, logs=None):
        # Keras resets the metrics after this.
        self.totals = distribution.total_metrics(self.model)

    def on_test_end(self, logs=None):
        totals = distribution.total_metrics(self.model)
        self.totals |= {f"val_{name}": value for name, value in totals.items()}

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self.totals or distribution.total_metrics(self.model))


class StopOnNaN(keras.callbacks.Callback):
    """Stops the training after an epoch whose loss is not finite, in all processes alike.

    Keras' `TerminateOnNaN` looks at the loss of a batch, which differs between processes.
    """

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            self.model.stop_training = True


class Report(keras.callbacks.Callback):
    """Adds learning rate, seconds and training examples (`unit`) per second to each epoch's report.

    It comes before the callbacks that test, unless `fit` does, and before those that write.
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
