"""Which checkpoint to resume from: the newest complete one, and nothing else.

A checkpoint is not written atomically: a killed save leaves a folder that the library would pick and die on, and one
without its optimizer state would be resumed silently as a different run. So we look ourselves, and set aside what is
broken.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

_NAME = re.compile(r"checkpoint-(\d+)")


def _files(processes: int) -> list[str]:
    """In the order of writing; the trainer state comes last."""
    states = ["rng_state.pth"] if processes == 1 else [f"rng_state_{rank}.pth" for rank in range(processes)]
    return ["config.json", "model.safetensors", "optimizer.pt", "scheduler.pt", *states, "trainer_state.json"]


def why_unusable(folder: Path, step: int, processes: int = 1) -> str | None:
    """Why the checkpoint of `step` in `folder` cannot be resumed from, or None if it can. No pickled code is run.

    processes : that trained it, each with a random state of its own.
    """
    for name in _files(processes):
        file = folder / name
        if not file.is_file() or file.stat().st_size == 0:
            return f"{name} is missing or empty"
    try:
        state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        return "trainer_state.json is cut short"
    if state.get("global_step") != step:
        return f"trainer_state.json is of step {state.get('global_step')}"
    try:
        with safe_open(folder / "model.safetensors", framework="pt") as weights:
            list(weights.keys())
    except (SafetensorError, OSError) as error:
        return f"model.safetensors does not open ({error})"
    try:
        torch.load(folder / "optimizer.pt", map_location="meta", weights_only=True, mmap=True)
    except Exception as error:  # torch reports a cut file with many exception types
        return f"optimizer.pt does not load ({type(error).__name__})"
    return None


def find_checkpoint(root: str | Path, processes: int = 1) -> Path | None:
    """The newest complete ``checkpoint-<step>`` under `root`, or None. Newer broken ones are renamed to ``....broken``."""
    root = Path(root)
    if not root.is_dir():
        return None
    found = [(int(m[1]), p) for p in root.iterdir() if p.is_dir() and (m := _NAME.fullmatch(p.name))]
    for step, folder in sorted(found, reverse=True):
        if why_unusable(folder, step, processes) is None:
            return folder
        spare = next(n for i in range(10_000) if not (n := folder.with_name(f"{folder.name}.broken{i or ''}")).exists())
        folder.rename(spare)
    return None
