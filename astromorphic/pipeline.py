"""The main job: simulate Fig. 3, fit it, train the small model with four responses, and write the report.

Stages leave whole files in the run folder. A run that was interrupted is continued by the same command: what is there and
belongs to the same settings is kept. Nothing is ever removed: a finished run, another run and any other folder are refused.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .console import progress_bar

if TYPE_CHECKING:
    import xarray as xr

    from bridge import AlphaEstimates, Comparison, MacroParameters
    from models import RunResult

SETTINGS, REPORT, FORMAT = "settings.json", "report.html", "astromorphic-run"
# Everything a run makes; nothing else in the folder is ever touched.
PRODUCTS = (
    REPORT,
    "fig3.nc",
    "traces_wade2012.nc",
    "traces_psu.nc",
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
    folder = Path(out)
    settings = settings or Settings()
    _claim(folder, settings)
    timings: dict[str, float] = {}
    reused: list[str] = []

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        timings[name] = time.perf_counter() - started

    with stage("simulation"):
        fig3, traces = _simulate(folder, settings, reused)
    with stage("fit"):
        macro, comparison, published, alphas = _fit(folder, fig3, settings)
    with stage("training, evaluation and causality tests"):
        runs, activation = _train(folder, macro, settings, workers, reused)
    with stage("figures and report"):
        from figures import fig3 as fig3_figure
        from figures.output import write_figure
        from figures.report import RunData, write

        table = fig3_figure.tidy(fig3)
        write_figure("fig3", fig3_figure.draw(table), table, folder / "figures")
        data = RunData(
            fig3=fig3, traces=traces, macro=macro, comparison=comparison, published_comparison=published, alphas=alphas,
            runs=runs, reference_activation=activation, context=settings.context, settings=asdict(settings), timings=timings,
            reused=tuple(reused),
        )  # fmt: skip
        return write(data, folder / REPORT)


def _claim(folder: Path, settings: Settings) -> None:
    """Make the folder ready: empty, or the unfinished part of a run with the same settings."""
    from biosim.atomic import OutputError, write_text

    if folder.exists() and not folder.is_dir():
        raise OutputError(f"cannot use {folder} as a run folder: it is a file; choose another folder with --out")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / SETTINGS).is_file():
        raise PipelineError(f"{folder} is not empty and holds no run of astromorphic; choose another folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make folder {folder} ({error.strerror}); choose another one with --out") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"folder {folder} is not writable; choose another one with --out")
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


def _simulate(folder: Path, settings: Settings, reused: list[str]) -> tuple[xr.Dataset, dict[str, xr.Dataset]]:
    import biosim
    from figures import traces

    def keep_or(path: Path, make: Any) -> xr.Dataset:
        if path.is_file():
            reused.append("simulation")
            return biosim.load(path)
        dataset: xr.Dataset = make()
        biosim.save(dataset, path)
        return dataset

    seed = settings.seed
    with progress_bar("simulating Fig. 3 (synapse ensembles)") as advance:
        fig3 = keep_or(
            folder / "fig3.nc", lambda: biosim.simulate("fig3", trials=settings.trials, seed=seed, progress=advance)
        )
    if all((folder / f"traces_{name}.nc").is_file() for name in traces.SETS):
        return fig3, {name: biosim.load(folder / f"traces_{name}.nc") for name in traces.SETS}
    single = traces.simulate(seed=seed)
    for name, dataset in single.items():
        biosim.save(dataset, folder / f"traces_{name}.nc")
    return fig3, single


def _fit(
    folder: Path, fig3: xr.Dataset, settings: Settings
) -> tuple[MacroParameters, Comparison, Comparison, AlphaEstimates]:
    import bridge
    from biosim.atomic import write_text

    seed, resamples = settings.seed, settings.bootstraps
    with progress_bar("fitting the response") as advance:
        curve = bridge.response_curve(fig3)
        advance(0, 4)
        comparison = bridge.compare(curve, seed=seed)
        advance(1, 4)
        published = bridge.compare(
            bridge.published("astromorphic_fig3").with_resting_calcium(curve.resting_calcium or 0.0)
        )
        advance(2, 4)
        alphas = bridge.estimate_all(curve, n_resamples=resamples, seed=seed)
        advance(3, 4)
        sampled = bridge.bootstrap(comparison.best, n_resamples=resamples, rng=seed)
        advance(4, 4)
    macro = bridge.macro_from_fit(
        comparison.best,
        alphas[bridge.DEFAULT_ESTIMATOR],
        title=f"{comparison.best.family.name} response of the simulated Fig. 3 (wade2012)",
        comparison=comparison,
        bootstrap=sampled,
        provenance={"command": "astromorphic run", "settings": asdict(settings)},
    )
    macro.save(folder / "macro.json")
    write_text(folder / "fits.csv", comparison.table().to_csv())
    write_text(folder / "alpha.csv", alphas.table().to_csv())
    return macro, comparison, published, alphas


def _train(
    folder: Path, macro: MacroParameters, settings: Settings, workers: int | None, reused: list[str]
) -> tuple[list[RunResult], float]:
    from models import main_arms

    from .jobs import train_all

    context = settings.context
    jobs = []
    for seed in range(settings.seed, settings.seed + settings.training_seeds):
        for arm, config in main_arms(macro, context).items():
            target = folder / "models" / f"{arm}-seed{seed}"
            if (target / "run.json").is_file():
                reused.append("training, evaluation and causality tests")
            job = {
                "config": config.settings(),
                "recipe": settings.recipe,
                "out_dir": str(target),
                "seed": seed,
                "arm": arm,
            }
            jobs.append(job)
    return train_all(jobs, workers), context / 2
