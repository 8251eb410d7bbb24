"""Which folders are loaded: those of one saved model of ours, with weights that are no pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import ModelError

WEIGHTS_FILE = "model.safetensors"


def stated_type(folder: Path) -> Any:
    """The model_type of config.json in `folder`, None where it states none; ModelError if it is missing or damaged."""
    file = folder / "config.json"
    try:
        return json.loads(file.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        state = "missing" if isinstance(error, FileNotFoundError) else "damaged"
        raise ModelError(
            f"{file} is {state} ({type(error).__name__}); save the model again, or name another folder"
        ) from error


def check_folder(folder: Path, model_type: str) -> None:
    """Raise ModelError unless `folder` is that of one saved model of this type, with weights that are no pickle."""
    if not folder.exists():
        raise ModelError(f"{folder} does not exist; name the folder of a saved model (nothing is downloaded)")
    if not folder.is_dir():
        raise ModelError(f"{folder} is a file; name the folder of a saved model, such as {folder.parent}")
    # Without its own config.json a checkpoint would be loaded into the default architecture, silently if shapes match.
    if not (folder / "config.json").is_file():
        within = sorted({*folder.glob("*/config.json"), *folder.glob("*/*/config.json")})
        names = ", ".join(str(file.parent.relative_to(folder)) for file in within[:4])
        more = f" ... ({len(within)} in all)" if len(within) > 4 else ""
        remedy = f"one of its folders {names}{more}" if within else "the folder of a saved model"
        raise ModelError(f"{folder} holds no config.json; name {remedy}")
    kind = stated_type(folder)
    if kind != model_type:
        raise ModelError(f"{folder} holds a model of type {kind!r}, expected {model_type!r}; name another folder")
    if (folder / WEIGHTS_FILE).is_file() or (folder / f"{WEIGHTS_FILE}.index.json").is_file():
        return
    pickles = sorted(file.name for suffix in ("bin", "pt", "pth", "ckpt") for file in folder.glob(f"*.{suffix}"))
    if pickles:
        raise ModelError(
            f"{folder} holds no {WEIGHTS_FILE} but {pickles[0]}, a pickle, which could run code and is never loaded; "
            "save the model with save_pretrained"
        )
    raise ModelError(f"{folder} holds config.json but no {WEIGHTS_FILE}; train again, or name another folder")


def tensor_name(key: Any) -> str:
    """A key as the library reports it: a name, or a name with the shapes in the file and in the model."""
    if isinstance(key, str):
        return key
    name, *shapes = key
    return f"{name} is {' instead of '.join(str(list(shape)) for shape in shapes)}"
