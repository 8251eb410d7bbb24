"""Corpora that are token numbers already, read in place: Megatron's .bin with its .idx, .npy, and bare .bin of a named dtype.

Nothing is loaded whole: tokens are a read-only memory map, and a training block is the few pages it lies in. Format of the
index (NVIDIA/Megatron-LM, IndexedDataset; EleutherAI/gpt-neox and RWKV's binidx write the same): magic ``MMIDIDX\\0\\0``, version
1 (uint64), dtype code (uint8), numbers of sequences and of document marks (uint64 each), then the lengths of the sequences
(int32), where each begins in the .bin (int64, bytes) and which sequence each document begins with (int64), all little-endian.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError

MAGIC = b"MMIDIDX\x00\x00"
_HEADER = struct.Struct("<9sQBQQ")
# Code 6 and 7 are floating point, in different orders in different projects, and no tokens.
DTYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 8: "uint16"}
BARE_DTYPES = ("uint8", "uint16", "uint32", "int32", "int64")
SUFFIXES = (".bin", ".idx", ".npy")
# Of a larger file so many evenly spread pieces are hashed: all of it would take longer than a day for the largest corpora.
_WHOLE, _PIECES, _PIECE = 64 * 2**20, 1024, 65_536
_ROWS = 2**20


@dataclass(frozen=True)
class TokenFile:
    """`tokens`, an integer memory map ``[n]``, and where documents begin.

    starts : int64 ``[documents + 1]``, the last one is n; a single document where the file knows none. digest : sha256 over
    dtype, number and content, of files above 64 MiB over 1,024 evenly spread pieces of 64 KiB (and the index likewise).
    """

    path: Path
    tokens: NDArray[Any]
    starts: NDArray[np.int64]
    digest: str

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def n_documents(self) -> int:
        return len(self.starts) - 1

    def document(self, index: int) -> NDArray[Any]:
        """Tokens of one document; IndexError beyond the last."""
        if not 0 <= index < self.n_documents:
            raise IndexError(f"document {index} of {self.n_documents}")
        return self.tokens[self.starts[index] : self.starts[index + 1]]


def is_token_file(path: Path) -> bool:
    """By its name: .npy, .idx, .bin."""
    return path.suffix.lower() in SUFFIXES


def open_tokens(path: str | os.PathLike[str], dtype: str | None = None) -> TokenFile:
    """Open ``x.bin`` or ``x.idx`` (a pair), ``x.npy`` (one dimension of integers), or with `dtype` a bare ``x.bin``.

    Raises ModelError for a file that is missing, cut short, too long, of another format, or no whole numbers.
    """
    file = Path(path).expanduser()
    if dtype is not None and dtype not in BARE_DTYPES:
        raise ModelError(f"dtype is {dtype!r}; expected one of {', '.join(BARE_DTYPES)}")
    if not is_token_file(file):
        raise ModelError(f"{file} is no file of tokens by its name; expected .npy, or .bin with .idx beside it")
    if file.suffix.lower() == ".npy":
        if dtype is not None:
            raise ModelError(f"{file} says itself what its numbers are; leave out dtype={dtype}")
        return _npy(_there(file))
    data, index = file.with_suffix(".bin"), file.with_suffix(".idx")
    if index.is_file():
        if dtype is not None:
            raise ModelError(f"{index} says what the numbers of {data.name} are; leave out dtype={dtype}")
        return _indexed(_there(data), index)
    if dtype is None:
        raise ModelError(
            f"{index} is not there; put the index beside {data.name}, name the numbers of a bare file with dtype=uint16, or "
            "train on its bytes with the task text_file"
        )
    return _bare(_there(data), dtype)


def _there(file: Path) -> Path:
    if not file.is_file():
        raise ModelError(f"{file} is not there; correct the path")
    if not file.stat().st_size:
        raise ModelError(f"{file} is empty; write it again")
    return file


def _npy(file: Path) -> TokenFile:
    try:
        tokens = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ModelError(
            f"{file} is no array that can be mapped ({' '.join(str(error).split())[:120]}); save it again with numpy.save"
        ) from None
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
        raise ModelError(f"{file} holds {tokens.dtype} of shape {tokens.shape}; expected whole numbers [tokens]")
    if not isinstance(tokens, np.memmap) or not len(tokens):
        raise ModelError(f"{file} holds no token; write it again")
    if file.stat().st_size != tokens.offset + tokens.nbytes:
        raise ModelError(
            f"{file} has {file.stat().st_size:,} bytes, its header says {tokens.offset + tokens.nbytes:,}; write it again"
        )
    return _token_file(file, tokens, None, b"")


def _bare(file: Path, dtype: str) -> TokenFile:
    width = np.dtype(dtype).itemsize
    if file.stat().st_size % width:
        raise ModelError(f"{file} has {file.stat().st_size:,} bytes, no whole number of {dtype}; correct dtype")
    return _token_file(file, np.memmap(file, dtype=f"<{np.dtype(dtype).str[1:]}", mode="r"), None, b"")


def _indexed(data: Path, index: Path) -> TokenFile:
    _there(index)
    size = index.stat().st_size
    with index.open("rb") as stream:
        head = stream.read(_HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(MAGIC):
        raise ModelError(
            f"{index} begins with {head[:9]!r}; expected {MAGIC!r}, the index of Megatron's indexed data set"
        )
    _, version, code, sequences, marks = _HEADER.unpack(head)
    if version != 1:
        raise ModelError(f"{index} is of version {version}; expected 1")
    if code not in DTYPES:
        raise ModelError(f"{index} has dtype code {code}; expected whole numbers: {DTYPES}".replace("'", ""))
    expected = _HEADER.size + 12 * sequences + 8 * marks
    # Of several modalities the index has one byte more for each sequence.
    if size not in (expected, expected + sequences):
        raise ModelError(
            f"{index} has {size:,} bytes; expected {expected:,} for {sequences:,} sequences and {marks:,} document marks: it is "
            "cut short or damaged, write it again"
        )
    if not sequences:
        raise ModelError(f"{index} lists no sequence; write it again")
    lengths = np.memmap(index, dtype="<i4", mode="r", offset=_HEADER.size, shape=(sequences,))
    begins = np.memmap(index, dtype="<i8", mode="r", offset=_HEADER.size + 4 * sequences, shape=(sequences,))
    first = (
        np.memmap(index, dtype="<i8", mode="r", offset=_HEADER.size + 12 * sequences, shape=(marks,))
        if marks
        else np.array([0, sequences])
    )
    width = np.dtype(DTYPES[code]).itemsize
    total = _check_sequences(index, lengths, begins, width)
    if data.stat().st_size != total * width:
        raise ModelError(
            f"{data} has {data.stat().st_size:,} bytes; expected {total * width:,}, {total:,} tokens of {DTYPES[code]} as "
            f"{index.name} lists them: it is cut short or of another index"
        )
    if not total:
        raise ModelError(f"{index} lists no token; write it again")
    if first[0] != 0 or first[-1] != sequences or (len(first) > 1 and bool((np.diff(first) < 0).any())):
        raise ModelError(
            f"{index}: the documents begin with sequence {first[0]} and end with {first[-1]}; expected 0 to {sequences}, none "
            "before the one before it"
        )
    starts = np.append(begins[np.asarray(first[:-1])] // width, total).astype(np.int64)
    tokens = np.memmap(data, dtype=f"<{np.dtype(DTYPES[code]).str[1:]}", mode="r", shape=(total,))
    return _token_file(data, tokens, starts, _sampled(index).digest())


def _check_sequences(index: Path, lengths: NDArray[Any], begins: NDArray[Any], width: int) -> int:
    """Tokens in all; ModelError unless every sequence begins where the one before it ended."""
    total = 0
    for row in range(0, len(lengths), _ROWS):
        part = np.asarray(lengths[row : row + _ROWS], dtype=np.int64)
        if part.min() < 0:
            raise ModelError(f"{index}: sequence {row + int(part.argmin())} has length {part.min()}; write it again")
        ends = total + np.cumsum(part)
        wrong = np.flatnonzero(begins[row : row + _ROWS] != (ends - part) * width)
        if wrong.size:
            raise ModelError(
                f"{index}: sequence {row + wrong[0]} begins at byte {begins[row + wrong[0]]}; expected "
                f"{int((ends - part)[wrong[0]]) * width}, the end of the one before it, so that tokens are one stream"
            )
        total = int(ends[-1])
    return total


def _token_file(file: Path, tokens: NDArray[Any], starts: NDArray[np.int64] | None, index: bytes) -> TokenFile:
    digest = _sampled(file)
    digest.update(f"{tokens.dtype.str} {len(tokens)}".encode() + index)
    bounds = np.array([0, len(tokens)], dtype=np.int64) if starts is None else starts
    return TokenFile(file, tokens, bounds, digest.hexdigest())


def _sampled(file: Path) -> Any:
    digest = hashlib.sha256()
    size = file.stat().st_size
    digest.update(str(size).encode())
    with file.open("rb") as stream:
        if size <= _WHOLE:
            while part := stream.read(2**20):
                digest.update(part)
        else:
            for piece in range(_PIECES):
                stream.seek((size - _PIECE) * piece // (_PIECES - 1))
                digest.update(stream.read(_PIECE))
    return digest


def held_out_parts(file: TokenFile, held_out: int | None = None) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """(train, validation, test): the last two are the last `held_out` tokens each, by default a twentieth, at most 1,000,000.

    The stream is cut by position, wherever documents begin. Raises ModelError if nothing would be left to train on.
    """
    n = len(file)
    size = min(n // 20, 1_000_000) if held_out is None else held_out
    if isinstance(size, bool) or not isinstance(size, int) or not 0 < size < n / 2:
        raise ModelError(
            f"held_out is {size!r} of the {n:,} tokens of {file.path.name}; expected 1 to {max(1, (n - 1) // 2):,}"
        )
    return file.tokens[: n - 2 * size], file.tokens[n - 2 * size : n - size], file.tokens[n - size :]
