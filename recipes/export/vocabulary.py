"""The tokenizer of a text model, for programs that have no Keras."""

SAMPLE = "An example of what a text becomes."


def write(model, path):
    """Writes what a model's tokenizer has learned into the folder `path.tokenizer`, if it has one.

    That is the vocabulary as the tokenizer's kind is stored everywhere: a file of words, of words
    and merges, or a SentencePiece model.
    """
    preprocessor = getattr(model, "preprocessor", None)
    if preprocessor is not None:
        folder = folder_of(path)
        folder.mkdir()
        preprocessor.tokenizer.save_assets(str(folder))


def folder_of(path):
    return path.with_name(f"{path.name}.tokenizer")


def describe(model, path):
    """Returns what has to be done with a text, `None` where that is not known.

    Args:
        model: The Keras model.
        path: Path of the exported file.
    """
    preprocessor = getattr(model, "preprocessor", None)
    if preprocessor is None:
        return None
    tokenizer = preprocessor.tokenizer
    if not preprocessor.built:
        preprocessor.build(None)
    token_ids, _ = preprocessor.packer((tokenizer([SAMPLE]),))
    settings = tokenizer.get_config()
    return {
        "tokenizer": type(tokenizer).__name__,
        "files": folder_of(path).name,
        "lowercase": settings.get("lowercase"),
        "special_tokens": {x: tokenizer.token_to_id(x) for x in tokenizer.special_tokens},
        "vocabulary_size": tokenizer.vocabulary_size(),
        "sequence_length": preprocessor.sequence_length,
        "example": {
            "text": SAMPLE,
            "token_ids": [int(x) for x in token_ids[0] if x != tokenizer.pad_token_id],
        },
    }
