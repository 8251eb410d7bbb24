"""The command `astromorphic`. Packages are imported inside the commands, so that help and usage errors answer at once.

Exit status: 0 success, 2 wrong usage or input (one line on standard error), 1 internal failure, 130 interrupted (Ctrl-C),
143 terminated.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from . import cli_models
from .assignments import AssignmentError, parse_assignments
from .cli_options import QuickOption, SeedOption, SetOption
from .console import progress_bar, speaks

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="From the biophysics of a neuron-astrocyte synapse to sequence models that train.",
)

# Errors of our own packages are about the input; anything else is a fault of the program.
_OURS = ("astromorphic", "biosim", "bridge", "models", "figures")

# The disk, or the user's share of it.
_FULL = (errno.ENOSPC, errno.EDQUOT)

INTERRUPTED, TERMINATED = 130, 143


@app.command()
def run(
    out: Annotated[Path, typer.Option("--out", help="Folder of the run; made if it does not exist.")] = Path(
        "runs/main"
    ),
    quick: QuickOption = False,
    seed: SeedOption = 0,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes for training; default: the cores.")
    ] = None,
) -> None:
    """Simulate Fig. 3, fit it, train the small model with four responses, and write report.html."""
    from .pipeline import Settings
    from .pipeline import run as run_pipeline

    print(run_pipeline(out, Settings.quick(seed) if quick else Settings(seed), workers=workers))


@app.command()
def simulate(
    protocol: Annotated[
        str,
        typer.Argument(
            help="fig3, rate_sweep, constant_ip3, stp_cycles, pulse_train, impulse_response, self_repair, calcium_wave or spikes."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="NetCDF file to write.")],
    parameters: Annotated[
        str | None,
        typer.Option(
            "--parameters",
            help="Parameter set: wade2012, psu or stimberg2018 (stp_cycles: rmaat); default: the protocol's.",
        ),
    ] = None,
    set_: SetOption = None,
    engine: Annotated[str, typer.Option("--engine", help="numba, brian2 or reference.")] = "numba",
    seed: SeedOption = 0,
    record: Annotated[float | None, typer.Option("--record", help="Sampling interval of traces, s.")] = None,
    spikes: Annotated[
        str | None,
        typer.Option("--spikes", metavar="FILE", help="Input spikes of the protocol spikes: CSV, NWB or Neo."),
    ] = None,
    block: Annotated[
        int | None, typer.Option("--block", min=1, help="Units per block; default: some seconds of work.")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="[ADDRESS]",
            help="Hand blocks to dask.distributed: on this machine, or at a scheduler (tcp://HOST:PORT).",
        ),
    ] = None,
) -> None:
    """Run a protocol and write its Dataset as NetCDF.

    --set takes parameters (K_AG=-1000), the protocol's options (trials=4), and lists or ranges of them (a sweep). A run of
    more than one block keeps each finished block in FILE.nc.parts: interrupted, it continues when the same command is given
    again; finished, it is not repeated.
    """
    from biosim.folders import parts_folder

    from . import commands

    changes = parse_assignments(set_ or [])
    if spikes is not None:
        if "spikes" in changes:
            raise AssignmentError("--spikes and --set spikes are given: give one of them")
        # Taken as it is: the name of a file may hold commas and colons.
        changes["spikes"] = spikes

    try:
        with progress_bar(f"simulating {protocol}") as advance:
            path = commands.simulate(protocol, parameters, changes, engine, seed, record, out, advance, block, cluster)
    except (KeyboardInterrupt, _Terminated) as stop:
        kept = parts_folder(out)
        if not kept.is_dir():
            raise
        word, status = (
            ("interrupted", INTERRUPTED) if isinstance(stop, KeyboardInterrupt) else ("terminated", TERMINATED)
        )
        raise _Continuable(f"{word}; finished blocks are kept in {kept}, the same command continues", status) from None
    print(path)


@app.command()
def fit(
    source: Annotated[
        list[str],
        typer.Argument(
            help="A response curve: FILE.nc from simulate, FILE.csv with a unit in each header, such as rate (Hz),calcium (uM),"
            "calcium_se (uM), or published:NAME. Simulations by impulse_response (time constants) and stp_cycles (retention, "
            "distance), beside it or alone."
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Macro file to write.")] = None,
    into: Annotated[
        Path | None, typer.Option("--into", help="Macro file to add to: sections that no source gives stay.")
    ] = None,
    family: Annotated[
        list[str] | None,
        typer.Option(
            "--family", help="Curve family; several (repeat the option): the best of these; default: the best of all."
        ),
    ] = None,
    weights: Annotated[
        str, typer.Option("--weights", help="none, or spread: points weigh by the spread between trials.")
    ] = "none",
    estimator: Annotated[str, typer.Option("--estimator", help="Estimator of the exponent.")] = "loglog_above_rest",
    resting_calcium: Annotated[
        float | None,
        typer.Option("--resting-calcium", help="Calcium without input, uM, for a curve that does not know it."),
    ] = None,
    variable: Annotated[str, typer.Option("--variable", help="Variable of the simulation, in uM.")] = "calcium_mean",
    at: Annotated[
        list[str] | None,
        typer.Option("--at", help="NAME=VALUE: the value of a swept parameter at which the curve is taken."),
    ] = None,
    level: Annotated[float, typer.Option("--level", help="Confidence level of all intervals.")] = 0.95,
    bootstraps: Annotated[int, typer.Option("--bootstraps", min=0, help="Resamples for intervals.")] = 1000,
    seed: SeedOption = 0,
    tau_n: Annotated[
        float, typer.Option("--tau-n", help="Steps of a network that the neuron's membrane constant is worth.")
    ] = 2.0,
) -> None:
    """Fit curves and simulations and write macro.json: families and exponent, time constants, retention, distance."""
    from . import macro_commands

    path, text = macro_commands.fit(
        source, family or [], weights, estimator, resting_calcium, variable, at or [], level, bootstraps, seed, tau_n, out,
        into,
    )  # fmt: skip
    print(text)
    print(path)


macro_app = typer.Typer(no_args_is_help=True, help="Look at macro files: show, diff, check.")
app.add_typer(macro_app, name="macro")

MacroArgument = Annotated[str, typer.Argument(metavar="FILE", help="Macro file, or preset:NAME.")]


@macro_app.command("show")
def macro_show(file: MacroArgument) -> None:
    """Say in words what is in a macro file."""
    from . import macro_commands

    print(macro_commands.show(file))


@macro_app.command("diff")
def macro_diff(one: MacroArgument, other: MacroArgument) -> None:
    """List what differs between two macro files."""
    from . import macro_commands

    print(macro_commands.diff(one, other))


@macro_app.command("check")
def macro_check(file: MacroArgument) -> None:
    """Fit every section again from the data inside the file and compare; exit status 2 where one differs."""
    from . import macro_commands

    text, wrong = macro_commands.check(file)
    print(text)
    if wrong is not None:
        raise AssignmentError(wrong)


for command in cli_models.COMMANDS:
    app.command()(command)


@app.command()
def figures(
    name: Annotated[str, typer.Argument(help="Name of a figure, or 'all' or 'list'.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for PNG, SVG and CSV.")] = Path("figures_out"),
    runs: Annotated[
        Path | None,
        typer.Option(
            "--runs",
            help="Folder with trained models, for table1, fig4, exponents, working_memory, lra, retention and spiking_table; "
            "for memory and efficiency the file of a benchmark.",
        ),
    ] = None,
    quick: QuickOption = False,
    seed: SeedOption = 0,
    model: Annotated[
        Path | None, typer.Option("--model", help="For inside: folder of the language model to look into.")
    ] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", help="For inside: the text that the model reads.")] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            "--subject", help="For inside: the part of the prompt that gets noise; default: all but the last token."
        ),
    ] = None,
    layer: Annotated[
        int | None, typer.Option("--layer", help="For inside: show the maps of this layer's heads, counted from 1.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="For inside: data folder with the tokenizer of GPT-2 or GPT-NeoX, for models of them."
        ),
    ] = None,
) -> None:
    """Make a figure with the data behind it."""
    from figures.gallery import FIGURES, from_model, from_runs, make, missing, titles

    look = {"model": model, "prompt": prompt, "subject": subject, "layer": layer, "data": data}
    if name not in ("all", "inside") and any(value is not None for value in look.values()):
        given = next(key for key, value in look.items() if value is not None)
        raise AssignmentError(f"--{given} is for the figure inside, and {name} looks into no model; leave it out")

    if name == "list":
        for key, title in titles().items():
            print(f"{key:12s} {title}")
        return
    for key in FIGURES if name == "all" else [name]:
        lacks = missing(key) if name == "all" else None
        if name == "all" and from_runs(key) and runs is None:
            lacks = "made from trained models; name their folder with --runs DIR"
        if name == "all" and from_model(key) and (model is None or prompt is None):
            lacks = "looks into a trained model; name it with --model DIR and a text with --prompt TEXT"
        if lacks:
            print(f"{key} is left out: {lacks}")
            continue
        with progress_bar(f"figure {key}") as advance:
            paths = make(
                key, out, quick=quick, seed=seed, runs=runs, progress=advance if key != "responses" else None,
                **(look if from_model(key) else {}),
            )  # fmt: skip
        for path in paths:
            print(path)


data_app = typer.Typer(no_args_is_help=True, help="Data sets: list, fetch, check.")
app.add_typer(data_app, name="data")
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the data sets; default: ASTROMORPHIC_DATA, else the user's cache."),
]


@data_app.command("list")
def data_list(data: DataOption = None) -> None:
    """List the known data sets with size, licence, and whether they are here."""
    from . import data_commands

    print(data_commands.table(data))


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="A data set of `astromorphic data list`.")],
    data: DataOption = None,
    sha256: Annotated[
        str | None, typer.Option("--sha256", metavar="HASH", help="Of the file, where none is registered.")
    ] = None,
    accept_unverified: Annotated[
        bool,
        typer.Option("--accept-unverified", help="Take what comes where no hash is registered, and print its hash."),
    ] = False,
) -> None:
    """Show the licence, download, check and unpack. A complete folder is left alone, a damaged one replaced."""
    from . import data_commands

    print(data_commands.notice(name, sha256, accept_unverified), file=sys.stderr)
    with progress_bar(f"fetching {name}") as advance:
        text = data_commands.fetch(name, data, sha256, accept_unverified, advance)
    print(text)


@data_app.command("check")
def data_check(
    name: Annotated[str | None, typer.Argument(help="A data set; default: all that are here.")] = None,
    data: DataOption = None,
) -> None:
    """Compare every file with its recorded hash; exit status 2 names the first one that differs."""
    from . import data_commands

    with progress_bar("checking") as advance:
        text = data_commands.check(name, data, advance)
    print(text)


@app.command()
def benchmark(
    what: Annotated[str, typer.Argument(help="simulation, accuracy, attention, spiking or memory.")],
    quick: QuickOption = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the rows as JSON.")] = None,
    lengths: Annotated[
        str | None, typer.Option("--lengths", metavar="N,N,...", help="spiking: tokens of context in inference.")
    ] = None,
    width: Annotated[
        int | None, typer.Option("--width", help="spiking: width in inference; 2048 is that of 1b5.")
    ] = None,
    layers: Annotated[int | None, typer.Option("--layers", help="spiking: layers in inference.")] = None,
) -> None:
    """Measure on this machine and print ratios."""
    from . import commands

    sizes = {
        "lengths": None if lengths is None else commands.whole_numbers("--lengths", lengths),
        "width": width,
        "layers": layers,
    }
    print(commands.benchmark(what, quick, json_file, {k: v for k, v in sizes.items() if v is not None}))


@app.command()
def doctor() -> None:
    """Say what this installation can do and what is missing."""
    from .doctor import examine

    findings = examine()
    for finding in findings:
        remedy = f"  ->  {finding.remedy}" if finding.remedy else ""
        print(f"{finding.state:6s}{finding.thing:20s}{finding.found}{remedy}")
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(1)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: runs the command and turns errors into exit statuses."""
    with _termination_as_exception():
        _main(arguments)


def _main(arguments: list[str] | None) -> None:
    given = sys.argv[1:] if arguments is None else arguments
    try:
        status: Any = app(
            args=_with_cluster(given),
            prog_name="astromorphic",
            standalone_mode=False,
        )
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except typer.Exit as stop:
        status = stop.exit_code
    except _Continuable as stop:
        print(f"astromorphic: {stop}", file=sys.stderr)
        sys.exit(stop.status)
    except _Terminated:
        print("astromorphic: terminated; no half-written file is left", file=sys.stderr)
        status = TERMINATED
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # a bare `astromorphic`; the help is printed already
            sys.exit(2)
        if hasattr(error, "format_message"):  # wrong usage, found by the command-line parser
            _fail(_with_remedy(error), given)
        if isinstance(error, AssignmentError) or _is_ours(error):
            _fail(str(error), given)
        if isinstance(error, OSError) and error.errno in _FULL:
            _fail(
                f"cannot write {error.filename or 'the result'}: {error.strerror}; free some space or choose another folder",
                given,
            )
        raise
    # The command-line parser itself turns Ctrl-C into this status.
    if status == INTERRUPTED:
        print("astromorphic: interrupted; no half-written file is left", file=sys.stderr)
    sys.exit(status if isinstance(status, int) else 0)


def _with_cluster(arguments: list[str]) -> list[str]:
    """`--cluster` without an address means this machine; the parser knows no options whose value may be left out."""
    given = []
    for argument, following in itertools.pairwise([*arguments, ""]):
        bare = argument == "--cluster" and "://" not in following and following != "local"
        given.append("--cluster=local" if bare else argument)
    return given


def _is_ours(error: Exception) -> bool:
    return isinstance(error, ValueError) and type(error).__module__.split(".")[0] in _OURS


class _Terminated(BaseException):
    """SIGTERM, as an exception: what was begun is cleaned up and worker processes are ended, as after Ctrl-C."""


class _Continuable(BaseException):
    """The command was stopped and says itself how to go on."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@contextlib.contextmanager
def _termination_as_exception() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _with_remedy(error: Any) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "astromorphic"
    return f"{error.format_message().rstrip('.')}; see {command} --help"


def _fail(message: str, arguments: list[str]) -> None:
    """One line on standard error, exit status 2; of several processes of one training run the first says it."""
    if "train" in arguments[:1] and not speaks():
        # The launcher ends the others as soon as one has stopped.
        time.sleep(1.0)
        sys.exit(2)
    print("astromorphic: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)
