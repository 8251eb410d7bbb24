"""What an inference returns: samples of parameters with units, and everything needed to judge them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biosim.registry import choose

from .curves import Array
from .observation import InferenceError, Observation
from .predictive import PredictiveCheck, PriorCheck

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_KIND = "posterior of biological parameters"
QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)


@dataclass(frozen=True)
class Agreement:
    """How two posteriors of the same parameters differ, per parameter.

    shift : difference of the means in standard deviations of the second. sd_ratio : of the first to the second.
    edge_shift : the larger difference of the 2.5 and 97.5 % quantiles, in the same unit.
    """

    shift: Mapping[str, float]
    sd_ratio: Mapping[str, float]
    edge_shift: Mapping[str, float]

    def text(self) -> str:
        return "\n".join(
            f"{name}: mean {self.shift[name]:+.2f} sd, sd ratio {self.sd_ratio[name]:.2f}, 95 % limits within "
            f"{self.edge_shift[name]:.2f} sd"
            for name in self.shift
        )


@dataclass(frozen=True, eq=False)
class Posterior:
    """Samples of the free parameters given a curve.

    samples : [n, d], columns in the order of `ranges`. units : of the parameters.
    ranges : name -> (low, high) of the uniform prior. usual : the values of the set around which they lie.
    observation : the points that were explained. method : ``npe`` or ``importance``.
    before, after : prior and posterior predictive check. settings : of simulation and method, ready for JSON.
    notes : what a reader of the numbers has to know.
    """

    samples: Array
    units: Mapping[str, str]
    ranges: Mapping[str, tuple[float, float]]
    usual: Mapping[str, float]
    observation: Observation
    method: str
    before: PriorCheck
    after: PredictiveCheck
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.ranges)

    def __getitem__(self, name: str) -> Array:
        """Samples of one parameter, [n]."""
        return np.asarray(self.samples[:, self.names.index(choose("free parameter", name, self.names))])

    @property
    def mean(self) -> Array:
        return np.asarray(self.samples.mean(axis=0))

    @property
    def sd(self) -> Array:
        return np.asarray(self.samples.std(axis=0))

    @property
    def quantiles(self) -> Array:
        """At 2.5, 25, 50, 75 and 97.5 %, [5, d]."""
        return np.asarray(np.quantile(self.samples, QUANTILES, axis=0))

    @property
    def correlation(self) -> Array:
        """Between the parameters, [d, d]."""
        return np.asarray(np.atleast_2d(np.corrcoef(self.samples.T)))

    @property
    def narrowing(self) -> Array:
        """Width of the middle 95 % in shares of the prior's, [d]: 1 where the curve says nothing."""
        low, high = np.array(list(self.ranges.values())).T
        found = self.quantiles
        return np.asarray((found[-1] - found[0]) / (0.95 * (high - low)))

    def agreement(self, other: Posterior) -> Agreement:
        """How this posterior differs from `other`, which has the same parameters."""
        if self.names != other.names:
            raise InferenceError(
                f"posteriors of {', '.join(self.names)} and of {', '.join(other.names)} cannot be compared; infer the same"
            )
        edges = np.max(np.abs(self.quantiles[[0, -1]] - other.quantiles[[0, -1]]), axis=0) / other.sd

        def named(values: Array) -> dict[str, float]:
            return dict(zip(self.names, map(float, values), strict=True))

        return Agreement(named((self.mean - other.mean) / other.sd), named(self.sd / other.sd), named(edges))

    def records(self) -> list[dict[str, Any]]:
        """One row per parameter: plain values, ready for JSON or a table."""
        found = self.quantiles
        return [
            {
                "parameter": name,
                "unit": self.units[name],
                "usual": self.usual[name],
                "low": self.ranges[name][0],
                "high": self.ranges[name][1],
                "mean": float(self.mean[j]),
                "sd": float(self.sd[j]),
                **{f"q{100 * q:g}": float(found[i, j]) for i, q in enumerate(QUANTILES)},
                "narrowing": float(self.narrowing[j]),
            }
            for j, name in enumerate(self.names)
        ]

    def table(self) -> pd.DataFrame:
        """One row per parameter."""
        import pandas as pd

        return pd.DataFrame.from_records(self.records())

    def text(self) -> str:
        """The posterior as plain text."""
        lines = [
            f"{'parameter':10s}{'unit':>12s}{'median':>11s}{'2.5 %':>11s}{'97.5 %':>11s}   prior, share of it that is left"
        ]
        for row in self.records():
            lines.append(
                f"{row['parameter']:10s}{row['unit']:>12s}{row['q50']:11.4g}{row['q2.5']:11.4g}{row['q97.5']:11.4g}   "
                f"{row['low']:g} to {row['high']:g}, {row['narrowing']:.0%}"
            )
        if len(self.names) > 1:
            lines.append("correlation  " + "  ".join(f"{name:>8s}" for name in self.names))
            for name, row_ in zip(self.names, self.correlation, strict=True):
                lines.append(f"  {name:10s} " + "  ".join(f"{value:8.2f}" for value in row_))
        lines.append(
            f"prior predictive check: the curve is {self.before.distance:.2g} errors per point from the simulated ones, where "
            f"{self.before.usual:.2g} is usual and {self.before.largest:.2g} the most"
        )
        lines.append(self.after.text())
        lines.extend(f"note: {note}" for note in self.notes)
        return "\n".join(lines)

    def summary(self) -> dict[str, Any]:
        """All but the samples, ready for JSON."""
        o, b, a = self.observation, self.before, self.after
        return {
            "parameters": self.records(),
            "correlation": self.correlation.tolist(),
            "method": self.method,
            "n_samples": len(self.samples),
            "observation": {
                "rates_hz": o.rates.tolist(),
                "calcium_um": o.calcium.tolist(),
                "error_um": o.error.tolist(),
                "error_is": o.error_is,
                "source": o.source,
            },
            "prior_check": {
                "distance": b.distance, "usual": b.usual, "largest": b.largest, "share": b.share, "n": b.n,
            },
            "predictive_check": {
                "low_um": a.low.tolist(), "median_um": a.median.tolist(), "high_um": a.high.tolist(),
                "calcium_um": a.calcium.tolist(), "share_inside": a.share_inside,
                "width": a.width, "rms_um": a.rms, "worst": a.worst,
                "worst_rate_hz": a.worst_rate, "n": a.n, "n_not_finite": a.n_not_finite,
            },
            "settings": dict(self.settings),
            "notes": list(self.notes),
        }  # fmt: skip

    def to_dataset(self) -> xr.Dataset:
        """Samples with units; everything else in the attribute ``provenance``."""
        import xarray as xr

        from biosim.storage import SCHEMA_VERSION

        record = {"schema": SCHEMA_VERSION, "kind": _KIND, **self.summary()}
        return xr.Dataset(
            {
                name: (("sample",), self.samples[:, j], {"units": self.units[name], "long_name": f"{name}, posterior"})
                for j, name in enumerate(self.names)
            },
            attrs={"title": _KIND, "provenance": json.dumps(record, sort_keys=True, allow_nan=False)},
        )

    def save(self, path: str | Path) -> tuple[Path, Path]:
        """Write the samples as NetCDF to `path`, and beside it the summary as JSON; returns both paths.

        No network is saved: one that answers for other curves is trained anew from the simulations (`train_posterior`).
        """
        import biosim
        from biosim.atomic import write_text

        target = biosim.save(self.to_dataset(), path)
        text = json.dumps(self.summary(), indent=1, allow_nan=False)
        return target, write_text(Path(path).with_suffix(".json"), text + "\n")


def load_posterior(path: str | Path) -> Posterior:
    """Read a posterior written by `Posterior.save`.

    Raises
    ------
    DatasetError
        The file is missing, damaged or foreign.
    InferenceError
        A file of this package that holds something else.
    """
    import biosim

    dataset = biosim.load(path)
    record = biosim.provenance(dataset)
    if record.get("kind") != _KIND:
        raise InferenceError(f"{path} holds no posterior; name a file that Posterior.save wrote")
    try:
        rows, o, a = record["parameters"], record["observation"], record["predictive_check"]
        names = [str(row["parameter"]) for row in rows]
        return Posterior(
            samples=np.stack([dataset[name].values for name in names], axis=1),
            units={row["parameter"]: row["unit"] for row in rows},
            ranges={row["parameter"]: (row["low"], row["high"]) for row in rows},
            usual={row["parameter"]: row["usual"] for row in rows},
            observation=Observation(
                np.array(o["rates_hz"]), np.array(o["calcium_um"]), np.array(o["error_um"]), o["error_is"], o["source"]
            ),
            method=record["method"],
            before=PriorCheck(**record["prior_check"]),
            after=PredictiveCheck(
                rates=np.array(o["rates_hz"]),
                low=np.array(a["low_um"]),
                median=np.array(a["median_um"]),
                high=np.array(a["high_um"]),
                calcium=np.array(a["calcium_um"]),
                share_inside=a["share_inside"],
                width=a["width"],
                rms=a["rms_um"],
                worst=a["worst"],
                worst_rate=a["worst_rate_hz"],
                n=a["n"],
                n_not_finite=a["n_not_finite"],
            ),
            settings=record["settings"],
            notes=tuple(record["notes"]),
        )
    except (KeyError, TypeError) as error:
        raise InferenceError(f"{path} is incomplete ({type(error).__name__}: {error}); infer anew") from None
