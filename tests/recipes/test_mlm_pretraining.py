"""Masked language modelling: the text, the masks, whole runs, continued ones, and mistakes."""

import csv
import json

import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from keras_gimlp import applications
from recipes import fill_masks, mlm_pretraining
from recipes.text import corpus, encoders, masking, pretraining, sentences, tokenizers, tokens
from tests.conftest import everywhere, mostly_once, once

pytestmark = once

SMALL = ("--depth", "1", "--dim", "8", "--ffn_dim", "16", "--vocabulary_size", "60")
SHORT = ("--sequence_length", "12", "--batch_size", "4", "--warmup_steps", "1")
SHORT = (*SMALL, *SHORT, "--steps", "4", "--test_every", "2")
NUMBERS = "one two three four five six seven eight nine ten"
LINES = [f"the {a} fox sees the {b} ship" for a in ("old", "new") for b in ("big", "red")] * 12


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n\n".join(LINES))
    return path


def run(folder, text, *arguments):
    arguments = ["--run_dir", folder, "--files", text, *SHORT, *arguments]
    mlm_pretraining.main([str(argument) for argument in arguments])


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def tokenizer(fresh_state):
    # After the seed is set, at which TensorFlow forgets the models of SentencePiece.
    return applications.gMLPTokenizer(proto=tokenizers.sentence_piece_model(LINES, 60))


@everywhere
@pytest.mark.parametrize(
    "arguments",
    [("--model", "gMLP"), ("--model", "aMLP", "--attention_dim", "4"), ("--model", "BERT")],
)
def test_every_model_is_pretrained(arguments, text, tmp_path):
    run(tmp_path, text, *arguments)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("config.json", "tokenizer.model", "metrics.csv", "checkpoint-2.npz"),
        *("curves.png", "preset", "summary.json", "run.lock"),
    }
    first, second = rows(tmp_path)
    assert float(second["val_perplexity"]) == pytest.approx(np.exp(float(second["val_loss"])))
    assert float(first["tokens_per_second"]) > 0
    assert float(first["learning_rate"]) == pytest.approx(3e-3 * 2 / 3, rel=1e-5)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["test_perplexity"] == float(second["val_perplexity"])


def test_a_run_shorter_than_its_warmup_and_its_first_test_says_so_and_works(text, tmp_path, capsys):
    run(tmp_path, text, "--steps", "3", "--test_every", "50", "--warmup_steps", "10")
    assert "Warm-up takes 1 of the run's 3 updates, instead of 10." in capsys.readouterr().out
    assert [row["epoch"] for row in rows(tmp_path)] == ["0"]


# KerasHub compiles what it loads, and misses the optimizer's state in the file. It leaves the file
# of the vocabulary open, the interrupted run that of its metrics.
@everywhere
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_a_killed_run_goes_on_where_it_was_and_its_preset_fills_masks(text, tmp_path, monkeypatch):
    arguments = ("--dropout", "0.1")
    run(tmp_path / "whole", text, *arguments)
    told = pretraining.Perplexity.on_epoch_end

    def killed(self, epoch, logs=None):
        if epoch == 1:
            raise SystemExit("killed")
        told(self, epoch, logs)

    monkeypatch.setattr(pretraining.Perplexity, "on_epoch_end", killed)
    with pytest.raises(SystemExit, match="killed"):
        run(tmp_path / "killed", text, *arguments)
    monkeypatch.setattr(pretraining.Perplexity, "on_epoch_end", told)
    # A continued run reads the tokens that are there, however far it came.
    monkeypatch.setattr(tokens, "write", None)
    run(tmp_path / "killed", text, *arguments)
    states = [
        np.load(tmp_path / name / "checkpoint-2.npz").values() for name in ("whole", "killed")
    ]
    for expected, got in zip(*states, strict=True):
        np.testing.assert_array_equal(got, expected)

    task = keras_hub.models.MaskedLM.from_preset(str(tmp_path / "killed" / "preset"))
    assert isinstance(task, applications.gMLPMaskedLM)
    x, _, _ = task.preprocessor(["the old fox sees the red ship"])
    task.preprocessor = None
    assert task.predict_on_batch(x).shape[-1] == task.backbone.vocabulary_size


@pytest.mark.slow
@everywhere
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
@pytest.mark.parametrize(
    "arguments",
    mostly_once(
        [
            # Also of what KerasHub alone does not load again.
            "--precision mixed_bfloat16",
            "--precision mixed_bfloat16 --model BERT",
            "--spatial dense",
            "--model AFT",
            "--model Transformer",
        ],
        "--precision mixed_bfloat16",
        "--model AFT",
    ),
)
def test_masks_are_filled_by_what_was_learnt(arguments, tmp_path, capsys):
    path = tmp_path / "text.txt"
    path.write_text(f"{NUMBERS}\n" * 100)
    # One token a word.
    words = tokenizers.sentence_piece_model([NUMBERS] * 100 + NUMBERS.split() * 50, 40)
    (tmp_path / "words.model").write_bytes(words)
    learning = ("--dim", "32", "--ffn_dim", "128", "--steps", "100", "--test_every", "100")
    learning = (*learning, "--learning_rate", "0.01", *arguments.split())
    run(tmp_path / "run", path, "--tokenizer", tmp_path / "words.model", *learning)
    texts = (NUMBERS.replace("three", "[MASK]").replace("seven", "[MASK]"), "no mask")
    preset = str(tmp_path / "run" / "preset")
    capsys.readouterr()
    fill_masks.main(["--preset", preset, "--texts", texts[0], "--top", "3"])
    text, first, second = capsys.readouterr().out.splitlines()
    assert text == texts[0]
    assert [line.split()[0] for line in (first, second)] == ["three", "seven"]
    assert 0.3 < float(first.split()[1].rstrip(",")) <= 1
    with pytest.raises(SystemExit, match=r"There is no \[MASK\] in the text: 'no mask'"):
        fill_masks.main(["--preset", preset, "--texts", texts[1]])
    with pytest.raises(SystemExit, match="The text has 14 tokens, the model takes 12"):
        fill_masks.main(["--preset", preset, "--texts", "one two [MASK] " * 4])


def test_what_follows_a_mask_without_a_space_is_tokenized_so():
    word_pieces = encoders.KINDS["BERT"].tokenizer
    tokenizer = word_pieces(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", ".", "##b"])
    for text, expected in ((".", [6]), (" .", [6]), ("b", [7]), (" a.", [5, 6]), ("", [])):
        assert sentences.tokens(tokenizer, text, after_word=True) == expected
    assert sentences.tokens(tokenizer, "a ") == [5]


def test_a_preset_that_is_none_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="--preset cannot be loaded"):
        fill_masks.main(["--preset", str(tmp_path), "--texts", "[MASK]"])


def write_examples(path, tokenizer, lines=LINES, limit=None):
    texts = tf.data.Dataset.from_tensor_slices(lines)
    tokens.write(texts, tokenizer, path, limit)
    return tokens.Examples(path, tokenizer, 12)


def test_a_text_is_packed_without_gaps(tokenizer, tmp_path):
    found = write_examples(tmp_path / "tokens.npy", tokenizer)
    examples = found[np.arange(len(found))]
    ids = [token for line in LINES for token in np.asarray(tokenizer(line)).tolist()]
    assert examples.shape == (len(ids) // 10, 12)
    assert set(examples[:, 0]) == {tokenizer.start_token_id}
    assert set(examples[:, -1]) == {tokenizer.end_token_id}
    assert examples[:, 1:-1].ravel().tolist() == ids[: examples[:, 1:-1].size]
    kept = np.load(tmp_path / "tokens.npy", mmap_mode="r")
    assert kept.dtype == "uint16"
    assert kept.tolist() == ids
    few = write_examples(tmp_path / "few.npy", tokenizer, limit=25)
    np.testing.assert_array_equal(few[np.arange(len(few))], examples[:2])
    assert len(np.load(tmp_path / "few.npy")) == 25
    assert {path.name for path in tmp_path.iterdir()} == {"tokens.npy", "few.npy"}


def test_examples_are_counted_without_reading_the_whole_text(tokenizer):
    read = []

    def lines():
        for number in range(10_000):
            read.append(number)
            yield LINES[0]

    texts = tf.data.Dataset.from_generator(lines, output_signature=tf.TensorSpec((), tf.string))
    assert tokens.count_examples(texts, tokenizer, 12, most=7) == 7
    assert len(read) < 10_000
    few = len(tokenizer(LINES[0])) // 10
    assert tokens.count_examples(texts.take(1), tokenizer, 12, most=7) == few < 7


def test_tokens_that_cannot_be_written_end_in_one_sentence(tokenizer, tmp_path):
    with pytest.raises(SystemExit, match="(?s)The tokens cannot be written to .* 2 bytes each"):
        write_examples(tmp_path / "nowhere" / "tokens.npy", tokenizer)


def identity(number, ids):
    return number, ids


class Counted:
    """Examples whose content is their number, and which know which of them were read."""

    def __init__(self, size):
        self.size = size
        self.read = []

    def __len__(self):
        return self.size

    def __getitem__(self, numbers):
        self.read += numbers.tolist()
        return np.repeat(numbers[:, None], 3, axis=1).astype("int32")


def test_training_starts_anywhere_without_reading_what_comes_before():
    def ids(examples, first_step, count):
        batches = masking.training_batches(
            examples, identity, seed=3, batch_size=4, first_step=first_step
        )
        found = batches.take(count).as_numpy_iterator()
        numbers, ids = map(np.concatenate, zip(*found, strict=True))
        assert numbers.tolist() == list(range(4 * first_step, 4 * (first_step + count)))
        return ids[:, 0]

    whole = ids(Counted(30), 0, 15)
    np.testing.assert_array_equal(ids(Counted(30), 9, 6), whole[36:])
    # Pass after pass, each of them all examples in an order of its own.
    first, second = whole[:30], whole[30:60]
    assert sorted(first) == sorted(second) == list(range(30))
    assert first.tolist() != second.tolist() != list(range(30))
    late = Counted(10**9)
    ids(late, 10**10, 3)
    assert len(late.read) < 1000


def test_tests_are_counted_without_being_read():
    examples = Counted(10)
    batches = masking.test_batches(examples, identity, batch_size=4)
    assert int(batches.cardinality()) == 3
    assert not examples.read
    numbers, _, weights = map(np.stack, zip(*batches.as_numpy_iterator(), strict=True))
    assert numbers.ravel()[:10].tolist() == list(range(10))
    # The last batch is full, and what fills it counts nothing. The others have a mean of 1.
    np.testing.assert_allclose(weights[..., 0].ravel(), [1.2] * 10 + [0] * 2)


def test_masks_follow_the_rule_and_depend_on_seed_and_number_alone(tokenizer):
    names = ("token_ids", "padding_mask", "segment_ids")
    mask = masking.masking(tokenizer, 102, 0.15, seed=0, names=names)
    word = tokenizer.vocabulary_size() - 1
    ids = tf.constant([tokenizer.start_token_id, *[word] * 100, tokenizer.end_token_id])
    shown, positions = [], []
    for number in range(400):
        x, y = mask(tf.constant(number, tf.int64), ids)
        assert x.keys() == {*names, "mask_positions"}
        assert (y.numpy() == word).all()
        places = x["mask_positions"].numpy()
        assert len(set(places)) == 15
        left = np.delete(x["token_ids"].numpy(), places)
        np.testing.assert_array_equal(left, np.delete(ids.numpy(), places))
        shown.append(x["token_ids"].numpy()[places])
        positions.append(places)
    shown = np.concatenate(shown)
    special = set(tokenizer.special_token_ids)
    masked = shown == tokenizer.mask_token_id
    assert masked.mean() == pytest.approx(0.8, abs=0.02)
    assert ((shown != word) & ~masked).mean() == pytest.approx(0.1, abs=0.02)
    assert not set(shown[~masked]) & special
    # Every place but the first and the last comes as often as the others.
    counts = np.bincount(np.concatenate(positions), minlength=102)
    assert counts[0] == counts[101] == 0
    assert counts[1:101].min() > 30
    again, _ = mask(tf.constant(399, tf.int64), ids)
    np.testing.assert_array_equal(again["mask_positions"], positions[-1])
    other = masking.masking(tokenizer, 102, 0.15, seed=1, names=names)
    x, _ = other(tf.constant(399, tf.int64), ids)
    assert (x["mask_positions"].numpy() != positions[-1]).any()


def test_a_tokenizer_is_used_again(text, tmp_path, tokenizer):
    (tmp_path / "own.model").write_bytes(tokenizer.proto)
    run(tmp_path / "run", text, "--tokenizer", tmp_path / "own.model")
    kept = (tmp_path / "run" / "tokenizer.model").read_bytes()
    assert kept == (tmp_path / "own.model").read_bytes()


def test_test_files_are_tested_on(text, tmp_path):
    (tmp_path / "test.txt").write_text("the old fox sees the red ship\n" * 20)
    config = mlm_pretraining.Config(files=(str(text),), test_files=(str(tmp_path / "test.txt"),))
    data = corpus.load(config)
    assert len(list(data.train)) == len(LINES)
    assert len(list(data.test)) == 20
    parts = corpus.load(mlm_pretraining.Config(files=(str(text),), held_out=0.25))
    lines = [
        line.decode() for part in (parts.train, parts.test) for line in part.as_numpy_iterator()
    ]
    assert lines == LINES
    assert len(list(parts.test)) == len(LINES) // 4


def test_the_default_text_is_prose_that_python_carries():
    data = corpus.load(mlm_pretraining.Config())
    assert sum(len(line) for line in data.train.as_numpy_iterator()) > 100_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mask_rate", "1"], "--mask_rate must be above 0 and below 1. Received: 1.0"),
        (["--sequence_length", "2"], "--sequence_length must be at least 3. Received: 2"),
        (["--learning_rate", "-1"], "--learning_rate must be above 0. Received: -1.0"),
        (["--max_examples", "0"], "--max_examples must be at least 1. Received: 0"),
        (["--test_every", "3"], "--steps must be a multiple of --test_every"),
        (["--warmup_steps", "-1"], "--warmup_steps must be at least 0. Received: -1"),
        (["--model", "aMLP"], "aMLP requires --attention_dim, and the other models do not take it"),
        (["--held_out", "0"], "--held_out must be above 0 and below 1. Received: 0.0"),
        (
            ["--batch_size", "5000"],
            "The training text fills .* examples of 12 tokens; at least",
        ),
        (["--tokenizer", "nowhere"], "--tokenizer cannot be read"),
        (["--dim", "0"], "--dim must be at least 1. Received: 0"),
        (["--ffn_dim", "7"], "gMLP cannot be built: "),
    ],
)
def test_mistakes_end_in_one_sentence(arguments, message, text, tmp_path):
    with pytest.raises(SystemExit, match=message):
        run(tmp_path, text, *arguments)
    assert not list(tmp_path.iterdir())  # so that the corrected command finds its folder free


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\xff\xfe\x00\x01", "cannot be read as text: 'utf-8' codec"),
        (b"text\0text", "contains NUL characters"),
        (b"one line", "A text of 1 lines is too short"),
        (None, "cannot be read"),
    ],
)
def test_files_that_are_no_text_are_refused(content, message, tmp_path):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit, match=message):
        corpus.load(mlm_pretraining.Config(files=(str(path),)))


def test_a_tokenizer_that_is_none_is_refused(text, tmp_path):
    (tmp_path / "own.model").write_bytes(b"no model")
    with pytest.raises(SystemExit, match="--tokenizer must be a SentencePiece model"):
        run(tmp_path / "run", text, "--tokenizer", tmp_path / "own.model")


def test_published_configurations_have_the_papers_sizes():
    for name, (depth, dim, ffn_dim, attention_dim) in {
        "gmlp_base": (48, 512, 3072, None),
        "gmlp_large": (96, 768, 3072, None),
        "gmlp_xlarge": (144, 1024, 4096, None),
        "amlp_base": (36, 512, 3072, 64),
        "amlp_large": (72, 768, 3072, 128),
    }.items():
        config = mlm_pretraining.CONFIGURATIONS[name]
        sizes = (config.depth, config.dim, config.ffn_dim, config.attention_dim)
        assert sizes == (depth, dim, ffn_dim, attention_dim)
        assert (config.sequence_length, config.batch_size, config.steps) == (512, 256, 1_000_000)
