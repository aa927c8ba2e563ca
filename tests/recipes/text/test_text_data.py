"""Files and words of the language recipes: what is read, and what is refused."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_gimlp import applications
from recipes import glue, mlm_pretraining, ner, squad, swag
from recipes.text import (
    choices,
    corpus,
    encoders,
    entities,
    fine_tuning,
    glue_tasks,
    squad_data,
    synthetic,
    tokenizers,
)
from recipes.text.study import Setting
from tests.conftest import GOLDEN, everywhere, once

pytestmark = once


@pytest.mark.parametrize("model", ["BERT", "RoBERTa", "DeBERTaV3"])
def test_words_keep_their_tokens_and_these_their_places(model):
    sentences = [" ".join(words) for words, _ in synthetic.entities(200, seed=0)]
    tokenizer = encoders.KINDS[model].new_tokenizer(sentences, 120)
    words = ["garden", "xylophone", "fox's", "garden", "☃", "a☃b☃"]
    ids, places = tokenizers.words_to_tokens(tokenizer, words)
    spaced = " " if model == "RoBERTa" else ""
    for word, row, spans in zip(words, ids, places, strict=True):
        assert row == np.asarray(tokenizer(spaced + word)).tolist()
        assert len(spans) == len(row)
        if word == "a☃b☃" or (word == "☃" and model == "RoBERTa"):
            assert set(spans) == {(0, len(word))}  # several unknown parts, or bytes
        else:
            assert "".join(word[a:b] for a, b in spans) == word
    assert tokenizers.words_to_tokens(tokenizer, []) == ([], [])


def test_a_deberta_folder_of_hugging_face_brings_its_tokenizer(tmp_path):
    shutil.copytree(GOLDEN / "gi_deberta_v3_tiny", tmp_path / "folder")
    sentences = [" ".join(words) for words, _ in synthetic.entities(200, seed=0)]
    model = tokenizers.sentence_piece_model(sentences, 90)
    (tmp_path / "folder" / "spm.model").write_bytes(model)
    for name in ("DeBERTaV3", "giDeBERTaV3"):
        config = ner.Config(weights=str(tmp_path / "folder"))
        encoder = encoders.load(config, Setting(name, 0.3, "gelu"), texts=[])
        assert isinstance(encoder.tokenizer, encoders.KINDS[name].tokenizer)
        assert np.asarray(encoder.tokenizer("the old fox")).tolist() == encode(model, "the old fox")


def encode(model, text):
    return sentencepiece.SentencePieceProcessor(model_proto=model).encode(text)


@everywhere
def test_batches_are_cut_to_their_longest_example():
    task = gmlp("toeplitz")
    mask = np.arange(100) < np.array([[3], [40], [20]])
    x, width = fine_tuning.trim({"token_ids": np.ones((3, 100)), "padding_mask": mask}, task)
    assert int(width) == 64
    assert x["token_ids"].shape == (3, 64)
    assert int(fine_tuning.trim({"padding_mask": np.ones((2, 5, 100))}, task)[1]) == 100


@everywhere
def test_batches_for_dense_spatial_weights_keep_their_length():
    task = gmlp("dense")
    x, width = fine_tuning.trim(
        {"token_ids": np.ones((3, 100)), "padding_mask": np.eye(3, 100)}, task
    )
    assert width == 100
    assert x["token_ids"].shape == (3, 100)
    batches = tf.data.Dataset.from_tensors(x)
    assert len(list(fine_tuning.predict(task, batches))) == 3


def gmlp(spatial):
    backbone = applications.gMLP_MLM(
        vocabulary_size=9, depth=1, dim=8, ffn_dim=16, sequence_length=100, spatial=spatial
    )
    return applications.gMLPTextClassifier(backbone, num_classes=2)


# KerasHub leaves the file of the vocabulary open.
@everywhere
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_preset_of_gmlp_is_fine_tuned_as_what_it_is(tmp_path):
    tokenizer = applications.gMLPTokenizer(tokenizers.sentence_piece_model(["a b c"] * 9, 20))
    backbone = applications.gMLP_MLM(
        vocabulary_size=tokenizer.vocabulary_size(),
        depth=1,
        dim=8,
        ffn_dim=16,
        sequence_length=32,
        attention_dim=4,
        spatial="dense",
    )
    task = applications.gMLPMaskedLM(backbone)
    encoders.save(task, tokenizer, tmp_path / "preset")
    config = glue.Config(weights=str(tmp_path / "preset"), dropout=0.25)
    encoder = encoders.load(config, Setting("aMLP"), texts=[])
    assert encoder.backbone.dropout == 0.25
    for one, other in zip(encoder.backbone.get_weights(), backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(SystemExit, match="gMLP cannot be built: the preset .* is of aMLP"):
        encoders.load(config, Setting("gMLP"), texts=[])
    config = dataclasses.replace(config, sequence_length=16)
    with pytest.raises(SystemExit, match="dense spatial weights, for exactly 32 tokens"):
        encoders.load(config, Setting("aMLP"), texts=[])


def test_scores_of_glue_are_those_of_the_benchmark():
    labels = np.array([0, 1, 1, 0, 1, 1])
    outputs = np.eye(2)[[0, 1, 0, 0, 1, 0]]
    # True positives 2, false negatives 2, true negatives 2, false positives none.
    assert glue_tasks.accuracy_and_f1(labels, outputs) == pytest.approx(
        {"accuracy": 4 / 6, "f1": 2 * 2 / (2 * 2 + 0 + 2)}
    )
    assert glue_tasks.matthews(labels, outputs)["matthews"] == pytest.approx(
        (2 * 2 - 0 * 2) / np.sqrt((2 + 0) * (2 + 2) * (2 + 0) * (2 + 2))
    )
    scores = glue_tasks.correlations(np.array([1.0, 2, 3, 4]), np.array([[1.0], [8], [27], [20]]))
    assert scores["spearman"] == pytest.approx(0.8)
    assert scores["pearson"] == pytest.approx(np.corrcoef([1, 2, 3, 4], [1, 8, 27, 20])[0, 1])
    assert glue_tasks.correlations(np.arange(3), np.ones((3, 1))) == {
        "pearson": 0.0,
        "spearman": 0.0,
    }


def write_data(folder, name, examples):
    """Writes a small data set in the place and form of one of TensorFlow Datasets."""
    real = tfds.builder(name, data_dir=folder)
    config = real.builder_config
    if config is not None:
        config = tfds.core.BuilderConfig(name=config.name, version=str(real.version))

    class Small(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        """The features of the real one, and the given examples by split."""

        name = real.name
        VERSION = real.version
        BUILDER_CONFIGS = [config] if config else []
        pkg_dir_path = folder

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=real.info.features)

        def _split_generators(self, manager):
            return {split: self._generate_examples(rows) for split, rows in examples.items()}

        def _generate_examples(self, rows):
            yield from enumerate(rows)

    Small(data_dir=folder).download_and_prepare()


def test_an_unlabeled_split_is_refused(tmp_path):
    rows = [{"sentence": f"sentence {i}", "label": 1, "idx": i} for i in range(3)]
    unlabeled = [row | {"label": -1} for row in rows]
    splits = {"train": rows, "validation": rows[:1], "test": unlabeled}
    write_data(tmp_path, "glue/cola", splits)
    config = glue.Config(task="cola", data_dir=str(tmp_path))
    data = glue_tasks.load(config)
    assert (data.size, list(data.tests)) == (3, ["validation"])
    assert sorted(data.training_texts()) == ["sentence 0", "sentence 1", "sentence 2"]
    for split, message in (("test", "has no labels"), ("dev", "no split of glue named")):
        with pytest.raises(SystemExit, match=message):
            glue_tasks.load(dataclasses.replace(config, test_split=(split,)))


def test_slices_of_splits_are_read_by_every_recipe(tmp_path):
    rows = [{"sentence": f"sentence {i}", "label": 1, "idx": i} for i in range(10)]
    write_data(tmp_path, "glue/cola", {"train": rows, "validation": rows})
    folder = {"data_dir": str(tmp_path), "train_split": "train[:80%]"}
    config = glue.Config(task="cola", test_split=("validation[:50%]", "train[80%:]"), **folder)
    data = glue_tasks.load(config)
    sizes = {split: len(list(examples)) for split, examples in data.tests.items()}
    assert sizes == {"validation[:50%]": 5, "train[80%:]": 2}
    assert data.size == len(list(data.train)) == 8

    rows = [{"tokens": ["EU"], "ner": ["B-ORG"], "pos": [], "chunks": []}] * 10
    write_data(tmp_path, "conll2003", {"train": rows, "test": rows})
    found = entities.load(ner.Config(data="conll2003", test_split="test[:50%]", **folder))
    assert [len(part) for part in found] == [8, 5]

    rows = [{"goal": "g", "sol1": "x", "sol2": "y", "label": 1, "id": str(i)} for i in range(10)]
    write_data(tmp_path, "piqa", {"train": rows, "validation": rows})
    found = choices.load(swag.Config(data="piqa", test_split="validation[:50%]", **folder))
    assert [len(part) for part in found] == [8, 5]

    config = mlm_pretraining.Config(data="piqa", **folder)
    with pytest.raises(SystemExit, match="has no feature `text`. It has: id, goal, "):
        corpus.load(config)
    rows = [{"text": "a text", "label": 1}] * 10
    write_data(tmp_path, "imdb_reviews", {"train": rows, "test": rows})
    text = corpus.load(dataclasses.replace(config, data="imdb_reviews", test_split="test[:50%]"))
    assert [len(list(part)) for part in (text.train, text.test)] == [8, 5]

    config = squad.Config(data="v1.1", test_split="validation[:50%]", **folder)
    write_data(tmp_path, "squad/v1.1", {"train": QUESTIONS, "validation": QUESTIONS})
    assert [len(part) for part in squad_data.load(config)] == [8, 5]
    with pytest.raises(SystemExit, match="nor a slice of one such as 'train.:80%.'"):
        squad_data.load(dataclasses.replace(config, test_split="validation[:50"))


QUESTIONS = [
    {
        "id": str(i),
        "title": f"title {i}",
        "context": "He lives in Rīga.",
        "question": "Where?",
        "answers": {"text": ["in Rīga"], "answer_start": [9]},
    }
    for i in range(10)
]


def test_questions_of_tensorflow_datasets_are_read(tmp_path):
    write_data(tmp_path, "squad/v1.1", {"validation": QUESTIONS[:4]})
    config = squad.Config(data="v1.1", data_dir=str(tmp_path), train_split="validation")
    train, test = squad_data.load(dataclasses.replace(config, held_out=0.25))
    assert (len(train), len(test)) == (3, 1)
    assert train[0].context[9:].startswith(train[0].answers[0][0])
    train, _ = squad_data.load(dataclasses.replace(config, train_questions=2))
    assert len(train) == 2
    none = {"text": [], "answer_start": []}
    plausible = {"plausible_answers": none, "is_impossible": False}
    impossible = plausible | {"answers": none, "is_impossible": True}
    rows = [QUESTIONS[0] | plausible, QUESTIONS[1] | impossible]
    write_data(tmp_path, "squad/v2.0", {"train": rows, "validation": rows})
    train, test = squad_data.load(squad.Config(data="v2.0", data_dir=str(tmp_path)))
    assert sorted(len(x.answers) for x in train) == [0, 1]


def test_choices_and_entities_of_tensorflow_datasets_are_read(tmp_path):
    item = {"goal": "g", "sol1": "x", "sol2": "y", "label": 1, "id": "0"}
    write_data(tmp_path, "piqa", {"train": [item], "validation": [item]})
    train, test = choices.piqa(swag.Config(data_dir=str(tmp_path)))
    assert train == test == [("g", ["x", "y"], 1)]
    sentence = {"tokens": ["EU", "rejects"], "ner": ["B-ORG", "O"], "pos": [], "chunks": []}
    write_data(tmp_path, "conll2003", {"train": [sentence], "test": [sentence]})
    train, test = entities.read_conll2003(ner.Config(data_dir=str(tmp_path)))
    assert train == test == [(["EU", "rejects"], ["B-ORG", "O"])]


CONLL = "-DOCSTART- -X- O O\n\nEU NNP B-ORG\nrejects VBZ O\n\nPeter Blackburn\tB-PER\n  \nhe\tO\n"


def test_a_file_of_tokens_and_tags_is_read(tmp_path):
    (tmp_path / "train.txt").write_text(CONLL)
    assert entities.read_file(tmp_path / "train.txt") == [
        (["EU", "rejects"], ["B-ORG", "O"]),
        (["Peter Blackburn"], ["B-PER"]),
        (["he"], ["O"]),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "contains no sentences"),
        ("-DOCSTART- O\n\n", "contains no sentences"),
        ("EU B-ORG\nrejects\n", "line 2: expected a token and a tag .* Found: 'rejects'"),
        ("EU ORG\n", "line 1: expected a token and a tag"),
        (b"\xff\xfe\x00", "cannot be read: 'utf-8' codec"),
    ],
)
def test_a_malformed_file_of_tags_is_refused_with_its_line(content, message, tmp_path):
    path = tmp_path / "train.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SystemExit, match=message):
        entities.read_file(path)


def test_tags_that_the_training_data_lack_are_refused(tmp_path):
    (tmp_path / "train.txt").write_text("EU B-ORG\nis O\n")
    (tmp_path / "test.txt").write_text("Eve B-PER\n")
    files = ["--train_file", str(tmp_path / "train.txt"), "--test_file"]
    arguments = ["--data", "files", *files, str(tmp_path / "test.txt")]
    with pytest.raises(SystemExit, match="tags that the training data lack: B-PER"):
        ner.main(arguments)


def test_a_sentence_ends_at_the_first_word_that_does_not_fit():
    tokenizer = encoders.KINDS["BERT"].tokenizer(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "##m", "##n"]
    )
    backbone = type("Backbone", (), {"input": {"token_ids": 0, "padding_mask": 0}})
    encoder = encoders.TextEncoder("BERT", backbone, tokenizer)
    sentences = [
        (["the", "themn", "the"], ["O", "B-A", "O"]),  # the last one would fit without the second
        ([], []),
        (["the", "them"], ["B-A", "I-A"]),
    ]
    x, places, left_out = entities.pack(encoder, sentences, sequence_length=5)
    assert places == [[1, None, None], [], [1, 2]]
    assert left_out == 2
    assert x["token_ids"].tolist() == [[2, 5, 3, 0, 0], [2, 3, 0, 0, 0], [2, 5, 5, 6, 3]]
    assert x["padding_mask"].sum(1).tolist() == [3, 2, 5]
    labels = entities.label(sentences, places, ["B-A", "I-A", "O"], 5)
    assert labels.tolist() == [[-1, 2, -1, -1, -1], [-1] * 5, [-1, 0, 1, -1, -1]]


SWAG = "sent1,sent2,ending0,ending1,ending2,ending3,label\n"
COPA = (
    '<c><item id="1" asks-for="cause" most-plausible-alternative="2"><p>It fell.</p>'
    '<a1>It flew.</a1><a2>I let go.</a2></item><item id="1001" asks-for="effect" '
    'most-plausible-alternative="1"><p>It rose.</p><a1>It flew.</a1><a2>I fell.</a2></item></c>'
)


def test_files_of_choices_are_read(tmp_path):
    (tmp_path / "train.csv").write_text(f"{SWAG}One.,Two,a,b,c,d,3\n")
    assert choices.read_swag(tmp_path / "train.csv") == [
        ("One.", ["Two a", "Two b", "Two c", "Two d"], 3)
    ]
    item = {"goal": "g", "sol1": "x", "sol2": "y"}
    (tmp_path / "v.jsonl").write_text(json.dumps(item) + "\n")
    (tmp_path / "v-labels.lst").write_text("1\n")
    assert choices.read_piqa(tmp_path / "v.jsonl", tmp_path / "v-labels.lst") == [
        [("g", ["x", "y"], 1)]
    ]
    (tmp_path / "copa.xml").write_text(COPA)
    assert choices.read_copa(tmp_path / "copa.xml") == [
        [
            ("It fell. because", ["It flew.", "I let go."], 1),
            ("It rose. so", ["It flew.", "I fell."], 0),
        ]
    ]


def test_halves_keep_groups_together_and_are_the_same_every_time():
    groups = [[(i, 0), (i, 1)] for i in range(9)]
    first, second = choices.halve(groups)
    assert {i for i, _ in first} & {i for i, _ in second} == set()
    assert len(first) + len(second) == 18
    assert choices.halve(groups) == (first, second)


@pytest.mark.parametrize(
    ("name", "content", "labels", "message"),
    [
        (
            "swag.csv",
            f"{SWAG}One.,Two,a,b,c,d,4\n",
            None,
            r"line 2: expected sent1, .*ValueError..label 4",
        ),
        ("swag.csv", f"{SWAG}One.,Two\n", None, "line 2: expected sent1"),
        ("swag.csv", SWAG, None, "contains no examples"),
        ("p.jsonl", "{}\n", "1\n", "line 1: expected a JSON object with goal"),
        ("p.jsonl", '{"goal": \n', "1\n", "line 1: expected a JSON object with goal"),
        ("p.jsonl", '{"goal": "", "sol1": "", "sol2": ""}\n', "2\n", "line 1: .*label 2"),
        ("p.jsonl", "{}\n{}\n", "1\n", "has 2 lines, .* has 1 labels"),
        ("p.jsonl", "", "", "contains no examples"),
        ("c.xml", "<c><item", None, "is not a COPA file"),
        ("c.xml", COPA.replace("cause", "reason"), None, "is not a COPA file: KeyError"),
    ],
)
def test_malformed_files_of_choices_are_refused(name, content, labels, message, tmp_path):
    path = tmp_path / name
    path.write_text(content)
    paths = [path]
    if labels is not None:
        paths.append(tmp_path / "labels.lst")
        paths[1].write_text(labels)
    read = {"csv": choices.read_swag, "jsonl": choices.read_piqa, "xml": choices.read_copa}
    with pytest.raises(SystemExit, match=message):
        read[name.partition(".")[2]](*paths)


def test_generated_data_are_the_same_every_time_and_differ_by_seed():
    for make in (
        synthetic.acceptability,
        synthetic.similarity,
        synthetic.entities,
        synthetic.continuations,
        synthetic.questions,
    ):
        assert str(make(20, seed=0)) == str(make(20, seed=0))
        assert str(make(20, seed=0)) != str(make(20, seed=1))
    for words, tags in synthetic.entities(200, seed=0):
        assert len(words) == len(tags)
        for before, tag in zip(["O", *tags], tags, strict=False):
            assert tag[0] != "I" or before[1:] == tag[1:]
    for x in synthetic.questions(50, seed=0):
        ((text, start),) = x["answers"]
        assert x["context"][start:].startswith(text)
    assert any(not x["answers"] for x in synthetic.questions(50, 0, unanswerable=0.3))


def test_empty_texts_are_texts():
    tokenizer = encoders.KINDS["BERT"].new_tokenizer(["the old fox"] * 9, 60)
    preprocessor = encoders.KINDS["BERT"].preprocessor(tokenizer, sequence_length=8)
    mask = keras.ops.convert_to_numpy(preprocessor(["", "the fox"])["padding_mask"])
    assert mask.sum(1).tolist() == [2, 4]
