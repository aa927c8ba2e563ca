"""Trains an image classifier from scratch.

    python -m recipes.image_classification                                    handwritten digits
    python -m recipes.image_classification --config cifar10 --data_dir DIR    CIFAR-10

The published set-ups are configurations too. None is reproduced yet.

* `imagenet_gmlp_ti`, `_s`, `_b`: "Pay Attention to MLPs" (arXiv:2105.08050, Table 2 and Appendix
  A), 72.3, 79.6 and 81.6 % top-1, 300 epochs on TPUv2 with 128 cores. With RandAugment where the
  paper has AutoAugment, which Keras has not.
* `imagenet_cyclemlp_b1` to `_b5`: CycleMLP (arXiv:2107.10224 and its training script), 78.9, 81.6,
  82.4, 83.0 and 83.2 % top-1, 300 epochs on 8 GPUs.
* `imagenet_gicyclemlp_b1_10`, `_30`: giCycleMLP (arXiv:2208.00929 and its training script), 78.8 %
  at an inhibition of 10 %, 76.9 % at 30 %, which was trained on batches of a quarter of the size.

Results of our own are in `recipes/README.md`.
"""

import ast
import dataclasses
import functools
import inspect
import pathlib
from typing import Literal

import keras

from keras_gimlp import applications
from keras_gimlp.weights import list_weights
from recipes.common import command_line, devices, optimizers, runs
from recipes.images import datasets


@dataclasses.dataclass(frozen=True)
class Config:
    """Every hyper-parameter of a run. The comments are the help of the command line."""

    # Name of the configuration that gives every other option its default: digits, cifar10,
    # digits_FAMILY and cifar10_FAMILY (cyclemlp, gicyclemlp, mlpmixer, resmlp), cifar10_gmlp,
    # imagenet_gmlp_SIZE (ti, s, b), imagenet_cyclemlp_SIZE (b1 to b5),
    # imagenet_gicyclemlp_b1_LEVEL (10 or 30 percent).
    config: str = "digits"
    # Folder of the run. The same command again continues the run in it. None: a folder in runs/
    # named by configuration, model, backend and seed.
    run_dir: str | None = None
    # Of the initial weights, the order of the images, the augmentation and the dropout.
    seed: int = 0

    # Name of a vision model of keras_gimlp.applications.
    model: str = "gMLP_Ti"
    # Arguments of the model that replace its sizes, as NAME=VALUE.
    model_args: tuple[str, ...] = ("patch_size=1", "depth=4", "dim=48", "ffn_dim=192")
    # Initial weights: imagenet, a name in keras_gimlp.weights.list_weights(), or the path of a
    # file. None: newly initialized.
    weights: str | None = None
    # Stochastic depth of the last block, in [0, 1). None: the model's own.
    drop_path_rate: float | None = None

    # digits (scikit-learn's), folder (a folder of class folders), or an image data set of
    # TensorFlow Datasets by name.
    data: str = "digits"
    # Where the data lie: the folder of class folders, or the data folder of TensorFlow Datasets.
    # None: the default of TensorFlow Datasets.
    data_dir: str | None = None
    # Split to train on (TensorFlow Datasets).
    train_split: str = "train"
    # Split to test on (TensorFlow Datasets). None: validation, or else test.
    test_split: str | None = None
    # Side of the model's square images, in pixels.
    image_size: int = 8
    # Side of the test image's central crop, as a fraction of its shorter side.
    test_crop: float = 1.0
    # Number of undecoded training images among which the next one is drawn.
    shuffle_buffer: int = 50_000

    # Passes over the training images.
    epochs: int = 40
    # Batches of an epoch. None: as many as the training images fill.
    steps_per_epoch: int | None = None
    # Images of a batch.
    batch_size: int = 64
    # Batches whose gradients are averaged before the weights are changed.
    accumulation_steps: int = 1

    # Peak learning rate of AdamW. Rises linearly from 0, then falls to 0 as a cosine.
    learning_rate: float = 2e-3
    # Changes of the weights during which the learning rate rises.
    warmup_steps: int = 100
    # Decoupled weight decay of the matrices. Biases and normalizations are not decayed.
    weight_decay: float = 0.05
    # Epsilon of AdamW.
    adam_epsilon: float = 1e-6
    # Largest norm of all gradients together. None: no clipping.
    clip_norm: float | None = 1.0
    # Momentum of the moving average of the weights that is tested and saved. None: no average.
    ema: float | None = None

    # Fraction of the label spread over all classes.
    label_smoothing: float = 0.1
    # Cut out 8 to 100 % of the image's area at an aspect ratio of 3:4 to 4:3.
    resized_crop: bool = False
    # Black pixels added on each side before a random crop.
    crop_padding: int = 1
    # Mirror half of the images.
    flip: bool = False
    # Operations of RandAugment on each image.
    rand_augment_ops: int = 0
    # Largest strength of RandAugment, in [0, 1].
    rand_augment_factor: float = 0.5
    # Probability that a patch of the image is filled with noise.
    random_erasing: float = 0.0
    # Alpha of MixUp; 0 is none. With CutMix too, each mixes half of the batches.
    mixup: float = 0.0
    # Alpha of CutMix, in [0, 1]; 0 is none.
    cutmix: float = 0.0

    # Precision of the computation; the weights are float32 in each.
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"


DIGITS = Config()

CIFAR10 = Config(
    config="cifar10",
    model_args=("patch_size=4", "depth=8", "dim=160", "ffn_dim=960"),
    data="cifar10",
    image_size=32,
    epochs=10,
    batch_size=128,
    warmup_steps=400,
    crop_padding=4,
    flip=True,
)

# The other families on digits, and all of them on CIFAR-10 at about 0.34 million parameters for a
# few minutes each. In giCycleMLP half of the hidden units are the MLP's, half are the gate's.
DIGITS_PYRAMID = ("depths=(1,1)", "dims=(32,64)", "stem_size=3", "stem_strides=1")
DIGITS_FAMILIES = {
    "cyclemlp": ("CycleMLP_B1", *DIGITS_PYRAMID, "mlp_ratios=(4,4)"),
    "gicyclemlp": ("giCycleMLP_B1", *DIGITS_PYRAMID, "mlp_ratios=(2,2)"),
    "mlpmixer": (
        "MLPMixer_S16",
        *("patch_size=1", "depth=4", "dim=48", "tokens_mlp_dim=32", "channels_mlp_dim=192"),
    ),
    "resmlp": ("ResMLP_S12", "patch_size=1", "depth=4", "dim=48"),
}
CIFAR10_SMALL = dataclasses.replace(CIFAR10, epochs=5, warmup_steps=200)
CIFAR10_PYRAMID = ("depths=(2,2)", "dims=(48,96)", "stem_size=4", "stem_strides=4")
CIFAR10_FAMILIES = {
    "gmlp": ("gMLP_Ti", "patch_size=4", "depth=7", "dim=72", "ffn_dim=432"),
    "cyclemlp": ("CycleMLP_B1", *CIFAR10_PYRAMID, "mlp_ratios=(4,4)", "drop_path_rate=0.0"),
    "gicyclemlp": ("giCycleMLP_B1", *CIFAR10_PYRAMID, "mlp_ratios=(2,2)", "drop_path_rate=0.0"),
    "mlpmixer": (
        "MLPMixer_S16",
        *("patch_size=4", "depth=8", "dim=96", "tokens_mlp_dim=48", "channels_mlp_dim=192"),
    ),
    "resmlp": ("ResMLP_S12", "patch_size=4", "depth=6", "dim=80"),
}

# Appendix A of the paper, but for RandAugment and the precision, which are ours. The stochastic
# depth is the model's own. The batch is that of all devices together.
IMAGENET = Config(
    model_args=(),
    data="imagenet2012",
    image_size=224,
    test_crop=0.875,
    shuffle_buffer=10_000,
    epochs=300,
    batch_size=4096,
    learning_rate=1e-3,
    warmup_steps=10_000,
    weight_decay=0.05,
    adam_epsilon=1e-6,
    clip_norm=1.0,
    label_smoothing=0.1,
    resized_crop=True,
    crop_padding=0,
    flip=True,
    rand_augment_ops=2,
    mixup=0.8,
    cutmix=1.0,
    precision="mixed_bfloat16",
)

# CycleMLP's training script. Repeated augmentation and color jitter are left out: Keras has not the
# first, and the second's place is in RandAugment. The batch is that of all devices together.
IMAGENET_CYCLEMLP = dataclasses.replace(
    IMAGENET,
    batch_size=1024,
    warmup_steps=5 * 1_281_167 // 1024,
    adam_epsilon=1e-8,
    clip_norm=None,
    ema=0.99996,
    rand_augment_factor=0.9,
    random_erasing=0.25,
    precision="mixed_float16",
)
# The giMLP authors' script subtracts; their run at 30 % had a quarter of the batch.
SUBTRACT = ("gating='subtract'", "scope='batch'")
IMAGENET_GICYCLEMLP = {
    "10": dataclasses.replace(IMAGENET_CYCLEMLP, model_args=(*SUBTRACT, "inhibition=0.1")),
    "30": dataclasses.replace(
        IMAGENET_CYCLEMLP,
        model_args=(*SUBTRACT, "inhibition=0.3"),
        batch_size=256,
        learning_rate=2.5e-4,
        warmup_steps=5 * 1_281_167 // 256,
    ),
}

PROGRAM = "python -m recipes.image_classification"
CONFIGURATIONS = {
    "digits": DIGITS,
    "cifar10": CIFAR10,
    **{
        f"{data}_{family}": dataclasses.replace(base, model=model, model_args=sizes)
        for data, base, families in (
            ("digits", DIGITS, DIGITS_FAMILIES),
            ("cifar10", CIFAR10_SMALL, CIFAR10_FAMILIES),
        )
        for family, (model, *sizes) in families.items()
    },
    **{
        f"imagenet_gmlp_{size.lower()}": dataclasses.replace(IMAGENET, model=f"gMLP_{size}")
        for size in ("Ti", "S", "B")
    },
    **{
        f"imagenet_cyclemlp_{size.lower()}": dataclasses.replace(
            IMAGENET_CYCLEMLP, model=f"CycleMLP_{size}"
        )
        for size in ("B1", "B2", "B3", "B4", "B5")
    },
    **{
        f"imagenet_gicyclemlp_b1_{level}": dataclasses.replace(config, model="giCycleMLP_B1")
        for level, config in IMAGENET_GICYCLEMLP.items()
    },
}
CONFIGURATIONS = command_line.named(
    {
        name: dataclasses.replace(config, model_args=tuple(config.model_args))
        for name, config in CONFIGURATIONS.items()
    }
)


def main(arguments=None):
    config = command_line.parse(CONFIGURATIONS, PROGRAM, __doc__, arguments)
    command_line.one_of(config.model, applications.list_models(kind="image"), "vision model")
    devices.prepare(config.precision, config.seed)
    data = datasets.load(config.data, config.data_dir, config.train_split, config.test_split)
    steps_per_epoch = count_steps(config, data.train_size)
    model = build_model(config, data)
    model.compile(
        optimizer=build_optimizer(config, model, steps_per_epoch),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=config.label_smoothing
        ),
        metrics=[keras.metrics.CategoricalAccuracy("accuracy")],
    )

    folder = pathlib.Path(config.run_dir or default_run_dir(config))
    runs.open_run(folder, config)
    if runs.is_complete(folder):
        print(f"This run is complete: {folder}\n{(folder / 'summary.json').read_text()}")
        return
    first_epoch = runs.restore(model, folder)
    print(
        f"{config.model}, {model.count_params():,} parameters, on {keras.backend.backend()}. "
        f"{config.data}: {data.train_size:,} training and {data.test_size:,} test images. "
        f"Epochs {first_epoch + 1} to {config.epochs}, {steps_per_epoch:,} steps each. "
        f"Run folder: {folder}"
    )
    if first_epoch < config.epochs:
        train(config, model, data, folder, steps_per_epoch)
    elif config.ema is not None:
        model.optimizer.finalize_variable_values(model.trainable_variables)

    summary = runs.finish(
        folder,
        title=title(config, model),
        panels={name: {"training": name, "test": f"val_{name}"} for name in ("loss", "accuracy")},
        results={"test_accuracy": "val_accuracy", "test_loss": "val_loss"},
        parameters=model.count_params(),
        # Another model of the same layers, which has no optimizer to save.
        save=keras.Model(model.inputs, model.outputs, name=model.name).save,
        model_name="model.keras",
    )
    print(
        f"Test accuracy {summary['test_accuracy']:.2%} after {summary['epochs']} epochs, "
        f"{summary['seconds']:.0f} s. Curves: {folder / 'curves.png'}, model: "
        f"{folder / 'model.keras'}, all figures: {folder / 'summary.json'}"
    )


def train(config, model, data, folder, steps_per_epoch):
    """Fits the compiled model, testing after each epoch."""
    preprocess = preprocessing(config)
    runs.fit(
        model,
        lambda first_epoch: datasets.training_batches(
            data, config, preprocess, first_epoch, steps_per_epoch
        ),
        folder,
        seed=config.seed,
        unit="images",
        batch_size=config.batch_size,
        steps=steps_per_epoch,
        epochs=config.epochs,
        # The average is tested, and not the last weights.
        callbacks=[] if config.ema is None else [keras.callbacks.SwapEMAWeights()],
        validation_data=datasets.test_batches(data, config, preprocess),
    )


def preprocessing(config):
    """Returns the function that scales images to what the initial weights were trained on."""
    weights = config.model if config.weights == "imagenet" else config.weights
    if weights not in (*applications.list_models(kind="image"), *list_weights()):
        weights = None  # a new model, or a file of one that was trained by this recipe
    return functools.partial(applications.preprocess_input, weights=weights)


def title(config, model):
    sizes = f" ({' '.join(config.model_args)})" if config.model_args else ""
    return f"{config.model}{sizes} on {config.data}, {model.count_params():,} parameters"


def build_model(config, data):
    """Returns the model that gives the logits of the data's classes."""
    builder = getattr(applications, config.model)
    arguments = {}
    for pair in config.model_args:
        name, _, value = pair.partition("=")
        name = command_line.one_of(
            name, inspect.signature(builder).parameters, f"argument of {config.model}"
        )
        arguments[name] = _literal(value)
    if config.drop_path_rate is not None:
        arguments["drop_path_rate"] = config.drop_path_rate
    try:
        return builder(
            input_shape=(config.image_size, config.image_size, data.channels),
            classes=len(data.class_names),
            classifier_activation=None,
            weights=config.weights,
            **arguments,
        )
    except (TypeError, ValueError, OSError, ImportError) as error:
        raise SystemExit(f"{config.model} cannot be built: {error}") from error


def build_optimizer(config, model, steps_per_epoch):
    """Returns AdamW with warm-up and cosine decay."""
    updates = config.epochs * steps_per_epoch // config.accumulation_steps
    if updates <= config.warmup_steps:
        raise SystemExit(
            f"The learning rate would rise for all of the run's {updates} changes of the weights. "
            f"Received: --warmup_steps {config.warmup_steps}"
        )
    warmup = config.warmup_steps > 0
    return optimizers.adamw(
        model,
        keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else config.learning_rate,
            warmup_target=config.learning_rate if warmup else None,
            warmup_steps=config.warmup_steps,
            decay_steps=updates - config.warmup_steps,
        ),
        weight_decay=config.weight_decay,
        epsilon=config.adam_epsilon,
        clip_norm=config.clip_norm,
        use_ema=config.ema is not None,
        ema_momentum=0.99 if config.ema is None else config.ema,
        gradient_accumulation_steps=(
            config.accumulation_steps if config.accumulation_steps > 1 else None
        ),
    )


def count_steps(config, images):
    """Returns the number of batches of an epoch."""
    for field in ("epochs", "batch_size", "accumulation_steps"):
        if getattr(config, field) < 1:
            raise SystemExit(f"--{field} must be 1 or more. Received: {getattr(config, field)}")
    if images < config.batch_size:
        raise SystemExit(
            f"--batch_size must be at most the number of training images, {images}. "
            f"Received: {config.batch_size}"
        )
    return min(config.steps_per_epoch or images, images // config.batch_size)


def default_run_dir(config):
    """Returns the folder in which the same configuration is found again."""
    return f"runs/{config.config}-{config.model}-{keras.backend.backend()}-seed{config.seed}"


def _literal(value):
    try:
        return ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return value


if __name__ == "__main__":
    main()
