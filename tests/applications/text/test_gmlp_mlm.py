"""gMLP and aMLP on text: the paper's formula and sizes, invariances, presets, tasks."""

import io

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

from keras_gimlp import applications
from keras_gimlp.counting import count_macs
from tests import reference
from tests.conftest import mostly_once, once
from tests.descriptions import refuses_other_integers
from tests.families import run
from tests.test_package import run_examples
from tests.training import unmoved

SIZES = {"vocabulary_size": 23, "depth": 2, "dim": 8, "ffn_dim": 12, "sequence_length": 9}
FORMS = ("split", "multiplicative", "additive", "linear")
BOTH = pytest.mark.parametrize("attention_dim", [None, 4])
LENGTHS = (6, 3, 1)  # of three examples of six tokens
# Keras, of the attention of a single token.
ONE_TOKEN = pytest.mark.filterwarnings("ignore:[\\s\\S]*You are using a softmax over axis")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["a", "quick", "brown", "fox", "jumped", "over", "the", "lazy", "dog"]
TEXTS = ["a quick fox jumped over the dog", "the lazy dog"]
# KerasHub writes the optimizer's state beside the task and does not read it again.
SKIPS_OPTIMIZER = pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")


def small(seed=0, **kwargs):
    """A small encoder in which every weight matters."""
    model = applications.gMLP_MLM(**(SIZES | kwargs))
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(variable + rng.normal(size=variable.shape) / 2)
    return model


def texts(tokens=6, lengths=LENGTHS, seed=0):
    ids = np.random.default_rng(seed).integers(0, 23, (len(lengths), tokens)).astype("int32")
    mask = np.arange(tokens) < np.array(lengths)[:, None]
    return {"token_ids": ids, "padding_mask": mask.astype("int32")}


def masked(x):
    return x | {"mask_positions": np.array([[0, 2]] * len(x["token_ids"]), "int32")}


# The formula


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("spatial", "tokens"), [("toeplitz", 6), ("toeplitz", 9), ("dense", 6)])
@BOTH
def test_model_equals_the_formula(attention_dim, spatial, tokens, form):
    length = tokens if spatial == "dense" else 9
    model = small(attention_dim=attention_dim, spatial=spatial, form=form, sequence_length=length)
    inputs = texts(tokens)
    outputs = run(model, inputs)
    weights = {v.path: ops.convert_to_numpy(v).astype("float64") for v in model.weights}

    def dense(layer):
        return weights[f"{layer}/kernel"], weights[f"{layer}/bias"]

    def norm(layer):
        return weights[f"{layer}/gamma"], weights[f"{layer}/beta"]

    for i, n in enumerate(LENGTHS):
        mask = inputs["padding_mask"][i] == 1
        x = weights["token_embedding/embeddings"][inputs["token_ids"][i]]
        for block in ("block0", "block1"):
            w, b = dense(f"{block}_gate/spatial")
            W = w.T if spatial == "dense" else reference.toeplitz(w, tokens)
            attention = (
                (*dense(f"{block}_attention/qkv"), *dense(f"{block}_attention/projection"))
                if attention_dim
                else None
            )
            x = reference.gmlp_block(
                x,
                norm=(*norm(f"{block}_norm"), 1e-6),
                expand=dense(f"{block}_expand"),
                unit=(*norm(f"{block}_gate/norm"), W, b[:tokens], 1e-5),
                contract=dense(f"{block}_contract"),
                attention=attention,
                mask=mask,
                form=form,
            )
        x = reference.layer_norm(x, *norm("norm"), 1e-6)
        scale = np.abs(x[:n]).max()
        np.testing.assert_allclose(outputs[i, :n], x[:n], rtol=1e-5, atol=1e-5 * scale)


# Invariances


@ONE_TOKEN
@pytest.mark.parametrize("form", mostly_once(FORMS, "split"))
@BOTH
def test_an_example_depends_on_neither_its_batch_nor_its_padding(attention_dim, form):
    model = small(attention_dim=attention_dim, form=form)
    x = texts()
    together = run(model, x)
    changed = x | {"token_ids": np.where(x["padding_mask"], x["token_ids"], 5)}
    for i, length in enumerate(LENGTHS):
        np.testing.assert_allclose(
            run(model, changed)[i, :length], together[i, :length], rtol=1e-4, atol=1e-5
        )
        for padded in {length, 6, 9}:
            alone = {
                key: np.pad(value[i : i + 1, :length], ((0, 0), (0, padded - length)))
                for key, value in x.items()
            }
            np.testing.assert_allclose(
                run(model, alone)[0, :length], together[i, :length], rtol=1e-4, atol=1e-5
            )
    unmasked = x | {"padding_mask": np.ones((3, 6), "int32")}
    assert np.abs(run(model, unmasked) - together)[2, 0].max() > 1e-2


@pytest.mark.slow
@ONE_TOKEN
@BOTH
def test_compiled_predictions_of_every_length_equal_the_eager_ones(attention_dim):
    model = small(attention_dim=attention_dim)
    for tokens in (9, 4, 1):
        x = texts(tokens, (tokens, 1))
        np.testing.assert_allclose(
            model.predict(x, verbose=0), ops.convert_to_numpy(model(x)), rtol=1e-4, atol=1e-5
        )


# The paper's sizes

PARAMETERS = {
    "gMLP_MLM_Base": 130_073_552,
    "gMLP_MLM_Large": 365_274_528,
    "gMLP_MLM_XLarge": 940_582_768,
    "aMLP_MLM_Base": 108_791_516,
    "aMLP_MLM_Large": 315_627_960,
}
FLOPS = {
    "gMLP_MLM_Base": 158.0e9,
    "gMLP_MLM_Large": 430.1e9,
    "gMLP_MLM_XLarge": 1091.3e9,
    "aMLP_MLM_Base": 128.9e9,
    "aMLP_MLM_Large": 370.3e9,
}


@once
@pytest.mark.parametrize("size", PARAMETERS)
def test_named_sizes_have_the_published_parameters_and_operations(size, without_values):
    model = getattr(applications, size)()
    assert model.name == size.lower()
    assert model.count_params() == PARAMETERS[size] == getattr(applications, size).parameters
    assert len({v.path for v in model.weights}) == len(model.weights)
    # The paper counts two operations for a product and a sum, leaves out the vocabulary, and seems
    # to include the element-wise work.
    assert 0.96 < 2 * count_macs(model, tokens=512) / FLOPS[size] <= 1


@once
def test_every_published_size_is_listed():
    assert list(PARAMETERS) == applications.list_models("*mlm*")


@once
def test_forms_have_the_sizes_of_the_ablation(without_values):
    sizes = {"vocabulary_size": 32000, "depth": 36, "dim": 512, "sequence_length": 128}
    for form in FORMS:
        ffn_dim = 3072 if form == "split" else 2048
        parameters = applications.gMLP_MLM(form=form, ffn_dim=ffn_dim, **sizes).count_params()
        assert round(parameters / 1e6) == (102 if form == "split" else 92)


@once
@BOTH
def test_parts_of_a_block_have_the_published_counts(attention_dim):
    d, f, n, a = 8, 12, 9, attention_dim or 0
    block = 2 * d + d * f + f + f + (2 * n - 1) + n + f // 2 * d + d
    block += 3 * a * d + 3 * a + a * f // 2 + f // 2 if a else 0
    model = applications.gMLP_MLM(**SIZES, attention_dim=attention_dim)
    assert model.count_params() == 2 * block + 23 * d + 2 * d


@once
def test_dropout_and_stochastic_depth_are_where_they_are_asked_for():
    model = applications.gMLP_MLM(**(SIZES | {"depth": 3}), dropout=0.1, drop_path_rate=0.2)
    rates = {x.name: x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)}
    assert rates == pytest.approx(
        {"embedding_dropout": 0.1}
        | {f"block{i}_dropout": 0.1 for i in range(3)}
        | {"block1_drop_path": 0.1, "block2_drop_path": 0.2}
    )


@once
def test_the_only_block_is_the_last_one():
    model = applications.gMLP_MLM(**(SIZES | {"depth": 1}), drop_path_rate=0.2)
    assert model.get_layer("block0_drop_path").rate == 0.2


# Presets


@BOTH
def test_a_saved_preset_is_the_same_model(attention_dim, tmp_path):
    arguments = {"form": "additive", "dropout": 0.2, "drop_path_rate": 0.1}
    model = small(attention_dim=attention_dim, **arguments)
    model.save_to_preset(str(tmp_path))
    for cls in (applications.gMLP_MLM, keras_hub.models.Backbone):
        loaded = cls.from_preset(str(tmp_path))
        assert type(loaded) is applications.gMLP_MLM
        assert loaded.get_config() == model.get_config()
        np.testing.assert_allclose(run(loaded, texts()), run(model, texts()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rates", [(0.0, 0.1), (0.1, 0.0)])
def test_a_preset_is_loaded_with_other_dropout(rates, tmp_path):
    model = small(dropout=rates[0], drop_path_rate=rates[0])
    model.save_to_preset(str(tmp_path))
    loaded = applications.gMLP_MLM.from_preset(
        str(tmp_path), dropout=rates[1], drop_path_rate=rates[1]
    )
    np.testing.assert_allclose(run(loaded, texts()), run(model, texts()), rtol=1e-5, atol=1e-6)


# Tasks


@pytest.mark.parametrize(
    ("form", "attention_dim"), [("split", None), ("split", 4), ("additive", 4), ("linear", None)]
)
def test_masked_language_model_is_tied_and_every_weight_is_trained(form, attention_dim):
    model = small(form=form, attention_dim=attention_dim)
    task = applications.gMLPMaskedLM(model)
    assert task.count_params() == model.count_params()
    x = masked(texts())
    embeddings = ops.convert_to_numpy(model.token_embedding.embeddings)
    expected = run(model, texts())[:, [0, 2]] @ embeddings.T
    np.testing.assert_allclose(run(task, x), expected, rtol=1e-4, atol=1e-4)
    assert unmoved(task, x, np.array([[1, 2]] * 3), "auto") == []


@pytest.mark.slow
@SKIPS_OPTIMIZER
@BOTH
def test_a_classifier_is_trained_and_found_again_in_its_preset(attention_dim, tmp_path):
    classifier = applications.gMLPTextClassifier(
        small(attention_dim=attention_dim), num_classes=2, dropout=0.0
    )
    x = texts()
    assert unmoved(classifier, x, np.array([0, 1, 0]), "auto") == []
    classifier.save_to_preset(str(tmp_path))
    for cls in (applications.gMLPTextClassifier, keras_hub.models.TextClassifier):
        loaded = cls.from_preset(str(tmp_path), preprocessor=None)
        assert type(loaded) is applications.gMLPTextClassifier
        np.testing.assert_allclose(
            loaded.predict(x, verbose=0), classifier.predict(x, verbose=0), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    ("head", "arguments", "shape"),
    [
        ("TextRegressor", {}, (3, 1)),
        ("TokenClassifier", {"num_classes": 5}, (3, 6, 5)),
        ("SpanExtractor", {}, (3, 2, 6)),
    ],
)
def test_heads_on_text_work_on_it(head, arguments, shape):
    task = getattr(applications, head)(small(attention_dim=4), **arguments)
    assert task.predict(texts(), verbose=0).shape == shape


@pytest.mark.parametrize(("spatial", "length"), [("toeplitz", None), ("dense", 6)])
def test_a_choice_is_scored_on_it(spatial, length):
    encoder = small(attention_dim=4, spatial=spatial, sequence_length=length or 9)
    chooser = applications.MultipleChoice(encoder, num_choices=2)
    assert {tensor.shape for tensor in chooser.input.values()} == {(None, 2, length)}
    x = {key: np.stack([value, value], 1) for key, value in texts().items()}
    assert run(chooser, x).shape == (3, 2)


# Tokenizers


@pytest.fixture(scope="module")
def pieces():
    """A SentencePiece model of 23 pieces, as bytes."""
    sentencepiece = pytest.importorskip("sentencepiece")
    file = io.BytesIO()
    names = {"pad": "[PAD]", "unk": "[UNK]", "bos": "[CLS]", "eos": "[SEP]"}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS),
        model_writer=file,
        vocab_size=23,
        model_type="char",
        hard_vocab_limit=False,
        user_defined_symbols="[MASK]",
        minloglevel=2,
        **{f"{name}_id": i for i, name in enumerate(names)},
        **{f"{name}_piece": piece for name, piece in names.items()},
    )
    return file.getvalue()


def word_pieces():
    return keras_hub.models.BertTokenizer([*SPECIAL, *WORDS, *(f"##{c}" for c in "abcdefghi")])


def tokenizers(pieces):
    return applications.gMLPTokenizer(pieces), word_pieces()


@once
def test_a_text_becomes_tokens_between_special_ones(pieces):
    for tokenizer in tokenizers(pieces):
        preprocess = applications.gMLPTextClassifierPreprocessor(tokenizer, sequence_length=9)
        x, y = preprocess(["fox", "a dog"], np.array([0, 1]))
        assert set(x) == {"token_ids", "padding_mask"}
        ids, mask = (ops.convert_to_numpy(x[key]) for key in ("token_ids", "padding_mask"))
        assert ids.shape == (2, 9)
        assert (ids[:, 0] == tokenizer.cls_token_id).all()
        np.testing.assert_array_equal(mask, ids != tokenizer.pad_token_id)
        lengths = mask.astype("int32").sum(1)
        assert [ids[i, n - 1] for i, n in enumerate(lengths)] == [tokenizer.sep_token_id] * 2
        np.testing.assert_array_equal(ops.convert_to_numpy(y), [0, 1])


@once
def test_tokens_are_masked_but_special_ones(pieces):
    for tokenizer in tokenizers(pieces):
        preprocess = applications.gMLPMaskedLMPreprocessor(
            tokenizer, sequence_length=9, mask_selection_rate=0.5, mask_selection_length=4
        )
        x, y, weights = preprocess(TEXTS)
        assert set(x) == {"token_ids", "padding_mask", "mask_positions"}
        y, weights = ops.convert_to_numpy(y), ops.convert_to_numpy(weights)
        assert y.shape == (2, 4)
        assert weights.sum() > 1
        assert not set(y[weights > 0]) & set(tokenizer.special_token_ids)


@pytest.mark.slow
@SKIPS_OPTIMIZER
# KerasHub leaves the file of pieces open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", mostly_once([0, 1], 0))
def test_pretraining_on_text_leads_to_a_classifier_by_its_preset(pieces, kind, tmp_path):
    tokenizer = tokenizers(pieces)[kind]
    task = applications.gMLPMaskedLM(
        small(vocabulary_size=tokenizer.vocabulary_size(), attention_dim=4),
        applications.gMLPMaskedLMPreprocessor(
            tokenizer, sequence_length=9, mask_selection_length=3
        ),
    )
    task.fit(TEXTS, shuffle=False, verbose=0)
    task.save_to_preset(str(tmp_path))
    again = keras_hub.models.MaskedLM.from_preset(str(tmp_path))
    assert type(again) is applications.gMLPMaskedLM
    assert again.preprocessor.get_config() == task.preprocessor.get_config()
    assert type(again.preprocessor.tokenizer) is type(tokenizer)
    assert keras_hub.models.Tokenizer.from_preset(str(tmp_path))("fox") is not None

    classifier = keras_hub.models.TextClassifier.from_preset(str(tmp_path), num_classes=2)
    assert type(classifier) is applications.gMLPTextClassifier
    assert classifier.preprocessor.sequence_length == 9
    classifier.fit(TEXTS, np.array([0, 1]), shuffle=False, verbose=0)
    assert classifier.predict(TEXTS, verbose=0).shape == (2, 2)


# Deployment


def test_mixed_precision_computes_in_half():
    model = small(attention_dim=4, dtype="mixed_bfloat16", drop_path_rate=0.1)
    exact = small(attention_dim=4)
    exact.set_weights([ops.convert_to_numpy(v) for v in model.weights])
    assert {v.dtype for v in model.weights} == {"float32"}
    assert {x.compute_dtype for x in model.layers if x.weights} == {"bfloat16"}
    assert keras.backend.standardize_dtype(model(texts()).dtype) == "bfloat16"
    real = texts()["padding_mask"] == 1
    expected = run(exact, texts())[real]
    error = np.abs(run(model, texts())[real] - expected).max()
    assert 0 < error < 0.1 * np.abs(expected).max()


def test_logits_have_the_digits_of_float32_under_mixed_precision():
    model = small(dtype="mixed_bfloat16")
    tasks = applications.gMLPMaskedLM(model), applications.gMLPTextClassifier(model, num_classes=2)
    for task in tasks:
        outputs = task(masked(texts()) if task is tasks[0] else texts())
        assert keras.backend.standardize_dtype(outputs.dtype) == task.output.dtype == "float32"
        rounded = ops.cast(ops.cast(outputs, "bfloat16"), "float32")
        assert np.abs(ops.convert_to_numpy(outputs - rounded)).max() > 0


@BOTH
def test_lora_adapts_every_dense_layer(attention_dim):
    model = small(attention_dim=attention_dim)
    expected = run(model, texts())
    model.enable_lora(2)
    per_block = 4 if attention_dim else 2
    lora = [v.path for v in model.trainable_variables if "lora" in v.path]
    assert len(lora) == 2 * 2 * per_block  # blocks, factors
    assert not any("spatial" in v.path for v in model.trainable_variables)
    np.testing.assert_allclose(run(model, texts()), expected, rtol=1e-5, atol=1e-6)


# Of Keras: on which layers it passes over, and on torch how it transposes a vector.
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.filterwarnings("ignore:The use of `x.T` on tensors")
def test_a_quantized_model_is_saved_and_loaded(tmp_path):
    model = small(attention_dim=4)
    task = applications.gMLPMaskedLM(model)
    x = masked(texts())
    expected = task.predict(x, verbose=0)
    task.quantize("int8")
    kinds = (keras.layers.Dense, keras.layers.Embedding)
    quantized = [y for y in model._flatten_layers() if isinstance(y, kinds)]
    assert [y.quantization_mode for y in quantized] == ["int8"] * (1 + 2 * 4)
    outputs = task.predict(x, verbose=0)
    assert 0 < np.abs(outputs - expected).max() < 0.1 * np.abs(expected).max()
    task.save_to_preset(str(tmp_path))
    loaded = applications.gMLPMaskedLM.from_preset(str(tmp_path))
    np.testing.assert_allclose(loaded.predict(x, verbose=0), outputs, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@once
@pytest.mark.parametrize("name", ["gMLP_MLM", "gMLPTextClassifier", "gMLPMaskedLM"])
def test_examples_in_docstrings_run(name):
    run_examples(getattr(applications, name).__doc__)


# Errors


@once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sequence_length": None}, "`sequence_length` must be a positive integer"),
        ({"ffn_dim": 13}, "must be even"),
        ({"spatial": "circulant"}, "`spatial` must be"),
        ({"form": "sum"}, "`form` must be"),
        ({"drop_path_rate": 1.0}, "`drop_path_rate` must be in \\[0, 1\\)"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        applications.gMLP_MLM(**(SIZES | arguments))


@once
def test_every_integer_must_be_positive_and_no_boolean():
    refuses_other_integers(applications.gMLP_MLM, SIZES | {"attention_dim": 4})


@once
def test_a_misspelt_argument_of_a_size_is_a_type_error():
    with pytest.raises(
        TypeError, match="gMLP_MLM_Base\\(\\) got an unexpected keyword argument 'attention_dims'"
    ):
        applications.gMLP_MLM_Base(depth=1, dim=8, ffn_dim=16, attention_dims=4)


def test_an_example_longer_than_the_model_is_refused():
    message = "at most `sequence_length` tokens, 9. Received: inputs.shape=\\(2, 10"
    with pytest.raises(ValueError, match=message):
        small()(texts(10, (10, 3)))


@once
def test_a_preprocessor_that_does_not_fit_is_refused():
    preprocessor = applications.gMLPTextClassifierPreprocessor(word_pieces(), sequence_length=10)
    with pytest.raises(ValueError, match="must be at most the backbone's, 9. Received: .*=10"):
        applications.gMLPTextClassifier(small(), 2, preprocessor)
    preprocessor.sequence_length = 8
    with pytest.raises(ValueError, match="must be exactly the backbone's, 9. Received: .*=8"):
        applications.gMLPTextClassifier(small(spatial="dense"), 2, preprocessor)
    applications.gMLPTextClassifier(small(), 2, preprocessor)
    with pytest.raises(ValueError, match="of 29 tokens. Received: a tokenizer of 23"):
        applications.gMLPTextClassifier(small(vocabulary_size=29), 2, preprocessor)
    preprocessor = applications.gMLPMaskedLMPreprocessor(word_pieces(), sequence_length=10)
    with pytest.raises(ValueError, match="must be at most the backbone's, 9"):
        applications.gMLPMaskedLM(small(), preprocessor)


@once
def test_a_vocabulary_without_a_special_token_is_refused():
    sentencepiece = pytest.importorskip("sentencepiece")
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS),
        model_writer=file,
        vocab_size=30,
        model_type="char",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    with pytest.raises(ValueError, match="Cannot find special token `'\\[.*\\]'`"):
        applications.gMLPTokenizer(file.getvalue())


@pytest.mark.backends("torch")
@pytest.mark.filterwarnings("ignore:Dynamo detected:UserWarning", "ignore::DeprecationWarning")
@ONE_TOKEN
@BOTH
def test_a_compiled_model_is_one_graph_and_runs_without_its_layers(attention_dim, monkeypatch):
    import torch

    torch._dynamo.reset()
    model, calls = small(attention_dim=attention_dim, spatial="toeplitz"), []
    call = model.get_layer("norm").call
    monkeypatch.setattr(model.get_layer("norm"), "call", lambda x: calls.append(1) or call(x))
    compiled = torch.compile(
        lambda x: model(x, training=False), backend="aot_eager", fullgraph=True
    )
    with torch.no_grad():
        for tokens in (6, 8, 5, 1):
            x = {name: torch.tensor(value) for name, value in texts(tokens).items()}
            outputs, recorded = compiled(x), len(calls)
            compiled(x)
            assert len(calls) == recorded
            np.testing.assert_allclose(outputs, model(x), rtol=1e-4, atol=1e-4)
