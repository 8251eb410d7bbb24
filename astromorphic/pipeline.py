"""The main job: simulate Fig. 3, fit it, train the small model with four responses, and write the report.

Stages leave whole files in the run folder. A run that was interrupted is continued by the same command: what is there and
belongs to the same settings is kept. Nothing is ever removed: a finished run, another run and any other folder are refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__, slow_processes
from .console import progress_bar

if TYPE_CHECKING:
    import xarray as xr

    from bridge import AlphaEstimate, AlphaEstimates, Comparison, MacroParameters
    from models import RunResult

SETTINGS, REPORT, FORMAT = "settings.json", "report.html", "astromorphic-run"
SIMULATION, TRAINING = "simulation", "training, evaluation and causality tests"
# What the training library's seeding takes.
LARGEST_SEED = 2**32 - 1
# Everything a run makes; nothing else in the folder is ever touched.
PRODUCTS = (
    REPORT,
    "fig3.nc",
    "traces_wade2012.nc",
    "traces_psu.nc",
    *slow_processes.SIMULATIONS,
    "macro.json",
    "fits.csv",
    "alpha.csv",
    "models",
    "figures",
)


class PipelineError(ValueError):
    """A run folder that cannot be used."""


@dataclass(frozen=True)
class Settings:
    """How much of everything.

    seed : seeds simulation, bootstrap and the first training. trials : repeats per input rate of Fig. 3. bootstraps :
    resamples of the fits. training_seeds : how many seeds per arm, counted up from `seed`. recipe : training budget, a
    name of `models.RECIPES`. context : bytes the models see at once.
    """

    seed: int = 0
    trials: int = 32
    bootstraps: int = 1000
    training_seeds: int = 2
    recipe: str = "default"
    context: int = 64
    version: str = __version__

    def __post_init__(self) -> None:
        last = self.seed + self.training_seeds - 1
        if self.seed < 0 or last > LARGEST_SEED:
            raise PipelineError(
                f"seed is {self.seed}; with {self.training_seeds} training seeds it may be 0 to "
                f"{LARGEST_SEED - self.training_seeds + 1}"
            )

    @classmethod
    def quick(cls, seed: int = 0) -> Settings:
        """Less of everything, to see within a minute that the whole way works."""
        return cls(seed=seed, trials=8, bootstraps=200, training_seeds=1, recipe="quick")


def run(out: str | Path, settings: Settings | None = None, *, workers: int | None = None) -> Path:
    """Do the main job in the folder `out` and return the path of the report.

    workers : training processes, one thread each; default: the cores.

    Raises
    ------
    PipelineError, OutputError
        The folder cannot be written, or holds something else.
    """
    from biosim.folders import exclusive, output_folder

    folder = Path(out)
    settings = settings or Settings()
    with exclusive(output_folder(folder)):
        return _run(folder, settings, workers)


def _run(folder: Path, settings: Settings, workers: int | None) -> Path:
    _claim(folder, settings)
    timings: dict[str, float] = {}
    # stage -> what an earlier, interrupted start left whole
    kept: dict[str, list[str]] = {SIMULATION: [], TRAINING: []}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        timings[name] = time.perf_counter() - started

    with stage(SIMULATION):
        fig3, traces, slow = _simulate(folder, settings, kept[SIMULATION])
    with stage("fit"):
        fits = _fit(folder, fig3, slow, settings)
    with stage(TRAINING):
        runs, activation = _train(folder, fits.macro, settings, workers, kept[TRAINING])
    with stage("figures"):
        from figures import fig3 as fig3_figure
        from figures.output import write_figure
        from figures.report import RunData, draw, write

        table = fig3_figure.tidy(fig3)
        write_figure("fig3", fig3_figure.draw(table), table, folder / "figures")
        data = RunData(
            fig3=fig3, traces=traces, macro=fits.macro, comparison=fits.comparison, published_comparison=fits.published,
            alphas=fits.alphas, published_alpha=fits.published_alpha, parameters=fits.parameters, runs=runs,
            reference_activation=activation, context=settings.context, settings=asdict(settings), timings=timings, kept=kept,
        )  # fmt: skip
        drawn = draw(data)
    return write(data, folder / REPORT, drawn)


def _claim(folder: Path, settings: Settings) -> None:
    """Make the folder ready: empty, or the unfinished part of a run with the same settings."""
    from biosim.atomic import is_temporary, write_text

    content = [path for path in folder.iterdir() if not is_temporary(path)] if folder.is_dir() else []
    if content and not (folder / SETTINGS).is_file():
        raise PipelineError(f"{folder} is not empty and holds no run of astromorphic; choose another folder with --out")
    text = json.dumps({"format": FORMAT, **asdict(settings)}, indent=2, sort_keys=True) + "\n"
    note = folder / SETTINGS
    if note.is_file():
        _check_ours(note)
        if (folder / REPORT).exists():
            raise PipelineError(
                f"{folder} holds a finished run; look at {folder / REPORT}, or name another folder with --out"
            )
        if note.read_text(encoding="utf-8") != text:
            raise PipelineError(
                f"{folder} holds an unfinished run with other settings; repeat its command, or name another folder"
            )
        return
    write_text(note, text)


def _check_ours(note: Path) -> None:
    """Raise unless `note` was written by this job; another program's settings must not make its folder ours."""
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise PipelineError(
            f"{note.parent} is not empty and holds no run of astromorphic; choose another folder with --out"
        )


def _simulate(
    folder: Path, settings: Settings, kept: list[str]
) -> tuple[xr.Dataset, dict[str, xr.Dataset], dict[str, xr.Dataset]]:
    """Fig. 3, traces of single runs, and the simulations behind the slow sections of the macro file."""
    import biosim
    from figures import traces

    def keep_or(path: Path, make: Any) -> xr.Dataset:
        if path.is_file():
            kept.append(path.name)
            return biosim.load(path)
        dataset: xr.Dataset = make()
        biosim.save(dataset, path)
        return dataset

    seed = settings.seed
    with progress_bar("simulating Fig. 3 (synapse ensembles)") as advance:
        fig3 = keep_or(
            folder / "fig3.nc", lambda: biosim.simulate("fig3", trials=settings.trials, seed=seed, progress=advance)
        )
    slow = {
        name: keep_or(folder / name, partial(slow_processes.simulate, name, seed))
        for name in slow_processes.SIMULATIONS
    }
    if all((folder / f"traces_{name}.nc").is_file() for name in traces.SETS):
        kept.append("traces")
        return fig3, {name: biosim.load(folder / f"traces_{name}.nc") for name in traces.SETS}, slow
    single = traces.simulate(seed=seed)
    for name, dataset in single.items():
        biosim.save(dataset, folder / f"traces_{name}.nc")
    return fig3, single, slow


@dataclass(frozen=True)
class _Fits:
    """What the fit of the simulated curve gives, and the same families and estimator on the published one."""

    macro: MacroParameters
    comparison: Comparison
    alphas: AlphaEstimates
    parameters: list[dict[str, Any]]
    published: Comparison
    published_alpha: AlphaEstimate


def _fit(folder: Path, fig3: xr.Dataset, slow: dict[str, xr.Dataset], settings: Settings) -> _Fits:
    import bridge
    from biosim.atomic import write_text

    seed, resamples = settings.seed, settings.bootstraps
    with progress_bar("fitting the response") as advance:
        curve = bridge.response_curve(fig3)
        advance(0, 5)
        comparison = bridge.compare(curve, seed=seed)
        advance(1, 5)
        other = bridge.published("astromorphic_fig3").with_resting_calcium(curve.resting_calcium or 0.0)
        published = bridge.compare(other)
        published_alpha = bridge.estimate_alpha(other, n_resamples=0)
        advance(2, 5)
        alphas = bridge.estimate_all(curve, n_resamples=resamples, seed=seed)
        advance(3, 5)
        sampled = bridge.bootstrap(comparison.best, n_resamples=resamples, rng=seed)
        advance(4, 5)
        sections, _ = slow_processes.fit(slow, origin=lambda *_: {"command": "astromorphic run"})
        advance(5, 5)
    macro = bridge.macro_from_fit(
        comparison.best,
        alphas[bridge.DEFAULT_ESTIMATOR],
        title=f"{comparison.best.family.name} response of the simulated Fig. 3 (wade2012), time constants, retention, distance",
        comparison=comparison,
        bootstrap=sampled,
        provenance={"command": "astromorphic run", "settings": asdict(settings)},
    ).with_sections(sections)
    macro.save(folder / "macro.json")
    write_text(folder / "fits.csv", comparison.table().to_csv())
    write_text(folder / "alpha.csv", alphas.table().to_csv())
    return _Fits(macro, comparison, alphas, comparison.best.records(bootstrap=sampled), published, published_alpha)


def _train(
    folder: Path, macro: MacroParameters, settings: Settings, workers: int | None, kept: list[str]
) -> tuple[list[RunResult], float]:
    from models import main_arms, matching_activation

    from .jobs import train_all

    context = settings.context
    activation = matching_activation(context)
    arms = main_arms(macro, context, activation=activation)
    jobs = []
    for seed in range(settings.seed, settings.seed + settings.training_seeds):
        for arm, config in arms.items():
            target = folder / "models" / f"{arm}-seed{seed}"
            if (target / "run.json").is_file() and (target / "model.safetensors").is_file():
                kept.append(target.name)
            job = {
                "config": config.settings(),
                "macro": macro.dumps() if config.macro_digest == macro.digest else None,
                "recipe": settings.recipe,
                "out_dir": str(target),
                "seed": seed,
                "arm": arm,
            }
            jobs.append(job)
    return train_all(jobs, workers), activation
