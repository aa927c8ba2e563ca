"""Formulas of the layers, and the invariants that hold for every public layer."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

from keras_gimlp import layers
from tests import reference
from tests.conftest import GOLDEN, mostly_once, once
from tests.descriptions import DESCRIPTIONS, GATE, refuses_other_integers
from tests.training import unmoved

FORMS = ("split", "multiplicative", "additive", "linear")


def described(descriptions):
    return pytest.mark.parametrize("description", descriptions, ids=lambda d: d.name)


EVERY_LAYER = described(DESCRIPTIONS)
# One description of each layer, which stands for the others on all backends but one.
FIRST = [*{d.layer: d for d in reversed(DESCRIPTIONS)}.values()]
EACH_LAYER = described(mostly_once(DESCRIPTIONS, *FIRST))
EVERY_LAYER_WITH_WEIGHTS = described([d for d in DESCRIPTIONS if d.has_weights])
EVERY_LAYER_WITH_MASK = described([d for d in DESCRIPTIONS if d.takes_mask])


def run(layer, inputs, **kwargs):
    return ops.convert_to_numpy(layer(**inputs, **kwargs)).astype("float32")


def randomize(layer, rng):
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))


def model_of(description, **kwargs):
    inputs = description.symbolic()
    return keras.Model(inputs, description.make(name="layer", **kwargs)(**inputs))


# Formulas


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("spatial", "sequence_length"), [("dense", None), ("toeplitz", 6), ("toeplitz", 9)]
)
def test_spatial_gating_unit_equals_the_formula(rng, spatial, sequence_length, form, added, masked):
    x = rng.normal(size=(2, 6, 8))
    addend = rng.normal(size=(2, 6, 4 if form == "split" else 8))
    mask = np.array([[1, 1, 0, 1, 0, 1], [1, 1, 1, 1, 1, 0]], "bool")
    layer = layers.SpatialGatingUnit(spatial, form, sequence_length, epsilon=1e-3)
    layer.build((None, 6, 8))
    randomize(layer, rng)
    gamma, beta, kernel, bias = (ops.convert_to_numpy(v) for v in layer.trainable_variables)
    expected = [
        reference.spatial_gating_unit(
            x[i],
            gamma,
            beta,
            kernel.T if spatial == "dense" else reference.toeplitz(kernel, 6),
            bias[:6],
            epsilon=1e-3,
            addend=addend[i] if added else None,
            mask=mask[i] if masked else None,
            form=form,
        )
        for i in range(2)
    ]
    inputs = {"inputs": x.astype("float32")}
    if added:
        inputs["gate_addend"] = addend.astype("float32")
    outputs = run(layer, inputs, mask=mask if masked else None)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tokens", [1, 2, 5])
def test_a_toeplitz_unit_of_fewer_tokens_has_the_leading_block_of_its_matrix(rng, tokens):
    layer = layers.SpatialGatingUnit("toeplitz", sequence_length=5)
    layer.build((None, None, 8))
    kernel, bias = layer.spatial.kernel, layer.spatial.bias
    assert (kernel.shape, bias.shape) == ((9,), (5,))
    kernel.assign(np.arange(-4.0, 5.0))
    distance = np.arange(5)[:, None] - np.arange(5)[None]
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer.spatial.matrix(tokens)), distance[:tokens, :tokens]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("jit_compile", "policy"), [(False, "float32"), (True, "float32"), (True, "mixed_bfloat16")]
)
def test_a_toeplitz_unit_trains_on_any_number_of_tokens(rng, jit_compile, policy):
    inputs, mask = keras.Input((None, 8)), keras.Input((None,), dtype="bool")
    unit = layers.SpatialGatingUnit("toeplitz", sequence_length=6, dtype=policy, **GATE)
    model = keras.Model([inputs, mask], unit(inputs, mask=mask))
    assert model.output_shape == (None, None, 4)
    model.compile("sgd", "mse", jit_compile=jit_compile and keras.backend.backend() != "torch")
    for tokens in (6, 3, 1, 4):
        x = [rng.normal(size=(2, tokens, 8)).astype("float32"), np.ones((2, tokens), "bool")]
        expected = run(unit, {"inputs": x[0]})
        outputs = model.predict(x, verbose=0).astype("float32")
        np.testing.assert_allclose(outputs, expected, atol=0.05 if "16" in policy else 1e-5)
        model.fit(x, np.ones((2, tokens, 4)), verbose=0)


@pytest.mark.parametrize("masked", [False, True])
def test_tiny_attention_equals_the_formula(rng, masked):
    x = rng.normal(size=(2, 6, 8))
    mask = np.array([[1, 1, 0, 1, 0, 1], [1, 1, 1, 1, 1, 0]], "bool")
    layer = layers.TinyAttention(units=5, attention_dim=4)
    layer.build((None, 6, 8))
    randomize(layer, rng)
    parameters = [ops.convert_to_numpy(v) for v in layer.trainable_variables]
    expected = [
        reference.tiny_attention(x[i], *parameters, mask=mask[i] if masked else None)
        for i in range(2)
    ]
    outputs = run(layer, {"inputs": x.astype("float32")}, mask=mask if masked else None)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 9])
@pytest.mark.parametrize("axis", ["width", "height"])
def test_cycle_fc_equals_the_formula(rng, axis, kernel_size):
    x = rng.normal(size=(2, 5, 4, 7))
    layer = layers.CycleFC(6, axis, kernel_size)
    layer.build((None, None, None, 7))
    randomize(layer, rng)
    W, b = (ops.convert_to_numpy(v) for v in layer.trainable_variables)
    expected = [reference.cycle_fc(x[i], W, b, axis, kernel_size) for i in range(2)]
    np.testing.assert_allclose(
        run(layer, {"inputs": x.astype("float32")}), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("file", "axis", "kernel_size"),
    [("kernel_1x3", "width", 3), ("kernel_3x1", "height", 3), ("kernel_1x7", "width", 7)],
)
def test_cycle_fc_equals_the_authors_deformable_convolution(file, axis, kernel_size):
    values = np.load(GOLDEN / "cycle_fc" / f"{file}.npz")
    layer = layers.CycleFC(len(values["bias"]), axis, kernel_size)
    layer.build(values["x"].shape)
    layer.set_weights([values["weight"].T, values["bias"]])
    np.testing.assert_allclose(
        run(layer, {"inputs": values["x"]}), values["y"], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("axis", ["width", "height"])
def test_cycle_fc_takes_images_of_any_size(axis):
    layer = layers.CycleFC(6, axis)
    inputs = keras.Input((None, None, 7))
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, None, 6)
    for shape in ((1, 1, 1, 7), (2, 8, 3, 7)):
        assert model.predict(np.ones(shape, "float32"), verbose=0).shape == (*shape[:-1], 6)


@pytest.mark.parametrize("branches", [2, 3])
def test_split_attention_equals_the_formula(rng, branches):
    x = rng.normal(size=(branches, 2, 3, 4, 8))
    layer = layers.SplitAttention()
    layer.build([(None, None, None, 8)] * branches)
    randomize(layer, rng)
    parameters = [ops.convert_to_numpy(v) for v in layer.trainable_variables]
    expected = [reference.split_attention(list(x[:, i]), *parameters) for i in range(2)]
    outputs = run(layer, {"inputs": list(x.astype("float32"))})
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("scope", ["example", "token", "batch"])
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_inhibition_equals_the_formula(rng, level, scope, masked):
    x = rng.normal(size=(3, 6, 8)) - 1  # an example with no token may have a negative maximum
    mask = np.array([[1, 1, 0, 1, 0, 1], [1, 0, 0, 0, 0, 0], [0] * 6], "bool") if masked else None
    outputs = run(layers.Inhibition(level, scope), {"inputs": x.astype("float32")}, mask=mask)
    expected = reference.inhibition(x, level, scope, mask)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


def test_gates_of_the_same_inputs_are_those_of_two_layers(rng):
    x = {"inputs": rng.normal(size=(3, 6, 8)).astype("float32")}
    both = layers.GateWithInhibition(5, 7, gates=2)
    both.build((None, 6, 8))
    randomize(both, rng)
    kernel, bias, *rest = (ops.convert_to_numpy(v) for v in both.trainable_variables)
    gates = run(both, x)
    for n in range(2):
        one = layers.GateWithInhibition(5, 7)
        one.build((None, 6, 8))
        part = slice(7 * n, 7 * (n + 1))
        one.set_weights([kernel[:, part], bias[part], *rest[2 * n : 2 * n + 2]])
        np.testing.assert_allclose(
            gates[..., 5 * n : 5 * (n + 1)], run(one, x), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("scope", ["example", "token", "batch"])
def test_gate_with_inhibition_equals_the_formula(rng, scope, residual, masked):
    x = rng.normal(size=(3, 6, 8))
    mask = np.array([[1, 1, 0, 1, 0, 1], [1, 0, 0, 0, 0, 0], [0] * 6], "bool") if masked else None
    layer = layers.GateWithInhibition(5, 7, 0.3, scope, residual=residual)
    layer.build((None, 6, 8))
    randomize(layer, rng)
    parameters = [ops.convert_to_numpy(v) for v in layer.trainable_variables]
    outputs = run(layer, {"inputs": x.astype("float32")}, mask=mask)
    expected = reference.gate_with_inhibition(x, *parameters, 0.3, scope, residual, mask)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


def test_a_new_gate_with_inhibition_is_one_and_learns(rng):
    x = rng.normal(size=(2, 6, 8)).astype("float32")
    layer = layers.GateWithInhibition(inhibition=0.9)
    np.testing.assert_array_equal(run(layer, {"inputs": x}), np.ones((2, 6, 8)))
    inputs = keras.Input((6, 8))
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(x, 2 + x, epochs=3, verbose=0)
    for variable in layer.trainable_variables:
        assert np.isfinite(ops.convert_to_numpy(variable)).all()
    assert np.abs(run(layer, {"inputs": x}) - 1).max() > 1e-3


def test_a_gate_with_relu_learns_unless_it_starts_at_zeros(rng):
    x = rng.normal(size=(2, 6, 8)).astype("float32")
    for initializer, learns in (("zeros", False), ("glorot_uniform", True)):
        layer = layers.GateWithInhibition(activation="relu", kernel_initializer=initializer)
        inputs = keras.Input((6, 8))
        model = keras.Model(inputs, layer(inputs))
        before = run(layer, {"inputs": x})
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.fit(x, 2 + x, epochs=3, verbose=0)
        assert (np.abs(run(layer, {"inputs": x}) - before).max() > 1e-3) == learns


def test_gradient_of_an_inhibition_with_nothing_unmasked_is_finite(rng):
    inputs, mask = keras.Input((6, 8)), keras.Input((6,), dtype="bool")
    hidden = keras.layers.Dense(4)(inputs)
    model = keras.Model([inputs, mask], layers.Inhibition()(hidden, mask=mask))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit([rng.normal(size=(2, 6, 8)), np.zeros((2, 6), "bool")], np.ones((2, 6, 4)), verbose=0)
    assert all(np.isfinite(ops.convert_to_numpy(v)).all() for v in model.trainable_variables)


def test_affine_equals_the_formula(rng):
    x = rng.normal(size=(2, 6, 8))
    layer = layers.Affine()
    layer.build((None, 6, 8))
    randomize(layer, rng)
    parameters = [ops.convert_to_numpy(v) for v in layer.trainable_variables]
    expected = reference.affine(x, *parameters)
    np.testing.assert_allclose(
        run(layer, {"inputs": x.astype("float32")}), expected, rtol=1e-5, atol=1e-6
    )


def test_a_new_spatial_gating_unit_passes_one_half_through(rng):
    x = rng.normal(size=(2, 6, 8)).astype("float32")
    layer = layers.SpatialGatingUnit()
    np.testing.assert_allclose(run(layer, {"inputs": x}), x[..., :4], rtol=1e-4)
    kernel = ops.convert_to_numpy(layer.spatial.kernel)
    assert 1e-7 < kernel.std() < 1e-5  # near zero, but not symmetric


@pytest.mark.parametrize(
    ("form", "share"), [("multiplicative", 1.0), ("additive", 1.0), ("linear", 0.0)]
)
@pytest.mark.parametrize("spatial", ["dense", "toeplitz"])
def test_a_new_unit_of_another_form_passes_all_through_or_nothing(rng, spatial, form, share):
    x = rng.normal(size=(2, 6, 8)).astype("float32")
    length = 6 if spatial == "toeplitz" else None
    outputs = run(layers.SpatialGatingUnit(spatial, form, length), {"inputs": x})
    np.testing.assert_allclose(outputs, share * x, rtol=1e-4, atol=1e-4)


def test_tiny_attention_with_nothing_to_attend_to_is_finite(rng):
    x = rng.normal(size=(1, 6, 8)).astype("float32")
    layer = layers.TinyAttention(units=5, attention_dim=4)
    assert np.isfinite(run(layer, {"inputs": x}, mask=np.zeros((1, 6), "bool"))).all()


def test_layers_use_the_mask_that_arrives_with_their_inputs(rng):
    x = rng.normal(size=(2, 6, 8)).astype("float32")
    x[:, 4:] = 0.0
    mask = np.array([[1, 1, 1, 1, 0, 0]] * 2, "bool")
    masked = {d.layer: d for d in DESCRIPTIONS if d.takes_mask and len(d.inputs) == 1}
    for description in masked.values():
        layer = description.make()
        arriving = keras.layers.Masking()(x)
        np.testing.assert_allclose(
            run(layer, {"inputs": arriving}), run(layer, {"inputs": x}, mask=mask), rtol=1e-6
        )


# Invariants


@once
def test_every_public_layer_is_described():
    public = {value for value in vars(layers).values() if inspect.isclass(value)}
    assert {description.layer for description in DESCRIPTIONS} == public


@once
@pytest.mark.parametrize(
    "layer", dict.fromkeys(d.layer for d in DESCRIPTIONS), ids=lambda x: x.__name__
)
def test_descriptions_give_every_argument_another_value_than_its_default(layer):
    parameters = inspect.signature(layer).parameters
    defaults = {name: p.default for name, p in parameters.items() if name != "kwargs"}
    for name, default in defaults.items():
        given = [
            d.arguments[name] for d in DESCRIPTIONS if d.layer is layer and name in d.arguments
        ]
        assert any(value != default for value in given), name


@once
@EVERY_LAYER
def test_config_makes_the_same_layer_again(description):
    layer = description.make(name="layer", dtype="mixed_bfloat16", trainable=False)
    again = description.layer.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    for name in description.arguments:
        if name == "spatial":  # by that name the unit has the sublayer
            assert layer.get_config()[name] == description.arguments[name]
            continue
        value, other = getattr(layer, name), getattr(again, name)
        if isinstance(value, keras.initializers.Initializer):
            value, other = value.get_config(), other.get_config()
        assert value == other


@EACH_LAYER
def test_saved_and_loaded_model_gives_the_same(description, tmp_path):
    model = model_of(description)
    inputs = description.draw()
    expected = model.predict(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(inputs, verbose=0), expected, rtol=1e-6)

    other = model_of(description)
    for variable in other.variables:
        variable.assign(variable + 1)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(other.predict(inputs, verbose=0), expected, rtol=1e-6)


@EVERY_LAYER
def test_symbolic_shape_is_the_real_shape(description):
    shape = run(description.make(), description.draw()).shape
    assert model_of(description).output_shape == (None, *shape[1:])
    assert description.make().compute_output_shape(description.inputs["inputs"]) == shape


@EVERY_LAYER_WITH_WEIGHTS
def test_every_trainable_weight_moves_in_one_step(description):
    model = model_of(description)
    targets = run(model.get_layer("layer"), description.draw()) + 1
    assert unmoved(model, description.draw(), targets, "mse", jit_compile="auto") == []


@EACH_LAYER
def test_layer_computes_in_its_own_dtype_policy(description):
    inputs = description.draw()
    layer = description.make(dtype="mixed_bfloat16")
    outputs = layer(**inputs)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    assert {v.dtype for v in layer.weights} <= {"float32"}

    exact = description.make()
    exact.build(description.inputs["inputs"])
    exact.set_weights([ops.convert_to_numpy(w) for w in layer.weights])
    expected = run(exact, inputs)
    error = np.abs(ops.convert_to_numpy(ops.cast(outputs, "float32")) - expected).max()
    assert 0 < error < 0.03 * np.abs(expected).max()


@EACH_LAYER
def test_layer_does_not_depend_on_batch_mates(description):
    layer = description.make()
    inputs = description.draw()
    together = run(layer, inputs)
    for i in range(len(together)):
        alone = run(layer, keras.tree.map_structure(lambda x, i=i: x[i : i + 1], inputs))
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-5, atol=1e-6)


@EVERY_LAYER_WITH_MASK
def test_layer_does_not_depend_on_masked_tokens(description):
    layer = description.make()
    mask = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1]], "bool")
    inputs = description.draw()
    for value in inputs.values():
        value[~mask] *= 10  # so that a maximum over all is theirs
    changed = {
        name: np.where(mask[..., None], value, description.draw(seed=1)[name])
        for name, value in inputs.items()
    }
    outputs = run(layer, inputs, mask=mask)[mask]
    np.testing.assert_allclose(run(layer, changed, mask=mask)[mask], outputs, rtol=1e-5, atol=1e-6)
    assert np.abs(run(layer, inputs)[mask] - outputs).max() > 1e-3


def test_a_quantized_unit_does_not_depend_on_masked_tokens(rng):
    """Neither does the scale of its integers."""
    mask = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 0, 1, 1, 1]], "bool")
    x = rng.normal(size=(2, 6, 8)).astype("float32")
    unit = layers.SpatialGatingUnit(kernel_initializer="normal")
    unit.build(x.shape)
    unit.spatial.quantize("int8")
    changed = np.where(mask[..., None], x, rng.normal(size=x.shape).astype("float32"))
    outputs = run(unit, {"inputs": x}, mask=mask)[mask]
    np.testing.assert_allclose(run(unit, {"inputs": changed}, mask=mask)[mask], outputs, rtol=1e-6)
    with_all = [run(unit, {"inputs": values})[mask] for values in (x, changed)]
    assert np.abs(with_all[1] - with_all[0]).max() > 1e-3


@described(mostly_once([d for d in DESCRIPTIONS if d.mixes_any_length], *FIRST))
def test_layer_does_not_depend_on_the_length_of_the_padding(description):
    layer = description.make()
    short, long = description.draw(), description.draw(seed=1, tokens=9)
    for name, value in short.items():
        long[name][:, :6] = value
    mask = np.arange(9) < np.array([[6], [6], [6]])
    np.testing.assert_allclose(
        run(layer, long, mask=mask)[:, :6], run(layer, short), rtol=1e-5, atol=1e-6
    )


# How, whether with LoRA, which Keras' float8 does not take, and by which share outputs may differ.
MODES = [("int8", True, 0.05), ("int8", False, 0.05), ("int4", True, 0.8), ("float8", False, 0.5)]
# In every way the two kinds of products, of tokens and of channels, and in one all that have any.
PRODUCTS = [d for d in FIRST if d.layer in (layers.SpatialGatingUnit, layers.TinyAttention)]
QUANTIZED = [
    (d, *mode)
    for d in DESCRIPTIONS
    if d.has_dense_layers
    for mode in (MODES if d in PRODUCTS else MODES[:1])
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("description", "mode", "lora", "share"),
    mostly_once(QUANTIZED, *(case for case in QUANTIZED if case[0] in PRODUCTS)),
    ids=lambda value: getattr(value, "name", None),
)
def test_a_quantized_layer_predicts_the_same_when_saved_and_loaded(
    description, mode, lora, share, tmp_path
):
    model = model_of(description)
    inputs = description.draw()
    expected = run(model, {"inputs": inputs})
    dense = [x for x in model._flatten_layers() if isinstance(x, keras.layers.Dense)]
    for layer in dense if lora else []:
        layer.enable_lora(2)
    # Keras says which layers it passes over; those that it quantized are asserted.
    with pytest.warns(UserWarning, match="does not have a `quantize` method"):
        model.quantize(mode)
    assert [layer.quantization_mode for layer in dense] == [mode] * len(dense)
    quantized = run(model, {"inputs": inputs})
    assert 0 < np.abs(quantized - expected).max() < share * np.abs(expected).max()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(run(loaded, {"inputs": inputs}), quantized, rtol=1e-5, atol=1e-6)


def test_a_spatial_projection_trains_its_float8_scales_and_refuses_to_be_calibrated(rng):
    inputs = keras.Input((6, 8))
    unit = layers.SpatialGatingUnit()
    model = keras.Model(inputs, unit(inputs))
    unit.spatial.quantize("float8")
    model.compile("sgd", "mse")
    model.fit(rng.normal(size=(2, 6, 8)), np.ones((2, 6, 4)), verbose=0)
    assert ops.convert_to_numpy(unit.spatial.inputs_amax_history).max() > 0
    config = keras.quantizers.GPTQConfig(dataset=None, tokenizer=None)
    with pytest.raises(NotImplementedError, match="does not have a `quantize` method"):
        layers.SpatialGatingUnit(name="other").sublayer(
            type(unit.spatial), "spatial", (None, 6, 8), units=6
        ).quantize("gptq", config=config)


# Errors


@once
@EVERY_LAYER
def test_every_integer_must_be_positive_and_no_boolean(description):
    refuses_other_integers(description.layer, description.arguments)


@once
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 6, 7), "must be even. Received: inputs.shape=\\(2, 6, 7\\)"),
        ((None, None, 8), "known tokens and channels. Received: inputs.shape=\\(None, None, 8\\)"),
        ((2, 8), "\\(batch, tokens, channels\\)"),
    ],
)
def test_spatial_gating_unit_refuses_shapes_that_it_cannot_gate(shape, message):
    with pytest.raises(ValueError, match=message):
        layers.SpatialGatingUnit().build(shape)


@once
def test_a_toeplitz_unit_refuses_unknown_channels():
    with pytest.raises(ValueError, match="with known channels. Received: .*None, 6, None"):
        layers.SpatialGatingUnit("toeplitz", sequence_length=6).build((None, 6, None))


def test_spatial_gating_unit_refuses_another_number_of_tokens():
    layer = layers.SpatialGatingUnit()
    layer(np.zeros((1, 6, 8), "float32"))
    with pytest.raises(ValueError, match="expected axis 1 of input shape to have value 6"):
        layer(np.zeros((1, 7, 8), "float32"))


@once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial": "circulant"}, '`spatial` must be "dense" or "toeplitz". Received'),
        ({"form": "sum"}, "`form` must be \"split\", .* Received: form='sum'"),
        ({"sequence_length": 6}, '`sequence_length` must be None with spatial="dense"'),
        ({"spatial": "toeplitz"}, "must be a positive integer .*: sequence_length=None"),
    ],
)
def test_spatial_gating_unit_refuses_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        layers.SpatialGatingUnit(**arguments)


def test_a_toeplitz_unit_refuses_more_tokens_than_its_sequence_length():
    layer = layers.SpatialGatingUnit("toeplitz", sequence_length=6)
    message = "`inputs` must have at most `sequence_length` tokens, 6. Received: inputs.shape="
    with pytest.raises(ValueError, match=message):
        layer(np.zeros((1, 7, 8), "float32"))
    with pytest.raises(ValueError, match=message):
        layer(keras.Input((7, 8)))


@once
def test_tiny_attention_refuses_unknown_channels():
    with pytest.raises(ValueError, match="known channels"):
        layers.TinyAttention(4).build((None, 6, None))


@once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"axis": "depth"}, '`axis` must be "width" or "height". Received: axis=\'depth\''),
        ({"kernel_size": 4}, "`kernel_size` must be an odd positive integer"),
    ],
)
def test_cycle_fc_refuses_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        layers.CycleFC(**({"units": 4, "axis": "width"} | arguments))


@once
@pytest.mark.parametrize("layer", [layers.GateWithInhibition, layers.Inhibition])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inhibition": -0.1}, "`inhibition` must be in \\[0, 1\\]. Received: inhibition=-0.1"),
        ({"inhibition": 1.5}, "`inhibition` must be in \\[0, 1\\]"),
        ({"scope": "image"}, "`scope` must be .* Received: scope='image'"),
    ],
)
def test_inhibition_refuses_wrong_arguments(layer, arguments, message):
    with pytest.raises(ValueError, match=message):
        layer(**arguments)


@once
@pytest.mark.parametrize(
    "shapes",
    [
        (2, 4, 4, 8),
        [(2, 4, 4, 8)],
        [(2, 4, 4, 8), (2, 4, 4, 6)],
        [(2, 4, 8), (2, 4, 8)],
        [(2, 4, 4, None)] * 2,
    ],
)
def test_split_attention_refuses_what_is_no_list_of_equal_maps(shapes):
    with pytest.raises(ValueError, match="needs a list of two or more `inputs`"):
        layers.SplitAttention().build(shapes)


@once
def test_split_attention_refuses_fewer_channels_than_the_reduction():
    with pytest.raises(ValueError, match="`reduction` must be at most the number of channels"):
        layers.SplitAttention().build([(2, 4, 4, 3)] * 2)


@once
@pytest.mark.parametrize(
    "layer",
    [layers.CycleFC(4, "width"), layers.GateWithInhibition(), layers.Affine()],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_refuse_unknown_channels(layer):
    with pytest.raises(ValueError, match="channels"):
        layer.build((None, 4, 4, None))
