"""GloVe vectors for the words of a vocabulary, from the text format (packed or not) or an npz file."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .cifar10 import read_npz
from .places import data_folder
from .reading import Reader
from .vocabulary import PAD_ID, WordVocabulary

# In the order of preference: the paper's vectors first. The number stands for the dimension.
_PLACES = (
    ("glove", "glove.840B.300d.zip", 300), ("glove", "glove.840B.300d.txt", 300),
    ("glove6b", "glove.6B.zip", 300), ("glove", "glove.6B.zip", 300), ("glove", "glove.6B.300d.txt", 300),
    ("glove", "glove.6B.50d.txt", 50), ("glove", "glove6B_50d_first2446.npz", 50),
)  # fmt: skip


@dataclass(frozen=True)
class GloveEmbeddings:
    """Vectors for the words of a vocabulary.

    matrix : float32 ``[vocabulary, dimension]``, row 0 (padding) zero. found : bool ``[vocabulary]``, words with a vector of
    their own. token_share, type_share : of the vocabulary's words that are covered, by their count in training and by
    kind. source : name of the file.
    """

    matrix: NDArray[np.float32]
    found: NDArray[np.bool_]
    token_share: float
    type_share: float
    source: str


def find_glove(folder: str | os.PathLike[str] | None = None) -> Path | None:
    """The GloVe file in the data folder, the paper's (840B) first; None if there is none."""
    root = data_folder(folder)
    return next((path for inside, name, _ in _PLACES if (path := root / inside / name).is_file()), None)


def glove_width(file: Path) -> int:
    """Numbers per vector of a file that `find_glove` found, by its name."""
    return next(width for _, name, width in _PLACES if name == file.name)


def glove_embeddings(
    vocabulary: WordVocabulary,
    file: str | os.PathLike[str] | None = None,
    *,
    dimension: int | None = None,
    seed: int = 0,
) -> GloveEmbeddings:
    """Vectors for `vocabulary`.

    file : .txt (also .gz, .xz), .zip, or .npz with `words` and `vectors`; None looks in the data folder. dimension : which
    text of a zip with several (glove.6B.zip holds 50, 100, 200 and 300), and a check otherwise. A word that is not there
    as written is looked up in lower case; one without a vector gets random numbers with the spread of the others, by `seed`.
    Raises ModelError if the file is missing, damaged, has rows of unequal length, or covers no word.
    """
    path = Path(file) if file is not None else find_glove()
    if path is None or not path.is_file():
        where = path if path is not None else data_folder() / "glove"
        raise ModelError(f"no GloVe vectors at {where}; run `astromorphic data fetch glove`, or learn the embedding")
    exact = {word.encode("utf-8"): [number] for number, word in enumerate(vocabulary.words) if number != PAD_ID}
    lowered: dict[bytes, list[int]] = {}
    for number, word in enumerate(vocabulary.words):
        if word != word.lower():
            lowered.setdefault(word.lower().encode("utf-8"), []).append(number)
    wanted = exact.keys() | lowered.keys()
    vectors = dict(_npz_rows(path) if path.suffix.lower() == ".npz" else _text_rows(path, wanted, dimension))
    if not vectors.keys() & wanted:
        raise ModelError(
            f"{path} has a vector for none of the {len(vocabulary)} words; is it the right language and case?"
        )
    width = len(next(iter(vectors.values())))
    if dimension is not None and width != dimension:
        raise ModelError(f"{path} has vectors of {width} numbers, expected {dimension}; name another file or dimension")
    matrix = np.zeros((len(vocabulary), width), dtype=np.float32)
    found = np.zeros(len(vocabulary), dtype=np.bool_)
    # Exact spelling goes before lower case, whatever comes first in the file.
    for table in (exact, lowered):
        for word_bytes, numbers in table.items():
            vector = vectors.get(word_bytes)
            for number in numbers:
                if vector is not None and not found[number]:
                    matrix[number], found[number] = vector, True
    missing = ~found
    missing[PAD_ID] = False
    spread = matrix[found].std()
    matrix[missing] = np.random.default_rng(seed).normal(0.0, spread, (int(missing.sum()), width)).astype(np.float32)
    counts = np.asarray(vocabulary.counts, dtype=np.float64)
    return GloveEmbeddings(
        matrix, found, float(counts[found].sum() / max(counts.sum(), 1.0)), float(found[2:].mean()), path.name
    )


@contextmanager
def _opened(path: Path, dimension: int | None) -> Iterator[IO[bytes]]:
    suffix = path.suffix.lower()
    if suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            texts = [name for name in archive.namelist() if name.endswith(".txt")]
            chosen = [name for name in texts if dimension is None or f".{dimension}d." in name]
            if dimension is None and len(texts) > 1:
                chosen = [name for name in texts if ".300d." in name]
            if len(chosen) != 1:
                raise ModelError(f"{path} holds {', '.join(texts) or 'no text'}; name one of them by its dimension")
            with archive.open(chosen[0]) as stream:
                yield io.BufferedReader(stream)  # type: ignore[arg-type, type-var]
    elif suffix == ".gz":
        with gzip.open(path) as stream:
            yield stream  # type: ignore[misc]
    elif suffix == ".xz":
        with lzma.open(path) as stream:
            yield stream  # type: ignore[misc]
    else:
        with path.open("rb") as stream:
            yield stream


def _text_rows(path: Path, wanted: set[bytes], dimension: int | None) -> Iterator[tuple[bytes, NDArray[np.float32]]]:
    """(word, vector) for the words that are wanted; all others are skipped unread, which is most of the file."""
    seen: set[bytes] = set()
    width = dimension
    try:
        with _opened(path, dimension) as stream:
            for number, line in enumerate(stream, 1):
                word, _, rest = line.rstrip(b"\r\n").partition(b" ")
                if word in seen or word not in wanted:
                    continue
                fields = rest.split(b" ")
                if number == 1 and len(fields) == 1 and fields[0].isdigit():
                    continue  # the header of word2vec's text format
                width = width or len(fields)
                if len(fields) > width:
                    continue  # some entries of 840B hold blanks (". . .", "at name@domain.com")
                try:
                    vector = np.array(fields, dtype=np.float32)
                except ValueError:
                    vector = np.array([np.nan], dtype=np.float32)
                if len(vector) != width or not np.isfinite(vector).all():
                    raise ModelError(
                        f"{path}, line {number}: expected a word and {width} numbers; damaged or cut short, fetch it again"
                    )
                seen.add(word)
                yield word, vector
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        raise ModelError(f"{path} cannot be read ({error}); fetch it again") from None


def _npz_rows(path: Path) -> Iterator[tuple[bytes, NDArray[np.float32]]]:
    arrays = read_npz(Reader(path.parent), path, ("words", "vectors"))
    words, vectors = arrays["words"], arrays["vectors"]
    if words.dtype.kind != "U" or vectors.ndim != 2 or vectors.dtype.kind != "f" or len(words) != len(vectors):
        raise ModelError(
            f"{path}: words {words.dtype} {list(words.shape)} and vectors {vectors.dtype} {list(vectors.shape)}; expected "
            "texts [n] and floating-point numbers [n, dimension]"
        )
    for word, vector in zip(words, vectors, strict=True):
        yield str(word).encode("utf-8"), vector.astype(np.float32)
