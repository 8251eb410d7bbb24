"""Data sets: what they are, where they come from, how they are read and turned into numbers. No network is built here.

    splits = models.data.load("imdb")                                       # texts, images or bytes, in three splits
    vocabulary = models.data.WordVocabulary.build(splits.train.texts, size=30_000)
    encoded = vocabulary.encode_many(splits.train.texts).truncated(400)     # one flat array and offsets
    order = models.data.epoch_order(encoded.lengths, 64, seed=0, epoch=0)   # texts of similar length in one batch
    ids, mask = models.data.padded([encoded[i] for i in order[:64]], vocabulary.pad_id)

`kinds` holds the shapes that data have when they reach a task: labelled texts, images and sequences, plain text. Importing
this package loads neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batches import padded
    from .encoded import EncodedTexts
    from .fetching import fetch
    from .glove import glove_embeddings
    from .images import Augmentation
    from .kinds import LabelledImages, LabelledSequences, LabelledTexts, Splits
    from .loading import load
    from .order import epoch_order, padding_share
    from .plain_text import wikitext_words
    from .subwords import GPT2Tokenizer
    from .vocabulary import WordVocabulary

__all__ = [
    "Augmentation",
    "EncodedTexts",
    "GPT2Tokenizer",
    "LabelledImages",
    "LabelledSequences",
    "LabelledTexts",
    "Splits",
    "WordVocabulary",
    "epoch_order",
    "fetch",
    "glove_embeddings",
    "load",
    "padded",
    "padding_share",
    "wikitext_words",
]

_WHERE = {
    "Augmentation": "images",
    "EncodedTexts": "encoded",
    "GPT2Tokenizer": "subwords",
    "LabelledImages": "kinds",
    "LabelledSequences": "kinds",
    "LabelledTexts": "kinds",
    "padded": "batches",
    "Splits": "kinds",
    "WordVocabulary": "vocabulary",
    "epoch_order": "order",
    "fetch": "fetching",
    "glove_embeddings": "glove",
    "load": "loading",
    "padding_share": "order",
    "wikitext_words": "plain_text",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
