"""Which language models there are, by the name that people ask for and by the type that their config.json states."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from .errors import ModelError
from .folder import stated_type

# model_type: module, configuration, network
DECODERS = {
    "astromorphic": ("astromorphic", "AstromorphicConfig", "AstromorphicForCausalLM"),
    "astrosnn": ("astrosnn", "AstroSNNConfig", "AstroSNNForCausalLM"),
}


# Networks that continue no text: module, configuration.
_OTHERS = {"rmaat": ("rmaat", "RMAATConfig")}


def config_class(model_type: str) -> Any:
    """The configuration class of a type, of language models or not. ModelError for an unknown type."""
    known = {**{name: entry[:2] for name, entry in DECODERS.items()}, **_OTHERS}
    if model_type not in known:
        raise ModelError(f"model_type is {model_type!r}; expected one of {', '.join(known)}")
    module, name = known[model_type]
    return getattr(importlib.import_module(f".{module}", __package__), name)


def decoder_class(model_type: str) -> Any:
    """The class of the language model of a type."""
    module, _, name = DECODERS[model_type]
    return getattr(importlib.import_module(f".{module}", __package__), name)


def type_in(folder: Path) -> str:
    """The type that config.json in `folder` states; "astromorphic" where there is none, whose loader says what is wrong."""
    try:
        kind = stated_type(folder)
    except ModelError:
        return "astromorphic"
    return kind if isinstance(kind, str) and kind in DECODERS else "astromorphic"


def load_decoder(folder: Path) -> Any:
    """The language model saved in `folder`. ModelError as its own `from_pretrained`."""
    return decoder_class(type_in(folder)).from_pretrained(folder)


def check_language_model(kind: str, model: str) -> None:
    """ModelError if a model that only continues texts is asked to classify."""
    if kind != "language":
        raise ModelError(
            f"model is {model!r}, a language model, and the task is {kind}; choose a task with text to continue"
        )
