"""WikiText's words as running text again, for encodings that were made for such text."""

from __future__ import annotations

import re

# What the corpus did: separators inside numbers and words, blanks around signs and within brackets and quotation marks.
_PLAIN = (
    ("s '", "s'"), (" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."),
    (" : ", ": "), (" ; ", "; "), (" . ", ". "), (" ! ", "! "), (" ? ", "? "), (" , ", ", "),
)  # fmt: skip
_PAIRS = tuple(
    (re.compile(pattern), kept)
    for pattern, kept in (
        (r"\(\s*([^\)]*?)\s*\)", r"(\1)"),
        (r"\[\s*([^\]]*?)\s*\]", r"[\1]"),
        (r"\{\s*([^\}]*?)\s*\}", r"{\1}"),
        (r"\"\s*([^\"]*?)\s*\"", r'"\1"'),
        (r"'\s*([^']*?)\s*'", r"'\1'"),
    )
)
_AFTER = (("= = = =", "===="), ("= = =", "==="), ("= =", "=="), (" ° ", "°"), (" 's", "'s"))


def detokenised(text: str) -> str:
    """`text` without WikiText's blanks and marks, line by line; blanks at the ends of lines go.

    The rules are those of Megatron-LM's and lm-evaluation-harness's wikitext_detokenizer, but a bracket or quotation mark is
    closed on its own line (there it may run through a whole article), and a lone N stays N (there it becomes 1).
    """
    return "\n".join(_line(line) for line in text.split("\n"))


def _line(line: str) -> str:
    for old, new in _PLAIN:
        line = line.replace(old, new)
    for pattern, kept in _PAIRS:
        line = pattern.sub(kept, line)
    for old, new in _AFTER:
        line = line.replace(old, new)
    return line.strip(" ")
