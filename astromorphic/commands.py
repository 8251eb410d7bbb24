"""What the commands do, without the command line: plain functions that return what is to be printed."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .assignments import AssignmentError

if TYPE_CHECKING:
    from models.tasks.base import Split

Advance = Callable[[int, int], None]
# Each has measure(quick), which returns rows of name, value and unit, and table(rows).
BENCHMARKS = {
    "simulation": "astromorphic.benchmark_simulation",
    "accuracy": "astromorphic.benchmark_accuracy",
    "attention": "astromorphic.benchmark_attention",
    "spiking": "astromorphic.benchmark_spiking",
    "memory": "astromorphic.benchmark_memory",
}
# Below this, logits divided by the temperature can overflow float32.
COLDEST = 1e-3


def simulate(
    protocol: str,
    parameters: str | None,
    changes: Mapping[str, Any],
    engine: str,
    seed: int,
    record: float | None,
    out: Path,
    progress: Advance,
    block: int | None = None,
    cluster: str | None = None,
) -> Path:
    """Simulate and save. `changes` are parameters and options of the protocol; a list of values of a parameter sweeps it.

    Without `parameters` the set is the one the protocol is meant for.

    A run of more than one block (or `block` units, or on a `cluster`, or one that was begun so) is done by `biosim.sweep`.
    """
    import inspect

    import biosim
    from biosim.folders import parts_folder
    from biosim.protocols import LIST_OPTIONS, parameters_of
    from biosim.registry import choose

    sets = parameters_of(protocol)
    signature = inspect.signature(biosim.PROTOCOLS[protocol]).parameters
    options = [name for name in signature if name != "parameters"]
    check_target(out)
    values, swept, chosen = {}, {}, {}
    for name, value in changes.items():
        choose("parameter or option", name, [*sets.quantity_names(), *options])
        if name in options:
            plural = name in LIST_OPTIONS
            chosen[name] = [value] if plural and not isinstance(value, list) else value
        elif isinstance(value, list):
            swept[name] = value
        else:
            values[name] = value
    start = sets.parameter_set(parameters or signature["parameters"].default).with_values(**values)
    plan = biosim.protocol(protocol, start, **chosen)
    for name, axis in swept.items():
        plan = biosim.swept(plan, name, axis)
    if isinstance(plan, biosim.Plan):
        if block is not None or cluster is not None:
            raise AssignmentError(f"protocol {protocol} is one run and cannot be cut; leave out --block and --cluster")
        return biosim.save(biosim.simulate(plan, engine=engine, seed=seed, record=record, progress=progress), out)
    if record is not None:
        plan = plan.with_clock(record=record)
    choose("engine", engine, biosim.ENGINES)
    begun = block is not None or cluster is not None or parts_folder(out).is_dir()
    if begun or plan.n_units > biosim.block_size(plan, engine):
        return biosim.sweep(plan, out, engine=engine, seed=seed, block=block, cluster=cluster, progress=progress)
    return biosim.save(biosim.simulate(plan, engine=engine, seed=seed, progress=progress), out)


def check_target(out: Path) -> None:
    """Find out before the work, not after it, that the result cannot be written."""
    from biosim.atomic import check_writable

    check_writable(out)


def check_single(changes: Mapping[str, Any]) -> None:
    """AssignmentError for a list of values: a training run sweeps nothing."""
    for name, value in changes.items():
        # The proportions of a cut, the names of classes, the penalties to choose from and time constants per head are lists.
        if isinstance(value, list) and name not in ("split", "classes", "image_size", "penalties", "tau"):
            raise AssignmentError(f"--set {name}: a training run takes one value, not a list")


def train(
    task: str,
    model: str,
    preset: str,
    data: Path | None,
    macro: Path | None,
    changes: Mapping[str, Any],
    seed: int,
    out: Path,
    progress: Callable[[int, int, Mapping[str, float]], None],
    start: Path | None = None,
    device: str = "cpu",
) -> str:
    """Train and return a summary as text. start : folder of a language model to go on from."""
    from . import macro_commands, memory_commands

    if memory_commands.is_memory(task):
        _no_start(start)
        _on_cpu(f"task {task}", device)
        _alone(f"task {task}")
        return memory_commands.train(task, model, preset, data, macro, changes, seed, out, progress)
    check_single(changes)
    # Wrong names are found before what takes seconds to import.
    from models.tasks.loading import family, resolve
    from models.tasks.prepare import BAG_OF_WORDS
    from models.tasks.presets import task_preset

    named, place = resolve(task, data)
    task_preset(family(named), preset, model)
    if model == BAG_OF_WORDS:
        _no_start(start)
        _on_cpu(f"model {BAG_OF_WORDS}", device)
        _alone(f"model {BAG_OF_WORDS}")
        return _train_bag(named, preset, place, macro, changes, seed, out, progress)
    from models import train as train_model
    from models.processes import launched
    from models.tasks.prepare import prepare

    with launched().agreed():
        parameters = None if macro is None else macro_commands.macro_parameters(str(macro))
        ready = prepare(named, model, preset, data=place, macro=parameters, changes=changes, start=start)
    result = train_model(
        ready.config, ready.task, ready.recipe, out, seed, arm=model, progress=progress, start=start, device=device
    )
    return f"{out}: {_scores(result)}; {result.n_parameters:,} parameters, {result.steps} steps, {result.wall_time_s:.0f} s"


def _alone(what: str) -> None:
    """Refused under a launcher of several processes, which would all write into one folder."""
    from models.processes import check_alone

    check_alone(what)


def _on_cpu(what: str, device: str) -> None:
    if device != "cpu":
        raise AssignmentError(f"--device {device}: {what} is trained on the CPU; leave it out")


def _no_start(start: Path | None) -> None:
    if start is not None:
        raise AssignmentError(f"--from {start}: only language models go on from saved weights; leave it out")


def _train_bag(
    task: str,
    preset: str,
    data: Any,
    macro: Path | None,
    changes: Mapping[str, Any],
    seed: int,
    out: Path,
    progress: Callable[[int, int, Mapping[str, float]], None],
) -> str:
    """Fit a bag of words and return a summary as text."""
    if macro is not None:
        raise AssignmentError("--macro is the response of a network, and a bag of words is none; leave it out")
    if seed != 0:
        raise AssignmentError(
            f"--seed {seed}: a bag of words has one minimum whatever the seed; leave it out, or cut the data otherwise with "
            "--set split_seed=N"
        )
    from models import train_bag_of_words

    result = train_bag_of_words(task, out, data=data, preset=preset, changes=changes, progress=progress)
    penalties = result.recipe["penalties"]
    chosen = penalties[result.chosen_step - 1]
    edge = len(penalties) > 1 and chosen in (penalties[0], penalties[-1])
    note = ", the outermost that was tried (set penalties to look beyond)" if edge else f" of {len(penalties)}"
    return f"{out}: {_scores(result)}; penalty {chosen:g}{note}; {result.n_parameters:,} parameters, {result.wall_time_s:.0f} s"


def _scores(result: Any) -> str:
    """Test and validation in the unit of the task, and what has to be known about them."""
    test, validation = result.scores["test"], result.scores["validation"]
    epoch = "" if result.chosen_epoch is None else f", epoch {result.chosen_epoch:.3g}"
    picked = {"last": f"last weights{epoch}"}.get(
        result.recipe["select"], f"weights picked by validation {result.recipe['select']}{epoch}"
    )
    if result.kind != "language":
        majority = "" if test.majority is None else f"; the commonest class is {100 * test.majority:.2f} % of test"
        if result.data.test_seen is not None:
            majority += f"; {result.data.test_seen:,} of the test texts stand in the training file too"
        return (
            f"test accuracy {100 * test.accuracy:.2f} % of {test.n:,}, validation {100 * validation.accuracy:.2f} % of "
            f"{validation.n:,}{majority}; {picked}"
        )
    if result.causality is None or result.causality.verdict != "causal":
        return f"not a language model: test {test.loss:.4f} nats per token in one pass that sees the future; {picked}"
    if test.bits_per_byte is not None and validation.bits_per_byte is not None:
        words = f"test {test.bits_per_byte:.4f}, validation {validation.bits_per_byte:.4f} bits per byte"
    else:
        words = f"test {test.loss:.4f}, validation {validation.loss:.4f} nats per token"
    if result.data.tokenizer != "bytes" and test.perplexity_per_token is not None:
        words += f"; test perplexity {test.perplexity_per_token:.2f} per token ({result.data.tokenizer})"
    return f"{words}; {result.causality.verdict}; {picked}"


def evaluate(
    folder: Path,
    data: Path | None,
    split: str,
    context: int | None,
    stride: int | None,
    reevaluate: int,
    leaks: bool = False,
    task: str | None = None,
    carried: bool = False,
) -> str:
    """Score a run folder again and say it in all units, or put a language model through the leak tests."""
    from biosim.registry import choose

    part = cast("Split", choose("split", split, ["test", "validation"]))
    from models.scoring import leaks_of_run, score_run

    if leaks:
        if context is not None or stride is not None or carried:
            raise AssignmentError(
                "--context, --stride and --carried are of the score and --leaks scores nothing; leave them out"
            )
        return leaks_of_run(folder, data=data, split=part, reevaluate=reevaluate, task=task)
    return score_run(
        folder, data=data, split=part, context=context, stride=stride, reevaluate=reevaluate, task=task, carried=carried
    )


def zero_shot(folder: Path, tasks: str, data: Path | None, limit: int | None, harness: bool, progress: Advance) -> str:
    """Score a language model on zero-shot tasks."""
    # Wrong names are found before what takes seconds to import.
    from models.zeroshot.files import task_names

    task_names(tasks)
    from models.zeroshot.evaluation import evaluate_zero_shot

    return evaluate_zero_shot(folder, tasks, data=data, limit=limit, harness=harness, progress=progress)


def generate(
    folder: Path,
    prompt: str,
    length: int | None,
    temperature: float,
    seed: int,
    data: Path | None = None,
    show: Callable[[str], None] | None = None,
    notice: Callable[[str], None] = lambda text: None,
) -> str:
    """Continue `prompt` by `length` tokens of the model, or by as many as it has positions for.

    show : gets the text piece by piece while it is made. notice : what has to be known about the prompt.
    """
    if not prompt:
        raise AssignmentError("--prompt is empty: give at least one character to continue")
    _check_temperature(temperature)
    from models.continuation import WordCodec, open_writer

    writer = open_writer(folder, data)
    if not writer.model.config.causal:
        notice(
            f"{folder} holds a model that sees the future (causal=False): no language model, and this no sample of one"
        )
    ids, unit = writer.codec.encode(prompt), writer.codec.unit
    if not ids:
        raise AssignmentError(f"--prompt {prompt!r} holds none of the model's {unit}: give at least one to continue")
    # A state of constant size reads and writes any number of tokens; without a length it writes as many as a block has.
    room = writer.positions if writer.unlimited else writer.positions - len(ids)
    if room < 1:
        raise AssignmentError(
            f"--prompt has {len(ids)} {unit} and fills the {writer.positions} positions of the model; shorten it"
        )
    length = room if length is None else length
    if length > room and not writer.unlimited:
        raise AssignmentError(
            f"--length {length} with a prompt of {len(ids)} {unit}: the model's positions end at {writer.positions}; shorten "
            f"the prompt or ask for at most {room} {unit}"
        )
    if isinstance(writer.codec, WordCodec) and (unknown := writer.codec.unknown(prompt)):
        notice(f"the model does not know {', '.join(unknown[:8])}{' ...' if len(unknown) > 8 else ''}; read as <unk>")
    return writer.continued(ids, length, temperature, seed, show)


def chat(
    folder: Path,
    turns: Iterable[str],
    length: int,
    temperature: float,
    seed: int,
    data: Path | None = None,
    show: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """A reply of the model to each of the user's `turns`; empty ones are passed over. show : gets each piece by piece."""
    _check_temperature(temperature)
    from models.chat import open_chat

    conversation = open_chat(folder, data, temperature=temperature, seed=seed)
    for turn in turns:
        if turn.strip():
            yield conversation.reply(turn.strip(), length, show)


def _check_temperature(temperature: float) -> None:
    if not (temperature == 0 or COLDEST <= temperature < math.inf):
        raise AssignmentError(
            f"--temperature {temperature:g}: expected 0 for the likeliest token, or a finite number of at least {COLDEST:g}"
        )


def whole_numbers(name: str, text: str) -> list[int]:
    """Numbers from "64,128"; AssignmentError that names the option."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise AssignmentError(f"{name} is {text!r:.60}; expected whole numbers with commas, such as 64,1024") from None


def benchmark(what: str, quick: bool, json_file: Path | None, sizes: dict[str, Any] | None = None) -> str:
    """Run a benchmark and return its table; also write its rows as JSON. sizes : of networks, of `spiking` alone."""
    from biosim.atomic import write_text
    from biosim.registry import choose

    name = choose("benchmark", what, BENCHMARKS)
    module = importlib.import_module(BENCHMARKS[name])
    if sizes and name != "spiking":
        raise AssignmentError(f"--{next(iter(sizes))} belongs to the benchmark spiking, not to {name}; leave it out")
    if json_file:
        check_target(json_file)
    rows = module.measure(quick, **(sizes or {}))
    if json_file:
        write_text(json_file, json.dumps(rows, indent=2) + "\n")
    return str(module.table(rows))
