"""A configuration with settings that were measured in the biology, which carries their macro file along."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedConfig

from .errors import ModelError
from .macro_file import content_of, for_checkpoint, write_beside

if TYPE_CHECKING:
    from bridge.artifact import MacroParameters


class MacroConfig(PreTrainedConfig):
    """Base of our configurations. `macro_digest` of a subclass names the macro file that its settings came from, if any."""

    if TYPE_CHECKING:
        macro_digest: str | None

        def _macro_fields(self, macro: MacroParameters) -> dict[str, Any]:
            """The settings that come from a macro file, its digest included."""

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, path: str | os.PathLike[str], *args: Any, macro: Any = None, replace_macro: bool = False, **kwargs: Any
    ) -> Any:
        """Load config.json from a folder, and the macro file beside it.

        macro : a macro file (path or MacroParameters) that the checkpoint has to have been made with. replace_macro : take
            what `macro`, or a macro.json beside config.json, has, although its digest is another.

        Raises ModelError where the digests differ and `replace_macro` is False, and as the class does.
        """
        loaded: Any = super().from_pretrained(path, *args, **kwargs)
        config = loaded[0] if isinstance(loaded, tuple) else loaded
        folder = Path(path, kwargs.get("subfolder") or "")
        found, other = for_checkpoint(folder, config.macro_digest, macro, replace_macro)
        if other and found is not None:
            config.take(found)
            config.validate_architecture()
        if found is not None:
            config.carry(found)
        return loaded

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Write config.json, and macro.json if settings came from one, into a folder."""
        super().save_pretrained(save_directory, *args, **kwargs)
        write_beside(save_directory, self._carried)

    def to_dict(self) -> dict[str, Any]:
        """As the library does, without the macro file, which has its own place."""
        content: dict[str, Any] = super().to_dict()
        content.pop("_macro_text", None)
        return content

    @property
    def macro(self) -> MacroParameters | None:
        """The macro parameters that this configuration carries, if any."""
        from bridge.artifact import MacroParameters

        return None if self._carried is None else MacroParameters.loads(self._carried)

    @property
    def _carried(self) -> str | None:
        return self.__dict__.get("_macro_text")

    def take(self, macro: MacroParameters) -> None:
        """Put what comes from a macro file in place of what came from another."""
        for name, value in self._macro_fields(macro).items():
            setattr(self, name, value)

    def carry(self, macro: MacroParameters) -> None:
        """Carry `macro` into checkpoints. ModelError if it is not the one that the settings came from."""
        if macro.digest != self.macro_digest:
            raise ModelError(
                f"macro has digest {macro.digest[:12]}..., and this configuration came from "
                f"{(self.macro_digest or 'no macro file')[:12]}; make the configuration with from_macro"
            )
        self._macro_text = content_of(macro)
