"""The macro file inside a checkpoint: written beside config.json, and compared to it by digest when the checkpoint is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ModelError

if TYPE_CHECKING:
    from bridge.artifact import MacroParameters

MACRO_FILE = "macro.json"


def parsed_macro(macro: Any, needs: str = "response_function") -> MacroParameters:
    """`macro` itself, or read from a path. MacroError for a file that cannot be read, ModelError for another kind of thing."""
    from bridge.artifact import MacroParameters

    if isinstance(macro, str | os.PathLike):
        return MacroParameters.load(os.fspath(macro))
    if not hasattr(macro, needs):
        raise ModelError(
            f"macro is a {type(macro).__name__}; expected the path of a macro.json or a MacroParameters, such as "
            "bridge.preset(name) or what macro_from_fit returns"
        )
    return macro  # type: ignore[no-any-return]


def parsed_macro_text(text: str) -> MacroParameters:
    """Macro parameters from the text of their file; MacroError for one that cannot be read."""
    from bridge.artifact import MacroParameters

    return MacroParameters.loads(text)


def content_of(macro: Any) -> str | None:
    """The text that a checkpoint carries; None for a stand-in that has none."""
    return str(macro.dumps()) if hasattr(macro, "dumps") else None


def write_beside(folder: str | os.PathLike[str], text: str | None) -> None:
    """Put the macro file into the folder of a checkpoint; nothing if the configuration carries none."""
    if text is not None:
        from bridge.artifact import write_text

        write_text(Path(folder) / MACRO_FILE, text)


def for_checkpoint(folder: Path, digest: str | None, given: Any, replace: bool) -> tuple[MacroParameters | None, bool]:
    """The macro parameters of the checkpoint in `folder`, and whether they take the place of those it was trained with.

    digest : in the checkpoint's configuration. given : a macro file or parameters from the caller, or None. replace : whether
        another digest is wanted.

    Raises
    ------
    ModelError
        The digests differ and `replace` is False, or a file is damaged.
    """
    beside = folder / MACRO_FILE
    if given is None and not (digest is not None and beside.is_file()):
        return None, False
    try:
        macro = parsed_macro(beside if given is None else given)
    except ModelError:
        raise
    except ValueError as error:
        raise ModelError(str(error)) from None
    if macro.digest == digest:
        return macro, False
    if replace:
        return macro, True
    whose = str(beside) if given is None else "the macro file given"
    expected = f"digest {digest[:12]}..." if digest else "no macro file at all"
    raise ModelError(
        f"{whose} has digest {macro.digest[:12]}..., and the checkpoint was made with {expected}; give the same file, or, to put "
        "another biology into these weights on purpose, pass replace_macro=True"
    )
