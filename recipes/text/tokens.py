"""Tokenized text in a file: written once, then read from any place on.

The file is a NumPy array of the token ids of all texts, one text after another: 2 bytes a token for
vocabularies of up to 65,536 tokens, 4 bytes for larger ones.
"""

import time

import numpy as np

from recipes.program import files, machine
from recipes.training import streams

PROGRESS_SECONDS = 10  # between two lines on how far the tokenization is


class Examples:
    """Examples of exactly `sequence_length` tokens: `[CLS]`, a piece of the text, `[SEP]`.

    The pieces follow each other without a gap; the rest at the end is dropped. `path` is a file
    that `write` made with `tokenizer`.
    """

    def __init__(self, path, tokenizer, sequence_length):
        ids = np.load(path, mmap_mode="r")
        length = sequence_length - 2
        count = len(ids) // length
        self.pieces = ids[: count * length].reshape(count, length)
        self.start, self.end = tokenizer.start_token_id, tokenizer.end_token_id

    def __len__(self):
        return len(self.pieces)

    def __getitem__(self, numbers):
        """Returns the examples of an array of numbers, `(numbers, sequence_length)`."""
        pieces = self.pieces[numbers].astype("int32")
        return np.pad(pieces, [(0, 0), (1, 1)], constant_values=[(0, 0), (self.start, self.end)])


def write(texts, tokenizer, path, limit=None):
    """Tokenizes a `tf.data.Dataset` of strings into a file, which appears complete or not at all.

    `limit` is the maximum number of tokens, `None` for all.
    """
    dtype = np.dtype("uint16" if tokenizer.vocabulary_size() <= 2**16 else "int32")
    count, told = 0, time.monotonic()
    try:
        with files.replacing(path) as file:
            write_header(file, dtype, 0)
            for ids in iterate(texts, tokenizer, limit):
                file.write(ids.astype(dtype).tobytes())
                count += len(ids)
                if time.monotonic() - told > PROGRESS_SECONDS:
                    print(f"{count:,} tokens of {path.stem} written", flush=True)
                    told = time.monotonic()
            file.seek(0)
            write_header(file, dtype, count)
    except OSError as error:
        raise SystemExit(
            f"The tokens cannot be written to {path}: {error}. They take {dtype.itemsize} bytes "
            "each; --max_examples limits them."
        ) from error


def write_header(file, dtype, count):
    """Writes the header of a NumPy file, which is equally long for every `count`."""
    kind = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False}
    np.lib.format.write_array_header_1_0(file, kind | {"shape": (count,)})


def iterate(texts, tokenizer, limit=None):
    """Yields the token ids of texts, up to `limit` of them, as arrays."""
    batches = texts.batch(256).map(
        lambda batch: tokenizer(batch).flat_values,
        num_parallel_calls=machine.cores(),
        deterministic=True,
    )
    for ids in streams.ready(batches).as_numpy_iterator():
        yield ids[:limit]
        if limit is not None:
            limit -= len(ids[:limit])
            if not limit:
                return


def count_examples(texts, tokenizer, sequence_length, most):
    """Returns how many examples texts fill, up to `most` of them, and reads no more than these."""
    length = sequence_length - 2
    return sum(len(ids) for ids in iterate(texts, tokenizer, most * length)) // length
