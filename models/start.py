"""Training that begins with the weights of a saved language model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch import nn

from .decoders import config_class, load_decoder, type_in
from .errors import ModelError
from .folder import check_folder
from .result import RunResult
from .surroundings import weights_digest


def start_config(folder: str | os.PathLike[str]) -> Any:
    """The configuration of the model in `folder`. ModelError for a folder without one."""
    place = Path(folder)
    kind = type_in(place)
    check_folder(place, kind)
    return config_class(kind).from_pretrained(place)


def start_tokens(folder: str | os.PathLike[str]) -> str | None:
    """What made the tokens that the model in `folder` was trained on; None where no record says so."""
    file = Path(folder) / "run.json"
    return RunResult.load(file).data.options.get("tokens", "bytes") if file.is_file() else None


def start_weights(folder: str | os.PathLike[str]) -> tuple[dict[str, Any], str]:
    """Weights by name and their digest. ModelError for a folder without a model of ours."""
    place = Path(folder)
    check_folder(place, type_in(place))
    model = load_decoder(place)
    return model.state_dict(), weights_digest(model)


def begin_with(model: nn.Module, weights: dict[str, Any], folder: str | os.PathLike[str]) -> None:
    """Put `weights` into `model`. ModelError if it has other parameters or other shapes."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).split("\n")[-1].strip()
        raise ModelError(
            f"the weights of {os.fspath(folder)} do not fit the network to train: {reason}; leave its sizes as they are"
        ) from None
