"""What all networks here share as `PreTrainedModel`s: how weights start, and how folders are written and read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel

from .errors import ModelError
from .folder import check_folder, tensor_name
from .surroundings import quiet_library


class CheckpointedModel(PreTrainedModel):
    """A network that is loaded from safetensors alone, whole or not at all, with errors that name what does not fit."""

    config_class: Any
    # Where the library's accessors find the token embedding: here, or in `model`.
    _input_embed_layer = "embed"

    def _initialize_weights(self, module: nn.Module, is_custom_code: bool = False) -> None:
        # For code outside the library it takes a module without parameters of its own (softmax and linear mixers) for one that
        # is initialised already; `init`, used below, asks each parameter instead.
        super()._initialize_weights(module, False)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, path: str | os.PathLike[str], *args: Any, allow_mismatch: bool = False, **kwargs: Any
    ) -> Any:
        """Load a local folder written by `save_pretrained`: safetensors only, no network.

        Raises ModelError for a folder without a whole model of ours, values that are not finite, and weights that the
        checkpoint lacks, has too many of, or has in another shape (these three only without `allow_mismatch`). `macro` and
        `replace_macro` as in `MacroConfig.from_pretrained`: a macro file of another digest is refused unless it is to
        take the place of the one the model was trained with.
        """
        if not isinstance(path, str | os.PathLike):
            raise ModelError(f"path is {path!r}; expected the folder of a saved model")
        if kwargs.get("use_safetensors") is False:
            raise ModelError("use_safetensors is False; pickles could run code and are never loaded")
        folder = Path(path, kwargs.get("subfolder") or "")
        check_folder(folder, cls.config_class.model_type)
        wants_info = kwargs.pop("output_loading_info", False)
        # Shapes are compared here, where one message can name all that differ.
        kwargs.setdefault("ignore_mismatched_sizes", True)
        kwargs.update(use_safetensors=True, local_files_only=True, output_loading_info=True)
        try:
            config = kwargs.get("config")
            if config is None:
                macro = {name: kwargs[name] for name in ("macro", "replace_macro") if name in kwargs}
                config = cls.config_class.from_pretrained(folder, **macro)
            elif "macro" in kwargs:
                raise ModelError("config and macro are given; give one of the two")
            cls._check_fit(config)
            with quiet_library():
                loaded: Any = super().from_pretrained(path, *args, **kwargs)
        except ModelError as error:
            raise ModelError(f"{folder}: {error}") from None
        except (OSError, SafetensorError, RuntimeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ModelError(
                f"{folder} cannot be loaded ({reason}); its files are cut short or not of one model, save it again or "
                "name another folder"
            ) from error
        model, info = loaded
        kinds = ("missing_keys", "unexpected_keys", "mismatched_keys")
        wrong = {kind: sorted(map(tensor_name, info[kind])) for kind in kinds if info.get(kind)}
        if wrong and not allow_mismatch:
            what = "; ".join(
                f"{k.replace('_', ' ')}: {', '.join(v[:3])}{' ...' if len(v) > 3 else ''}" for k, v in wrong.items()
            )
            raise ModelError(
                f"checkpoint {folder} does not fit the configuration ({what}); "
                "load it with its own config.json or, in Python, pass allow_mismatch=True"
            )
        cls._loaded(model)
        for name, tensor in model.named_parameters():
            if tensor.device.type != "meta" and not bool(tensor.isfinite().all()):
                raise ModelError(f"checkpoint {folder} holds NaN or infinity in {name}; train again with a lower rate")
        return (model, info) if wants_info else model

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Write config.json and model.safetensors into a folder, made if need be; ModelError if there is a file instead."""
        folder = Path(save_directory)
        if folder.is_file():  # the library only logs this
            raise ModelError(f"{folder} is a file; name a folder to save the model in")
        super().save_pretrained(save_directory, *args, **kwargs)
        # The library writes weights for the owner alone; they get the ordinary mode, that of their neighbour.
        if (folder / "config.json").is_file():
            mode = stat.S_IMODE((folder / "config.json").stat().st_mode)
            for file in folder.glob("model*.safetensors"):
                file.chmod(mode)

    @classmethod
    def _check_fit(cls, config: Any) -> None:
        """Raise ModelError if a network of this configuration cannot fit into memory."""

    @classmethod
    def _loaded(cls, model: Any) -> None:
        """What the library does not do to a model that it has loaded."""
