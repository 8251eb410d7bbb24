"""Text of the Long Range Arena: the film reviews of IMDB, byte by byte."""

from __future__ import annotations

from pathlib import Path

from .digest import with_digest
from .imdb import load_imdb
from .kinds import LabelledSequences, LabelledTexts, Splits
from .sequences import TokenSequences, check_length


def load_lra_text(
    folder: Path, validation: float = 2_500, seed: int = 0, length: int = 4096
) -> Splits[LabelledSequences]:
    """Reviews as byte + 1, 0 for padding (257 numbers), of each the first `length` bytes of its UTF-8.

    folder : the data folder. validation, seed : as for `load_imdb`. The arena takes the test reviews for validation; here
    validation is held out of train, and test is only scored. Its paper cuts at 4,000 bytes, its code by default at 1,000.
    Raises ModelError as `load_imdb`, and for a length below 1.
    """
    check_length(length)
    splits = load_imdb(folder, validation, seed)
    parts = tuple(_bytes(part, length) for part in (splits.train, splits.validation, splits.test))
    return with_digest("lra_text", parts, splits.source, splits.classes)


def _bytes(part: LabelledTexts, length: int) -> LabelledSequences:
    texts = (text.encode("utf-8", errors="surrogatepass") for text in part.texts)
    return LabelledSequences(TokenSequences.of_bytes(texts, length), part.labels)
