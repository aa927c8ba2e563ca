"""Trains an image classifier from scratch.

    python -m recipes.image_classification                                    handwritten digits
    python -m recipes.image_classification --config cifar10 --data_dir DIR    CIFAR-10

The published set-ups are configurations too; what they change is in
`recipes/images/configurations.py`. None is reproduced yet.

* `imagenet_gmlp_ti`, `_s`, `_b`: "Pay Attention to MLPs" (arXiv:2105.08050, Table 2 and Appendix
  A), 72.3, 79.6 and 81.6 % top-1, 300 epochs on TPUv2 with 128 cores.
* `imagenet_cyclemlp_b1` to `_b5`: CycleMLP (arXiv:2107.10224 and its training script), 78.9, 81.6,
  82.4, 83.0 and 83.2 % top-1, 300 epochs on 8 GPUs.
* `imagenet_gicyclemlp_b1_10`, `_30`: giCycleMLP (arXiv:2208.00929 and its training script), 78.8 %
  at an inhibition of 10 %, 76.9 % at 30 %, which was trained on batches of a quarter of the size.

Our own results are in `recipes/README.md`.
"""

import pathlib

from recipes.images.configurations import CONFIGURATIONS
from recipes.program import command_line

PROGRAM = "python -m recipes.image_classification"


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    import keras

    from recipes.images import datasets, models
    from recipes.training import devices, distribution, optimizers, runs, streams

    devices.prepare_training(config, models.builder(config))
    name = f"{config.config}-{config.model}-{keras.backend.backend()}-seed{config.seed}"
    folder = pathlib.Path(config.run_dir or f"runs/{name}")
    if runs.completed(folder, config):
        print(f"This run is complete: {folder}\n{(folder / 'summary.json').read_text()}")
        return
    data = datasets.load(config.data, config.data_dir, config.train_split, config.test_split)
    steps = streams.count_steps(config, data.train_size)
    model = models.build(config, data)
    preprocess = models.preprocessing(config, data.channels)
    updates = optimizers.count_updates(config, config.epochs * steps)
    warmup_steps = optimizers.limit_warmup(config.warmup_steps, updates)
    model.compile(
        optimizer=optimizers.adamw(
            model,
            optimizers.cosine_decay(config.learning_rate, warmup_steps, updates),
            config,
            use_ema=config.ema is not None,
            ema_momentum=config.ema or 0.0,
        ),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=config.label_smoothing
        ),
        weighted_metrics=[keras.metrics.CategoricalAccuracy("accuracy")],
        jit_compile=config.compilation,
    )

    # Not before: a command with a mistake leaves no folder that refuses the corrected one.
    with runs.open_run(folder, config) as run:
        first_epoch = run.restore(model)
        print(
            f"{config.model}, {model.count_params():,} parameters, on {distribution.name()}. "
            f"{config.data}: {data.train_size:,} training and {data.test_size:,} test images. "
            f"Epochs {first_epoch + 1} to {config.epochs}, {steps:,} steps each. "
            f"Run folder: {folder}"
        )
        if first_epoch < config.epochs:
            history = model.fit(
                datasets.training_batches(data, config, preprocess, first_epoch, steps),
                validation_data=datasets.test_batches(data, config, preprocess),
                initial_epoch=first_epoch,
                epochs=config.epochs,
                steps_per_epoch=steps,
                callbacks=run.callbacks(
                    seed=config.seed,
                    unit="images",
                    per_epoch=steps * config.batch_size,
                    # The average is tested, and not the last weights.
                    extra=[keras.callbacks.SwapEMAWeights()] if config.ema is not None else [],
                ),
                shuffle=False,  # the stream is shuffled already
                verbose=run.verbose,
            )
            run.check(history)
        else:
            # The last step of `fit`: the average becomes the model's weights.
            model.optimizer.finalize_variable_values(model.trainable_variables)
        summary = run.finish(
            title=f"{models.describe(config, model)} on {config.data}",
            panels={x: {"training": x, "test": f"val_{x}"} for x in ("loss", "accuracy")},
            results={"test_accuracy": "val_accuracy", "test_loss": "val_loss"},
            parameters=model.count_params(),
            # Another model of the same layers, which has no optimizer to save.
            save=keras.Model(model.input, model.output, name=model.name).save,
            model_name="model.keras",
        )
    print(
        f"Test accuracy {summary['test_accuracy']:.2%} after {summary['epochs']} epochs, "
        f"{summary['seconds']:.0f} s. Curves: {folder / 'curves.png'}, model: "
        f"{folder / 'model.keras'}, all figures: {folder / 'summary.json'}"
    )


if __name__ == "__main__":
    command_line.run(main)
