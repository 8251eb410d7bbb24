"""What a run borrows from its process, and gives back: random states, log levels; and what it notes about the machine."""

from __future__ import annotations

import contextlib
import hashlib
import platform
import random
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers.utils import logging as library_logging


@contextlib.contextmanager
def own_random_state(seed: int) -> Iterator[None]:
    """Seed Python, NumPy and torch inside the block and put the caller's generators back afterwards."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextlib.contextmanager
def quiet_library() -> Iterator[None]:
    """Silence the library's progress bars and information lines inside the block."""
    verbosity, bars = library_logging.get_verbosity(), library_logging.is_progress_bar_enabled()
    library_logging.set_verbosity_error()
    library_logging.disable_progress_bar()
    try:
        yield
    finally:
        library_logging.set_verbosity(verbosity)
        if bars:
            library_logging.enable_progress_bar()


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide a training result."""
    found = {"python": platform.python_version()}
    for name in ("astromorphic", "torch", "transformers", "accelerate", "numpy"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def git_revision() -> str | None:
    """The commit of the checkout this package runs from, with "-dirty" if tracked files differ from it.

    None outside of one: a package installed below another project's checkout must not name that project's commit.
    """
    root = Path(__file__).resolve().parents[1]
    if not (root / "setup.cfg").is_file() or _git(root, "rev-parse", "--show-prefix") != "":
        return None
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if commit and changed else commit


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def weights_digest(model: nn.Module) -> str:
    """sha256 over names, shapes, dtypes and bytes of all tensors of the model."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(flat.shape)} {flat.dtype}\n".encode())
        digest.update(flat.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
