"""The task suite: one module per kind of task, reached by name; `presets` holds the numbers of their recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from .base import Task

# Long sequences with a label: those of the Long Range Arena, and two of our own beside them.
SEQUENCES = (
    "listops", "lra_text", "lra_image", "lra_retrieval", "associative_retrieval", "pathfinder", "pathfinder_like", "path_x",
)  # fmt: skip
TASKS = ("shakespeare", "imdb", "cifar10", "wikitext2", "wikitext103", "enwik8", *SEQUENCES)
# A user's own files, given by their path: what their presets are called.
FILES = ("text_file", "table", "token_file", "dialogue", "hub_text", "hub_table", "hub_images")

__all__ = ["FILES", "SEQUENCES", "TASKS", "load_task"]


def load_task(
    name: str, data: str | os.PathLike[str] | None = None, *, saved: Path | None = None, **options: Any
) -> Task:
    """The task with its data loaded.

    name : shakespeare, imdb, cifar10, wikitext2, wikitext103, enwik8; one of `SEQUENCES` (docs/lra.md); the path of a file
    (.csv, .tsv, .jsonl: texts with labels; .bin, .idx, .npy: token numbers; anything else: plain text); or "text_file", "table"
    or "token_file" with the file as `data`; "dialogue" with a file of conversations (.jsonl, see
    `models.data.dialogues`); "hf:NAME" of the Hugging Face hub (see `models.data.hub`), or "hub_text", "hub_table" or
    "hub_images" with that as `data`. data : for a named task the folder that
    holds the data sets (default: ASTROMORPHIC_DATA, or the cache that `astromorphic data fetch` fills). options : how the data
    are prepared, see `models.tasks.loading`. saved : a run folder whose vocabulary to use instead of making one.

    Raises ModelError for an unknown name or option, and for data that are missing, damaged or do not fit.
    """
    from .loading import load

    return load(name, data, saved=saved, **options)
