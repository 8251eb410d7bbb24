"""Associative retrieval, byte by byte: does the second text repeat what the first says under a key? Ours, not of any arena.

The first text holds records ``#key=value;`` at random places between letters and blanks, keys and values without repetition;
the second holds one of its keys with a value. In half of the pairs that is the key's own value, in the other half another
record's: every key and value of the second text stands in the first, so that only their association tells.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .digest import with_digest
from .integers import IntegerStream, check_seed, stream_key
from .kinds import LabelledSequences, Splits
from .sequences import TokenSequences, check_length

CLASSES = ("other", "same")
KEY_LETTERS, VALUE_DIGITS = 2, 2
_RECORD = KEY_LETTERS + VALUE_DIGITS + 3
_FILLER = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz      ", dtype=np.uint8)
_POWERS = {26: np.array([26, 1]), 10: np.array([10, 1])}


def load_associative_retrieval(
    train: int = 20_000,
    validation: int = 2_000,
    test: int = 2_000,
    seed: int = 0,
    length: int = 1000,
    records: int = 8,
    joined: bool = False,
) -> Splits[LabelledSequences]:
    """Pairs of texts of `length` bytes each, as byte + 1 (257 numbers); the same bytes from the same seed everywhere.

    records : of the first text. joined : the two texts as one sequence of 2 `length` bytes, for networks that read one.
    Raises ModelError for sizes below 1, and for a length in which the records cannot stand.
    """
    check_seed(seed)
    check_length(length)
    if isinstance(records, bool) or not isinstance(records, int) or not 2 <= records <= 100:
        raise ModelError(f"records is {records!r}; expected a whole number from 2 to 100, the values that there are")
    if length < records * _RECORD:
        raise ModelError(f"length is {length}; expected at least {records * _RECORD}, {_RECORD} bytes for each record")
    if not isinstance(joined, bool):
        raise ModelError(f"joined is {joined!r}; expected True or False")
    sizes = (("train", train), ("validation", validation), ("test", test))
    for name, size in sizes:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ModelError(f"{name} is {size!r}; expected a whole number of pairs of at least 1")
    parts = []
    for name, size in sizes:
        first, second, labels = _pairs(
            IntegerStream(stream_key("associative_retrieval", seed, name)), size, length, records
        )
        if joined:
            parts.append(LabelledSequences(_sequences(np.concatenate([first, second], axis=1)), labels))
        else:
            parts.append(LabelledSequences(_sequences(first), labels, _sequences(second)))
    name = "associative_retrieval"
    return with_digest(name, parts, "generated here", CLASSES)


def _sequences(texts: NDArray[np.uint8]) -> TokenSequences:
    count, length = texts.shape
    return TokenSequences.from_lengths(texts.reshape(-1), np.full(count, length), 257, length, shift=1)


def _pairs(
    stream: IntegerStream, count: int, length: int, records: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
    """Two texts uint8 ``[count, length]`` and the labels ``[count]``."""
    first, second = (_FILLER[stream.below(len(_FILLER), count * length)].reshape(count, length) for _ in range(2))
    labels = stream.below(2, count)
    keys = _without_repetition(stream, count, records, 26**KEY_LETTERS)
    values = _without_repetition(stream, count, records, 10**VALUE_DIGITS)
    asked, shown = stream.below(records, count), 1 + stream.below(records - 1, count)
    # Another record's value: one of the others, counted on from the record that is asked for.
    shown = np.where(labels == 1, asked, (asked + shown) % records)
    row = np.arange(count)
    _write(first, keys, values, _places(stream, count, records, length))
    _write(second, keys[row, asked, None], values[row, shown, None], _places(stream, count, 1, length))
    return first, second, labels


def _without_repetition(stream: IntegerStream, rows: int, columns: int, of: int) -> NDArray[np.int64]:
    """``[rows, columns]`` numbers below `of`, all of a row different: the first columns of a shuffle (Fisher and Yates)."""
    pool = np.tile(np.arange(of, dtype=np.int16), (rows, 1))
    row = np.arange(rows)
    for i in range(columns):
        chosen = i + stream.below(of - i, rows)
        pool[row, i], pool[row, chosen] = pool[row, chosen], pool[row, i]
    return pool[:, :columns].astype(np.int64)


def _places(stream: IntegerStream, rows: int, records: int, length: int) -> NDArray[np.int64]:
    """Where the records begin ``[rows, records]``, rising and not overlapping."""
    free = length - records * _RECORD
    gaps = np.sort(stream.below(free + 1, rows * records).reshape(rows, records), axis=1)
    return gaps + _RECORD * np.arange(records)


def _write(
    text: NDArray[np.uint8], keys: NDArray[np.int64], values: NDArray[np.int64], places: NDArray[np.int64]
) -> None:
    key = keys[..., None] // _POWERS[26] % 26 + ord("a")
    value = values[..., None] // _POWERS[10] % 10 + ord("0")
    sign = [np.full((*keys.shape, 1), ord(one)) for one in "#=;"]
    record = np.concatenate([sign[0], key, sign[1], value, sign[2]], axis=-1)
    where = places[..., None] + np.arange(_RECORD)
    text[np.arange(len(text))[:, None, None], where] = record
