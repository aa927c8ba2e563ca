"""Model parallelism on JAX: the axes along which devices share the weights of each family.

The rules are those of Megatron-LM (Shoeybi et al., 2019, arXiv:1909.08053, section 3): of two dense
layers, the first is split by columns and the second by rows, so that no device needs another's
channels in between, and one sum over the devices ends the pair. Where a model needs more of these
channels at once, as `SpatialGatingUnit` needs both halves, XLA adds the communication. Spatial
weights stay whole: numbers of tokens, such as 14 x 14, have few divisors.
"""

import inspect
import math

import keras

from keras_gimlp.families import image_family


def columns(layer):
    return {f"{layer}/kernel": (None, "model"), f"{layer}/bias": ("model",)}


def rows(layer):
    return {f"{layer}/kernel": ("model", None)}  # the bias is added to the sum


def mlp(name):
    return columns(f"{name}_expand") | rows(f"{name}_contract")


def convolution(layer):
    return {f"{layer}/kernel": (None, None, None, "model"), f"{layer}/bias": ("model",)}


def heads(layer):
    return {f"{layer}/kernel": (None, "model", None), f"{layer}/bias": ("model", None)}


GATE = columns("gate_projection") | rows(r"inhibition_projection_\d+")
GATED_ENCODER = {
    # By channels: few numbers divide the published vocabularies of 30,522, 50,265 and 128,100.
    "token_embedding/embeddings": (None, "model"),
    **heads("self_attention_layer/query"),
    **heads("self_attention_layer/key"),
    **heads("self_attention_layer/value"),
    **GATE,
    **columns("feedforward_intermediate_dense"),
    **rows("feedforward_output_dense"),
}
BERT = GATED_ENCODER | {
    "position_embedding/embeddings": (None, "model"),
    "self_attention_layer/attention_output/kernel": ("model", None, None),
}
MIX = r"stage\d+_block\d+_mix"
AFT_BLOCK = {
    **columns(r"block\d+_mix/qkv"),
    **rows(r"block\d+_mix/projection"),
    **mlp(r"block\d+_mlp"),
}
# How the paths of variables end, by family. Every model of the family has such variables.
RULES = {
    "gMLP": convolution("patch_embedding") | mlp(r"block\d+"),
    "CycleMLP": {
        **convolution("stem"),
        **columns(f"{MIX}_width/dense"),
        **columns(f"{MIX}_height/dense"),
        f"{MIX}_channel/kernel": (None, "model"),
        **rows(f"{MIX}_fuse/contract"),
        **columns(f"{MIX}_fuse/expand"),
        **rows(f"{MIX}_project"),
        **mlp(r"stage\d+_block\d+_mlp"),
    },
    "MLPMixer": {
        **convolution("patch_embedding"),
        **mlp(r"block\d+_tokens"),
        **mlp(r"block\d+_channels"),
    },
    "ResMLP": convolution("patch_embedding") | mlp(r"block\d+_channels"),
    "AFT": convolution("patch_embedding") | AFT_BLOCK,
    "gMLP_MLM": {"token_embedding/embeddings": ("model", None)} | mlp(r"block\d+"),
    "AFT_MLM": {
        "token_embedding/embeddings": ("model", None),
        "position_embedding/embeddings": (None, "model"),
        **AFT_BLOCK,
    },
    "giBERT": BERT,
    "giRoBERTa": BERT,
    "giDeBERTaV3": {
        **GATED_ENCODER,
        "rel_embedding/rel_embedding": (None, "model"),
        **rows("self_attention_layer/attention_output"),
    },
}
# Parts that only some models have: heads, gates, the tiny attention, several stages.
PARTS = {
    **rows("predictions"),
    **columns("pooled_dense"),
    **rows("logits"),
    **columns("mlm_head/intermediate_dense"),
    **GATE,
    **rows(r"block\d+_attention/qkv"),  # its single head cannot be split
    **columns(r"block\d+_attention/projection"),
    **convolution(r"stage\d+_downsample"),
}


def layout_map(model, device_mesh):
    """Returns the rules by which devices share the weights of a model.

    Keras lays out what the optimizer stores for a weight like the weight itself. Weights that no
    rule matches are small, and each device holds all of them.

    Args:
        model: A builder, class or model of `keras_gimlp.applications`, such as `gMLP_S`,
            `giDeBERTaV3` or `gMLPMaskedLM`, or a model with one inside. Weights are laid out when
            they are created, so the model to train is built afterwards, under the distribution.
        device_mesh: A `keras.distribution.DeviceMesh` with an axis named `"model"`.

    Returns:
        A `FamilyLayoutMap`, the `keras.distribution.LayoutMap` of the family.

    Raises:
        ValueError: If the backend is not JAX, `model` is of another kind, or `device_mesh` has no
            such axis.

    Example:

    ```python
    import keras
    from keras_gimlp import applications, distribution

    devices = keras.distribution.list_devices()
    mesh = keras.distribution.DeviceMesh((1, len(devices)), ("batch", "model"), devices)
    rules = distribution.layout_map(applications.gMLP_S, mesh)
    with distribution.ModelParallel(layout_map=rules).scope():
        model = applications.gMLP_S(depth=2)
    rules.check(model)
    ```

    Reference:
        https://keras.io/guides/distribution/, https://keras.io/api/distribution/layout_map/
    """
    if keras.backend.backend() != "jax":
        raise ValueError(
            "`layout_map` needs the backend JAX, the only one on which Keras splits weights. "
            f"Received: keras.backend.backend()={keras.backend.backend()!r}"
        )
    if "model" not in device_mesh.axis_names:
        raise ValueError(
            '`device_mesh` must have an axis named "model". '
            f"Received: device_mesh.axis_names={device_mesh.axis_names}"
        )
    return FamilyLayoutMap(device_mesh, family_of(model))


def family_of(model):
    """Returns the key in `RULES` of a model, builder or class."""
    if isinstance(model, keras.Layer):
        layers = list(model._flatten_layers())
        known = [cls for layer in layers for cls in type(layer).__mro__]
        by_layers = image_family(layers)
    else:
        # A size in a paper's table wraps its builder; a task names the class of its encoder.
        builder = getattr(model, "backbone_cls", None) or inspect.unwrap(model)
        known, by_layers = getattr(builder, "__mro__", [builder]), None
    ours = [x for x in known if getattr(x, "__module__", "").startswith("keras_gimlp.")]
    for name in (*(getattr(x, "__name__", None) for x in ours), by_layers):
        if name in RULES:
            return name
    raise ValueError(
        "`model` must be a builder, class or model of `keras_gimlp.applications`, or a model with "
        "one inside; some encoders of KerasHub have a `get_layout_map` of their own. "
        f"Received: model={model!r}"
    )


class FamilyLayoutMap(keras.distribution.LayoutMap):
    """The rules of a family. Others can be added as to a dictionary, before the model is built."""

    def __init__(self, device_mesh, family):
        super().__init__(device_mesh)
        self.optional = set()
        for rule, axes in (PARTS | RULES[family]).items():
            pattern = f"(.*/)?{rule}"  # paths are longer in a name scope
            self[pattern] = axes
            if rule not in RULES[family]:
                self.optional.add(pattern)

    def check(self, model, large=10**6):
        """Raises an error if the rules do not fit a built model.

        Args:
            model: A model of the family. Where it was built does not matter: under
                `keras.StatelessScope(initialize_variables=False)`, its weights take no memory.
            large: Integer, values of the largest matrix that may do without a rule. Defaults to a
                million: 4 MB in float32, 12 MB with the moments of AdamW.

        Raises:
            ValueError: If a rule matches nothing, except one for a part that only some models of
                the family have; if no rule matches a matrix of more than `large` values; or if the
                number of devices does not divide the axis that they share.
        """
        layouts = [(variable, self[variable.path]) for variable in model.variables]
        used = {id(layout) for _, layout in layouts}
        unused = [key for key in self.keys() - self.optional if id(self[key]) not in used]
        if unused:
            raise ValueError(
                "Every rule must match a variable of `model`, or its matrix stays whole. "
                f"These match none: {', '.join(sorted(unused))}"
            )
        whole = [v for v, layout in layouts if layout is None and len(v.shape) > 1]
        whole = [f"{v.path} {tuple(v.shape)}" for v in whole if math.prod(v.shape) > large]
        if whole:
            raise ValueError(
                "Every large matrix of `model` must match a rule, or each device holds all of it. "
                f"These match none: {', '.join(whole)}. Received: large={large}"
            )
        for variable, layout in layouts:
            check_divisible(variable, layout)


class ModelParallel(keras.distribution.ModelParallel):
    """`keras.distribution.ModelParallel` that names a variable which its devices cannot share.

    Raises:
        ValueError: While the model is built, if the number of devices does not divide the axis of a
            variable that they share. JAX refuses it too, without its name.
    """

    @property
    def layout_map(self):
        return self._layout_map

    def get_variable_layout(self, variable):
        layout = super().get_variable_layout(variable)
        check_divisible(variable, layout)
        return layout


def check_divisible(variable, layout):
    """Raises `ValueError` if devices cannot share a variable equally."""
    for axis, name in enumerate(layout.axes if layout else ()):
        mesh = layout.device_mesh
        devices = mesh.shape[mesh.axis_names.index(name)] if name else 1
        if variable.shape[axis] % devices:
            raise ValueError(
                "The number of devices must divide the axis of a variable that they share. "
                f"Received: {devices} devices for axis {axis} of {variable.path}, "
                f"{tuple(variable.shape)}, which has {variable.shape[axis]} values"
            )
