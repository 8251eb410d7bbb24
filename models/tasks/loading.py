"""From a name or a file to a task: which data, how they are prepared, and which options each kind takes."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..choices import did_you_mean
from ..data.integers import check_seed
from ..errors import ModelError
from . import FILES, SEQUENCES, TASKS

if TYPE_CHECKING:
    from ..data.kinds import LabelledTexts, Splits
    from ..data.vocabulary import WordVocabulary
    from ..language import EncodedText
    from .base import Kind, Task
    from .language import Tokenizer

# What the preparation of each kind of data takes beyond the options of its loader, with the value it has if not given.
#   tokens, vocabulary : see `tokens`; of words the most frequent (None: all).
#   lower_case, words, length, keep : texts as words, see `WordVocabulary` and `EncodedTexts.truncated`.
#   pairs : how many frequent pairs of words are tokens as well, see `WordPairs`.
#   embeddings : "learned"; "glove", the vectors in the data folder; "glove_if_there", the same with 300 numbers, if they
#                are there; or a file of vectors.
#   augment : see `image_classification`.
PREPARATION: Mapping[str, Mapping[str, Any]] = {
    "language": {"tokens": "bytes", "vocabulary": None},
    "text_classification": {
        "vocabulary": 20_000, "lower_case": True, "words": "words", "length": 400, "keep": "head", "pairs": 0,
        "embeddings": "learned",
    },
    "image_classification": {"augment": "crop_flip"},
    # All options are those of the loaders: what a sequence is cut to is part of what is read.
    "sequence_classification": {},
}  # fmt: skip
# What single tasks take beyond, or with another value if not given.
#   token_file: tokens is what made the numbers (gpt2, neox, bytes; "numbers" if that is not known), vocabulary how many numbers
#               there are (of "numbers" alone).
#   turns : how turns are written, "moss" being the marks of `models.turns`.
#   detokenise : see `models.data.detokenise`; None: for byte pairs only. Words and bytes are those of the file either way.
_OWN: Mapping[str, Mapping[str, Any]] = {
    "token_file": {"tokens": "numbers"},
    "wikitext103": {"detokenise": None},
    "dialogue": {"turns": "moss"},
}
# What lets a task be scored where its training part is not there.
EVALUATION_ONLY: Mapping[str, Mapping[str, Any]] = {"wikitext103": {"train": "absent"}}
_KINDS: Mapping[str, Kind] = {
    "shakespeare": "language", "imdb": "text_classification", "cifar10": "image_classification", "wikitext2": "language",
    "wikitext103": "language", "enwik8": "language", "text_file": "language", "table": "text_classification",
    "token_file": "language", "dialogue": "language", "hub_text": "language", "hub_table": "text_classification",
    "hub_images": "image_classification", **dict.fromkeys(SEQUENCES, "sequence_classification"),
}  # fmt: skip
# The name of a data set of the hub, by the kind of task that is made of it.
FROM_HUB: Mapping[str, str] = {one: name for name, one in _KINDS.items() if name.startswith("hub_")}


def resolve(name: str, data: Any = None) -> tuple[str, Any]:
    """The task and its data; "hf:NAME" becomes hub_text, hub_table or hub_images, by the columns it has, with itself as data."""
    from ..data.hub import hub_kind, is_hub_name

    if not is_hub_name(name):
        return name, data
    if data is not None:
        raise ModelError(f"task is {name!r} and data is {os.fspath(data)!r}; give the data set once")
    return FROM_HUB[hub_kind(name)], name


def family(name: str) -> str:
    """What the presets of a task go by: its name, or for a file "text_file", "table" or "token_file"; ModelError if neither."""
    from ..data.reading import unpacked_suffix
    from ..data.tables import TABLES
    from ..data.token_files import is_token_file

    if not isinstance(name, str):
        raise ModelError(f"task is {name!r}; expected one of {', '.join(TASKS)}, or the path of a file")
    if name in _KINDS:
        return name
    path = Path(name).expanduser()
    if path.is_file() or path.suffix or len(path.parts) > 1:
        if not path.is_file():
            raise ModelError(
                f"task is {name!r}, and there is no such file; expected a text, .csv, .tsv, .jsonl, .bin or .npy"
            )
        if is_token_file(path):
            return "token_file"
        return "table" if unpacked_suffix(path) in TABLES else "text_file"
    hint = did_you_mean(name, _KINDS)
    raise ModelError(f"task is {name!r}; {hint}expected one of {', '.join(TASKS)}, or the path of a file")


def kind_of(name: str) -> Kind:
    """Which kind of task a name or file is."""
    return _KINDS[family(name)]


def option_names(name: str) -> list[str]:
    """Every option of the data of a task."""
    own = list({**PREPARATION[kind_of(name)], **_OWN.get(family(name), {})})
    return own + [one for one in _loader_options(name) if one not in own] if family(name) != "shakespeare" else []


def _loader_options(name: str) -> list[str]:
    from ..data.dialogues import load_dialogues
    from ..data.hub import load_hub
    from ..data.loading import LOADERS, load_table, load_text_file

    if family(name) == "token_file":
        return ["held_out", "dtype"]
    by_family: dict[str, Callable[..., Any]] = {
        **LOADERS, "text_file": load_text_file, "table": load_table, "dialogue": load_dialogues,
    }  # fmt: skip
    by_family |= dict.fromkeys(FROM_HUB.values(), load_hub)
    taken = inspect.signature(by_family[family(name)]).parameters
    # The one is the task's own word for the seed that cuts the data, so that it is not the seed of the run.
    return ["split_seed" if one == "seed" else one for one in taken if one not in ("folder", "path", "name", "kind")]


def load(name: str, data: Any = None, *, saved: Path | None = None, **options: Any) -> Task:
    """See `models.tasks.load_task`."""
    name, data = resolve(name, data)
    task = _loaded(name, data, saved, options)
    task.family = family(name)
    return task


def load_whole(name: str, classes: Sequence[str], saved: Path, **options: Any) -> Task:
    """A file of labelled texts, all of it as every split, read with the words of the run folder `saved`.

    classes : those of the run. options : as for `load`; those of the cut have no effect.
    """
    usual = PREPARATION["text_classification"]
    prepared = {**usual, **{key: options[key] for key in usual if key in options}}
    task = _texts(whole_splits(name, classes, options), prepared, dict(options), name, None, saved)
    task.family = "table"
    return task


def whole_splits(name: str, classes: Sequence[str], options: Mapping[str, Any]) -> Splits[LabelledTexts]:
    """All labelled texts of a file as every split; of `options` those that say how a file is read."""
    from ..data.tables import load_whole_table

    read = {key: options[key] for key in ("text", "label", "separator") if options.get(key) is not None}
    return load_whole_table(Path(name).expanduser(), classes, **read)


def _loaded(name: str, data: Any, saved: Path | None, options: Mapping[str, Any]) -> Task:
    which, kind = family(name), kind_of(name)
    for option in options:
        if option not in (known := option_names(name)):
            hint = did_you_mean(option, known)
            raise ModelError(f"data of {name} have no option {option!r}; {hint}they take {', '.join(known) or 'none'}")
    if which == "shakespeare":
        from .shakespeare import SOURCE, language_task
        from .shakespeare import load as load_shakespeare

        if data is not None:
            raise ModelError(
                f"task is 'shakespeare', whose text is part of this package, and data is {os.fspath(data)!r}; "
                "give the file as the task instead"
            )
        return language_task(load_shakespeare(), source=SOURCE)
    usual = {**PREPARATION[kind], **_OWN.get(which, {})}
    prepared = {**usual, **{key: options[key] for key in usual if key in options}}
    taken = {key: value for key, value in options.items() if key not in usual}
    if which == "token_file":
        return _token_file(name, data, prepared, taken)
    if which == "dialogue":
        return _dialogue(data, prepared, taken)
    splits, location, folder, noted = load_splits(name, data, taken)
    recorded = prepared | noted
    make = {
        "language": _language, "text_classification": _texts, "image_classification": _images,
        "sequence_classification": _sequences,
    }[kind]  # fmt: skip
    task = make(splits, prepared, recorded, location, folder, saved)
    task.test_seen = splits.test_seen
    return task


def _for_loader(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options by the loaders' own names; ModelError for a seed that is none."""
    if "split_seed" in options:
        check_seed(options["split_seed"], "split_seed")
    return {("seed" if key == "split_seed" else key): value for key, value in options.items()}


def load_splits(
    name: str, data: Any, options: Mapping[str, Any]
) -> tuple[Splits[Any], str | None, Any, dict[str, Any]]:
    """The data as they are, before anything is made of them; `options` are those of the loader.

    Returns the splits, the place that the user named, the folder where further files (GloVe, GPT-2) are looked for, and the
    options as a record says them.
    """
    taken = _for_loader(options)
    splits, location, folder = _splits(name, family(name), data, taken)
    recorded = {key: _plain(value) for key, value in options.items()}
    if splits.revision is not None:
        # What the hub calls "main" moves; the record says what was read.
        recorded["revision"] = splits.revision
    return splits, location, folder, recorded


def _plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _splits(name: str, which: str, data: Any, options: dict[str, Any]) -> tuple[Splits[Any], str | None, Any]:
    """The data, the place that the user named, and the folder where further files (GloVe, GPT-2) are looked for."""
    from ..data.loading import load as load_data

    if which in FILES:
        if name not in FILES and data is not None:
            raise ModelError(f"task is the file {name} and data is {os.fspath(data)!r}; give the file once")
        file = name if name not in FILES else data
        if file is None:
            raise ModelError(f"task is {name!r}; give the file or hf:NAME as the task, or with data")
        if which in FROM_HUB.values():
            return load_data(file, **options, kind=_KINDS[which]), os.fspath(file), None
        return load_data(file, **options), os.fspath(file), None
    return load_data(which, folder=data, **options), None if data is None else os.fspath(data), data


def _language(
    splits: Splits[bytes], prepared: dict[str, Any], recorded: dict[str, Any], location: str | None, folder: Any,
    saved: Path | None,
) -> Task:  # fmt: skip
    from ..language import EncodedText
    from .language import LanguageTask
    from .tokens import make_tokens, resolved, whole_characters

    raw = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    # What was taken is recorded, so that a run is read with it again wherever other tokenizers are found.
    kind = recorded["tokens"] = resolved(prepared["tokens"], folder)
    if kind != "bytes":
        raw = {split: whole_characters(text, f"{splits.name}, {split}") if text else b"" for split, text in raw.items()}
    tokens = make_tokens(kind, raw["train"], prepared["vocabulary"], folder, saved)
    if "detokenise" in prepared:
        recorded["detokenise"] = _wants_plain_text(prepared["detokenise"], kind)
    if recorded.get("detokenise"):
        parts = [_of_plain_text(text, tokens) for text in raw.values()]
    else:
        parts = [EncodedText.of_bytes(text) if tokens is None else tokens.encode_text(text) for text in raw.values()]
    return LanguageTask(
        splits.name,
        *parts,
        digest=splits.digest,
        source=splits.source,
        tokenizer=tokens,
        location=location,
        options=recorded,
    )


def _wants_plain_text(wanted: Any, kind: str) -> bool:
    from .tokens import SUBWORDS

    if wanted is not None and not isinstance(wanted, bool):
        raise ModelError(f"detokenise is {wanted!r}; expected True, False, or None for byte pairs only")
    if wanted and kind == "words":
        raise ModelError(
            "detokenise is True and tokens 'words', which are those of the file as it is; leave one of them"
        )
    return kind in SUBWORDS if wanted is None else bool(wanted)


def _of_plain_text(raw: bytes, tokens: Tokenizer | None) -> EncodedText:
    """The detokenised text as tokens, with the words and bytes of the file as it is."""
    from ..data.detokenise import detokenised
    from ..data.plain_text import count_words
    from ..language import EncodedText

    text = detokenised(raw.decode("utf-8")).encode("utf-8")
    found = EncodedText.of_bytes(text) if tokens is None else tokens.encode_text(text)
    return EncodedText(found.ids, len(raw), count_words(raw), f"{found.tokenizer}, detokenised", found.unknown)


def _token_file(name: str, data: Any, prepared: dict[str, Any], options: dict[str, Any]) -> Task:
    from ..data.token_files import held_out_parts, open_tokens
    from .language import LanguageTask
    from .tokens import known_tokens

    if name not in FILES and data is not None and Path(data).is_file():
        raise ModelError(f"task is the file {name} and data is {os.fspath(data)!r}; give the file once")
    given = data if name in FILES else name
    if given is None:
        raise ModelError(f"task is {name!r}; give the file as the task, or with data")
    file = open_tokens(given, options.get("dtype"))
    parts = held_out_parts(file, options.get("held_out"))
    tokens = known_tokens(prepared["tokens"], prepared["vocabulary"], None if name in FILES else data)
    texts = [tokens.of_numbers(part, decoded=i > 0) for i, part in enumerate(parts)]
    return LanguageTask(
        file.path.name,
        *texts,
        digest=file.digest,
        source=f"the file {file.path.name}, {len(file):,} tokens, {file.n_documents:,} documents; its licence is the user's",
        tokenizer=tokens,
        location=os.fspath(given),
        options={**prepared, **options},
    )


def _dialogue(data: Any, prepared: dict[str, Any], options: dict[str, Any]) -> Task:
    from ..choices import choice
    from ..data.dialogues import load_dialogues
    from ..turns import Turns
    from .dialogue import DialogueTask
    from .tokens import SUBWORDS, make_tokens, resolved

    if data is None or not Path(data).is_file():
        raise ModelError(
            f"task is 'dialogue' and data is {data!r:.200}; give a file of conversations (.jsonl) with data"
        )
    choice("turns", prepared["turns"], ("moss",))
    kind = resolved(prepared["tokens"])
    choice("tokens of dialogues", kind, ("bytes", *SUBWORDS))
    tokens: Any = make_tokens(kind, b"", prepared["vocabulary"])
    splits = load_dialogues(Path(data), **_for_loader(options))
    return DialogueTask(
        splits.name,
        {"train": splits.train, "validation": splits.validation, "test": splits.test},
        Turns(),
        (lambda text: list(text.encode("utf-8")))
        if tokens is None
        else (lambda text: tokens.tokenizer.encode(text).tolist()),
        digest=splits.digest,
        source=splits.source,
        tokenizer=tokens,
        location=os.fspath(data),
        options={**prepared, "tokens": kind, **options},
    )


def _texts(
    splits: Splits[Any], prepared: dict[str, Any], recorded: dict[str, Any], location: str | None, folder: Any, saved: Path | None
) -> Task:  # fmt: skip
    from ..data.pairs import WordPairs
    from ..data.vocabulary import WordVocabulary
    from .text_classification import PAIRS_FILE, TextClassificationTask
    from .tokens import VOCABULARY_FILE

    pairs = prepared["pairs"]
    if saved is not None:
        vocabulary = WordVocabulary.load(saved / VOCABULARY_FILE)
        pairs = WordPairs.load(saved / PAIRS_FILE, len(vocabulary)) if pairs else 0
    else:
        size = prepared["vocabulary"]
        if size is not None and (isinstance(size, bool) or not isinstance(size, int)):
            raise ModelError(f"vocabulary is {size!r}; expected None for all words, or a whole number of at least 3")
        if not isinstance(prepared["lower_case"], bool):
            raise ModelError(f"lower_case is {prepared['lower_case']!r}; expected True or False")
        vocabulary = WordVocabulary.build(
            splits.train.texts, size=size, lower=prepared["lower_case"], split=str(prepared["words"])
        )
    # The weights of a finished run hold the vectors already.
    embeddings, note = (None, None) if saved is not None else _embeddings(prepared["embeddings"], vocabulary, folder)
    return TextClassificationTask(
        splits, vocabulary, prepared["length"], keep=prepared["keep"], pairs=pairs, embeddings=embeddings, location=location,
        options=recorded | ({} if note is None else {"vectors": note}),
    )  # fmt: skip


def _embeddings(
    wanted: Any, vocabulary: WordVocabulary, folder: Any
) -> tuple[NDArray[np.float32] | None, dict[str, Any] | None]:
    """Vectors to start from, and what a record should say about them."""
    from ..data.glove import find_glove, glove_embeddings, glove_width

    if wanted in (None, "learned"):
        return None, None
    if not isinstance(wanted, str | os.PathLike):
        raise ModelError(f"embeddings is {wanted!r}; expected learned, glove, glove_if_there or a file of vectors")
    if wanted == "glove_if_there":
        file = find_glove(folder)
        # Absent or of another width they are not there; damaged they are, and an error.
        if file is None or glove_width(file) != 300:
            return None, {"source": "learned: no GloVe vectors of 300 numbers in the data folder"}
        found = glove_embeddings(vocabulary, file, dimension=300)
    else:
        found = glove_embeddings(vocabulary, find_glove(folder) if wanted == "glove" else wanted)
    return found.matrix, {
        "source": Path(found.source).name,
        "token_share": round(found.token_share, 4),
        "dimension": int(found.matrix.shape[1]),
    }


def _images(
    splits: Splits[Any], prepared: dict[str, Any], recorded: dict[str, Any], location: str | None, folder: Any, saved: Path | None
) -> Task:  # fmt: skip
    from .image_classification import ImageClassificationTask

    return ImageClassificationTask(splits, augment=prepared["augment"], location=location, options=recorded)


def _sequences(
    splits: Splits[Any], prepared: dict[str, Any], recorded: dict[str, Any], location: str | None, folder: Any, saved: Path | None
) -> Task:  # fmt: skip
    from .sequence_classification import SequenceClassificationTask

    return SequenceClassificationTask(splits, location=location, options=recorded)
