"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LARGEST_SEED = 2**32 - 1

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a value; lists 1,2,5 and ranges LOW:HIGH:COUNT sweep it."),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Seeds every random stream.")]
QuickOption = Annotated[bool, typer.Option("--quick", help="Less of everything: to see that it works.")]
TemperatureOption = Annotated[float, typer.Option("--temperature", min=0.0, help="0 takes the likeliest token.")]
TokenizerDataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder with the tokenizer of GPT-2 or GPT-NeoX, for models of them."),
]
