"""What a launcher starts in every process: runs from a list, and a note of the bytes that this process holds of the network."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch.distributed.elastic.multiprocessing.errors import record
from torch.distributed.tensor import DTensor

from models.sharding import ShardedTrainer
from models.training import run_job


def _bytes(tensors: Any) -> tuple[int, int]:
    """(held here, held in all) of tensors."""
    tensors = [x for x in tensors if isinstance(x, torch.Tensor) and x.dim()]
    here = sum((x.to_local() if isinstance(x, DTensor) else x).nbytes for x in tensors)
    return here, sum(x.numel() * x.element_size() for x in tensors)


def _note(folder: Path) -> None:
    """At every checkpoint: (held here, held in all) of weights and of AdamW's moments."""
    whole = ShardedTrainer._save_optimizer_and_scheduler

    def noting(self: Any, output_dir: str) -> None:
        moments = [x for state in self.optimizer.optimizer.state.values() for x in state.values()]
        held = {"weights": _bytes(self.model.parameters()), "moments": _bytes(moments)}
        (folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(held))
        whole(self, output_dir)

    ShardedTrainer._save_optimizer_and_scheduler = noting  # type: ignore[method-assign]


@record
def main(file: str) -> None:
    """Train the jobs of a JSON file one after the other."""
    torch.set_num_threads(1)
    _note(Path(file).parent)
    for job in json.loads(Path(file).read_text()):
        result = run_job(job)
        assert result["processes"] == int(os.environ["WORLD_SIZE"])


if __name__ == "__main__":
    main(sys.argv[1])
