"""Text of the Long Range Arena: the film reviews of IMDB, byte by byte."""

from __future__ import annotations

from pathlib import Path

from .digest import with_digest
from .imdb import load_imdb
from .kinds import LabelledSequences, LabelledTexts, Splits
from .sequences import TokenSequences, check_length, cut_in_words

ARENAS = 4096


def load_lra_text(
    folder: Path, validation: float = 2_500, seed: int = 0, length: int = ARENAS
) -> Splits[LabelledSequences]:
    """Reviews as byte + 1, 0 for padding (257 numbers), of each the first `length` bytes of its UTF-8.

    folder : the data folder. validation, seed : as for `load_imdb`. The arena takes the test reviews for validation; here
    validation is held out of train, and test is only scored. Its paper cuts at 4,000 bytes, its code by default at 1,000.
    Another length stands in the name of the set; its source says which share of the reviews was cut.
    Raises ModelError as `load_imdb`, and for a length below 1.
    """
    check_length(length)
    splits = load_imdb(folder, validation, seed)
    texts = [_encoded(part) for part in (splits.train, splits.validation, splits.test)]
    labels = (splits.train.labels, splits.validation.labels, splits.test.labels)
    parts = [
        LabelledSequences(TokenSequences.of_bytes(some, length), which)
        for some, which in zip(texts, labels, strict=True)
    ]
    lengths = [len(text) for some in texts for text in some]
    source = splits.source + cut_in_words(sum(n > length for n in lengths), len(lengths), length)
    return with_digest("lra_text" if length == ARENAS else f"lra_text_cut{length}", parts, source, splits.classes)


def _encoded(part: LabelledTexts) -> list[bytes]:
    return [text.encode("utf-8", errors="surrogatepass") for text in part.texts]
