"""The commands of trained models: train, study, evaluate, generate, chat. As in `cli`, packages are imported inside them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from .assignments import AssignmentError, parse_assignments
from .cli_options import SeedOption, TemperatureOption, TokenizerDataOption
from .console import progress_bar, scored_progress_bar, speaks


def train(
    task: Annotated[
        str,
        typer.Argument(
            help="shakespeare, imdb, cifar10, wikitext2, wikitext103, enwik8; listops, lra_text, lra_image, lra_retrieval, "
            "associative_retrieval, pathfinder, pathfinder_like, path_x; a file: .csv, .tsv, .jsonl with text and label, "
            ".bin/.idx or .npy of token numbers, or any text; dialogue with a .jsonl of conversations as --data; "
            "hf:NAME of the Hugging Face hub; or a chain to remember: memory_chain, umbrella_chain, umbrella_hidden."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run.")],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="astromorphic (ours), paper_eq11, paper_eq18, paper_alg1, rmaat_layer, kozachkov, kozachkov_random_features, "
            "katharopoulos, softmax, none; for long sequences in segments rmaat, rmaat_paper, rmt, rlt, rmaat_no_memory and "
            "plain_astromorphic, plain_softmax, plain_linear, plain_none; bag_of_words for texts with labels; astrosnn "
            "(spiking, for language models; --set mixer=... for its controls); for the chains lif, alif, gru, amsu and their "
            "variants.",
        ),
    ] = "astromorphic",
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            help="Recipe: paper, tuned (imdb, cifar10, wikitext2 and wikitext103 in bf16 mixed precision) or smoke "
            "(shakespeare also: quick, default; long sequences: lra_base; astrosnn: small, base, large, 1b5).",
        ),
    ] = "tuned",
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Folder that holds the data sets; for the tasks text_file, table, token_file and dialogue the file, for "
            "hub_text, hub_table and hub_images hf:NAME.",
        ),
    ] = None,
    macro: Annotated[
        Path | None,
        typer.Option("--macro", help="macro.json, or preset:NAME, whose response, retention or time constants to use."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of the model, the recipe or the data."),
    ] = None,
    seed: SeedOption = 0,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="DIR", help="Begin with the weights of this language model, and keep its sizes."
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, or cuda where torch finds a GPU.")] = "cpu",
) -> None:
    """Train a model and write weights (safetensors), vocabulary and run.json.

    Interrupted, it continues when the same command is given again; finished, it is not repeated. Under torchrun
    --nproc-per-node N -m astromorphic, N processes share every batch, and with --set sharding=full the weights too.
    """
    from . import commands

    with scored_progress_bar(f"training on {task}") as advance:
        result = commands.train(
            task, model, preset, data, macro, parse_assignments(set_ or []), seed, out, advance, start, device
        )
    if speaks():
        print(result)


def study(
    name: Annotated[str, typer.Argument(help="Name of a study, or 'list'.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the runs; a study adds to what is there.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder that holds the data sets.")] = None,
    preset: Annotated[str, typer.Option("--preset", help="Recipe: paper, tuned or smoke.")] = "tuned",
    arms: Annotated[str | None, typer.Option("--arms", help="Only these, with commas between.")] = None,
    rates: Annotated[
        str | None, typer.Option("--learning-rates", help="Instead of the study's own, with commas between.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds per arm and rate, counted up from --seed.")] = 3,
    seed: SeedOption = 0,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes, one thread each; default: the cores.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of model, recipe or data in all arms."),
    ] = None,
) -> None:
    """Train the variants and controls of one question side by side, at several learning rates and seeds."""
    from . import memory_commands, recall_commands
    from .studies import STUDIES

    if name == "list":
        for key, entry in STUDIES.items():
            print(f"{key:18s} {entry.title}: {', '.join(arm.name for arm in entry.arms)}")
        for key, one in memory_commands.STUDIES.items():
            print(f"{key:18s} {one.title}: {', '.join(one.models)}")
        print(f"{recall_commands.NAME:18s} {recall_commands.TITLE}: {', '.join(recall_commands.ARMS)}")
        return
    if out is None:
        raise AssignmentError(f"study {name} needs a folder for its runs; name one with --out DIR")
    if name in memory_commands.STUDIES:
        print(
            memory_commands.study(
                name, out, data=data, preset=preset, models=arms.split(",") if arms else None, rates=_rates(rates), seeds=seeds,
                first_seed=seed, changes=parse_assignments(set_ or []), workers=workers,
            )
        )  # fmt: skip
        return
    if name == recall_commands.NAME:
        print(
            recall_commands.study(
                out, data=data, preset=preset, arms=arms.split(",") if arms else None, rates=_rates(rates), seeds=seeds,
                first_seed=seed, changes=parse_assignments(set_ or []), workers=workers,
            )
        )  # fmt: skip
        return
    from . import study as job

    print(
        job.run(
            name, out, data=data, preset=preset, arms=arms.split(",") if arms else None, rates=_rates(rates), seeds=seeds,
            first_seed=seed, changes=parse_assignments(set_ or []), workers=workers,
        )
    )  # fmt: skip


def _rates(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise AssignmentError(
            f"--learning-rates {text}: expected numbers with commas between, such as 3e-4,1e-3"
        ) from None


def evaluate(
    folder: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Other data, as in train; default: those the run was trained on.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="test (default) or validation.")] = None,
    context: Annotated[
        int | None, typer.Option("--context", min=2, help="Tokens of a window; default: all the model's positions.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option("--stride", min=1, help="Tokens a window moves by; default: half the context.")
    ] = None,
    reevaluate: Annotated[
        int | None,
        typer.Option("--reevaluate", min=0, help="Tokens to predict again, each from its prefix alone; default: 2000."),
    ] = None,
    leaks: Annotated[
        bool, typer.Option("--leaks", help="Instead of a score: all seven leak tests, each with its threshold.")
    ] = False,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", help="Another task of the same kind to score, such as wikitext103, with the run's tokens."
        ),
    ] = None,
    carried: Annotated[
        bool,
        typer.Option(
            "--carried", help="Carry the state through the whole text: every token is scored with all its past."
        ),
    ] = False,
    zeroshot: Annotated[
        str | None,
        typer.Option(
            "--zeroshot",
            metavar="TASKS",
            help="Instead of a score: piqa, sciq, winogrande, copa, boolq, hellaswag, logiqa, with commas between, or all.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="With --zeroshot: only the first so many questions of each task."),
    ] = None,
    harness: Annotated[
        bool, typer.Option("--harness", help="With --zeroshot: count with lm-evaluation-harness (extra eval).")
    ] = False,
) -> None:
    """Score a trained model again: accuracy, or perplexities, bits per byte and the verdict on causality; or zero-shot tasks."""
    from . import commands

    if zeroshot is not None:
        text_alone = (task, split, context, stride, reevaluate)
        if leaks or carried or any(value is not None for value in text_alone):
            raise AssignmentError(
                "--zeroshot scores questions; leave out --leaks, --carried, --task, --split, --context, --stride and "
                "--reevaluate"
            )
        with progress_bar("scoring answers") as advance:
            text = commands.zero_shot(folder, zeroshot, data, limit, harness, advance)
        print(text)
        return
    if limit is not None or harness:
        raise AssignmentError("--limit and --harness are for zero-shot tasks; name some with --zeroshot")
    split, reevaluate = "test" if split is None else split, 2000 if reevaluate is None else reevaluate
    print(commands.evaluate(folder, data, split, context, stride, reevaluate, leaks, task, carried))


def generate(
    folder: Annotated[Path, typer.Argument(help="Folder of a trained language model.")],
    prompt: Annotated[str, typer.Option("--prompt", help="Text to continue.")],
    length: Annotated[
        int | None,
        typer.Option(
            "--length", min=1, help="New tokens (bytes, words or byte pairs); default: all there is room for."
        ),
    ] = None,
    temperature: TemperatureOption = 0.8,
    seed: SeedOption = 0,
    data: TokenizerDataOption = None,
) -> None:
    """Continue a text with a trained language model; on a terminal the text appears as it is made."""
    from . import commands

    live = sys.stdout.isatty()

    def show(piece: str) -> None:
        print(piece, end="", flush=True)

    def notice(line: str) -> None:
        print(line, file=sys.stderr)

    text = commands.generate(folder, prompt, length, temperature, seed, data, show if live else None, notice)
    print("" if live else text)


def chat(
    folder: Annotated[Path, typer.Argument(help="Folder of a language model that was fine-tuned on dialogues.")],
    length: Annotated[int, typer.Option("--length", min=1, help="Most tokens of a reply.")] = 512,
    temperature: TemperatureOption = 0.8,
    seed: SeedOption = 0,
    data: TokenizerDataOption = None,
) -> None:
    """Talk to a model: every line of standard input is a turn, and its state is carried from turn to turn."""
    from . import commands

    live = sys.stdin.isatty()

    def show(piece: str) -> None:
        print(piece, end="", flush=True)

    def turns() -> Iterator[str]:
        while True:
            if live:
                print("> ", end="", flush=True)
            line = sys.stdin.readline()
            if not line:
                return
            yield line

    for _ in commands.chat(folder, turns(), length, temperature, seed, data, show):
        print()


COMMANDS = (train, study, evaluate, generate, chat)
