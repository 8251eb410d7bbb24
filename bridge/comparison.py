"""All curve families side by side, ranked by AICc."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .checks import FitError, check_level, random_generator, several
from .curves import FAMILIES, Family, MissingRest, family_named
from .fitting import Fit, fit
from .measure import Curve, CurveError, expect_curve

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Comparison:
    """Fits of several families to one curve, best first.

    fits : by identifier, in order of increasing AICc. weights : Akaike weights, the relative support among these
        families.
    skipped : families that could not be fitted, with the reason.
    """

    fits: Mapping[str, Fit]
    weights: Mapping[str, float]
    skipped: Mapping[str, str]

    @property
    def best(self) -> Fit:
        """The fit with the lowest AICc."""
        return next(iter(self.fits.values()))

    def records(self) -> list[dict[str, str | float | bool]]:
        """One row per family, best first: plain values, ready for JSON or a table."""
        lowest = self.best.aicc
        return [
            {
                "family": name,
                "equation": fitted.family.equation,
                "n_parameters": len(fitted.parameters),
                "aicc": fitted.aicc,
                "delta_aicc": 0.0 if fitted.aicc == lowest else fitted.aicc - lowest,
                "weight": self.weights[name],
                "r_squared": fitted.r_squared,
                "rmse_uM": fitted.rmse,
                "shape_parameter": fitted.family.nonlinear,
                "shape_value": fitted.values[fitted.family.nonlinear],
                "at_bound": fitted.at_bound,
            }
            for name, fitted in self.fits.items()
        ]

    def table(self) -> pd.DataFrame:
        """The ranking as a DataFrame, one row per family, best first."""
        import pandas as pd

        return pd.DataFrame.from_records(self.records()).set_index("family")

    def text(self) -> str:
        """The ranking as plain text."""
        lines = [f"{'family':18s}{'AICc':>11s}{'delta':>9s}{'weight':>8s}{'R2':>10s}{'RMSE uM':>11s}  shape"]
        for row in self.records():
            estimate = self.fits[str(row["family"])].parameters[str(row["shape_parameter"])]
            unit = "" if estimate.unit == "1" else f" {estimate.unit}"
            bound = f" (at its {estimate.at_bound} limit)" if estimate.at_bound else ""
            lines.append(
                f"{row['family']:18s}{row['aicc']:11.2f}{row['delta_aicc']:9.2f}{row['weight']:8.4f}{row['r_squared']:10.5f}"
                f"{row['rmse_uM']:11.3g}  {estimate.name} = {estimate.value:.4g}{unit}{bound}"
            )
        lines.extend(f"{name:18s}skipped: {reason}" for name, reason in self.skipped.items())
        return "\n".join(lines)


def compare(
    curve: Curve,
    families: Iterable[str | Family] | str | None = None,
    *,
    weighted: bool = False,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Fit `families` (all of them if None) to `curve` and rank them by AICc with Akaike weights.

    Families the curve cannot support are listed as skipped, with the reason. The weights assume what `fit` does: with
    correlated points they are far too sure.

    Raises
    ------
    UnknownName
        Unknown family.
    CurveError
        `curve` is no Curve.
    FitError
        Impossible level or seed, or none of the families can be fitted; the message is then that of the first.
    """
    curve = expect_curve(curve)
    check_level(level)
    random_generator(seed)
    chosen = [family_named(name) for name in several("families", FAMILIES if families is None else families)]
    fits: dict[str, Fit] = {}
    skipped: dict[str, str] = {}
    for family in chosen:
        try:
            fits[family.name] = fit(curve, family, weighted=weighted, level=level, seed=seed)
        except (FitError, CurveError, MissingRest) as error:
            skipped[family.name] = str(error)
    if not fits:
        raise FitError(f"no family could be fitted: {next(iter(skipped.values()), 'none was given')}")
    ranked = dict(sorted(fits.items(), key=lambda item: item[1].aicc))
    return Comparison(ranked, _akaike_weights({name: f.aicc for name, f in ranked.items()}), skipped)


def _akaike_weights(aicc: Mapping[str, float]) -> dict[str, float]:
    lowest = min(aicc.values())
    if math.isinf(lowest):
        # AICc exists for none of them: the points are too few to prefer one.
        return {name: 1 / len(aicc) for name in aicc}
    support = {name: math.exp(-0.5 * (value - lowest)) for name, value in aicc.items()}
    total = sum(support.values())
    return {name: value / total for name, value in support.items()}
