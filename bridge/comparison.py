"""All curve families side by side, ranked by AICc, with the cross-validated error beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .checks import FitError, check_level, random_generator, several
from .cross_validation import cross_validated_error
from .curves import FAMILIES, Family, MissingRest, family_named
from .fitting import Fit, fit
from .measure import Curve, CurveError, expect_curve
from .spline import MONOTONE_SPLINE, SplineFit, fit_spline

if TYPE_CHECKING:
    import pandas as pd


# Families whose AICc differs by less have about equal support (Burnham and Anderson 2002, section 2.6).
_EQUAL_SUPPORT = 2.0


@dataclass(frozen=True, eq=False)
class Comparison:
    """Fits of several families to one curve, in order of their AICc.

    fits : by identifier, in order of increasing AICc. weights : Akaike weights, the relative support among these
        families.
    cross_validated : root mean square error of predicting each point from the others, in the unit of the response.
    spline : the monotone spline, if it was asked for; a yardstick without a weight: a spline far below all families in
        AICc says that each of them misses something of the shape. spline_cross_validated : its cross-validated error.
    skipped : families that could not be fitted, with the reason.
    """

    fits: Mapping[str, Fit]
    weights: Mapping[str, float]
    cross_validated: Mapping[str, float]
    skipped: Mapping[str, str]
    spline: SplineFit | None = None
    spline_cross_validated: float | None = None

    @property
    def best(self) -> Fit:
        """The fit with the fewest parameters among those within 2 of the lowest AICc, which support alike."""
        lowest = next(iter(self.fits.values())).aicc
        if math.isinf(lowest):
            return next(iter(self.fits.values()))
        alike = [fitted for fitted in self.fits.values() if fitted.aicc - lowest < _EQUAL_SUPPORT]
        return min(alike, key=lambda fitted: len(fitted.parameters))

    def records(self) -> list[dict[str, str | float | bool]]:
        """One row per family, lowest AICc first: plain values, ready for JSON or a table. The spline is not among them."""
        lowest = next(iter(self.fits.values())).aicc
        return [
            {
                "family": name,
                "equation": fitted.family.equation,
                "n_parameters": len(fitted.parameters),
                "aicc": fitted.aicc,
                "delta_aicc": 0.0 if fitted.aicc == lowest else fitted.aicc - lowest,
                "weight": self.weights[name],
                "cross_validated": self.cross_validated[name],
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
        first = next(iter(self.fits.values()))
        unit = first.curve.y_unit
        lines = [
            f"{'family':23s}{'parameters':>10s}{'AICc':>10s}{'delta':>9s}{'weight':>8s}{'CV ' + unit:>12s}{'RMSE ' + unit:>12s}"
            f"{'R2':>9s}  shape"
        ]
        for row in self.records():
            estimates = [
                self.fits[str(row["family"])].parameters[name]
                for name in self.fits[str(row["family"])].family.nonlinears
            ]
            shape = ", ".join(
                f"{e.name} = {e.value:.4g}{'' if e.unit == '1' else ' ' + e.unit}"
                f"{f' (at its {e.at_bound} limit)' if e.at_bound else ''}"
                for e in estimates
            )
            lines.append(
                f"{row['family']:23s}{row['n_parameters']:10d}{row['aicc']:10.2f}{row['delta_aicc']:9.2f}{row['weight']:8.4f}"
                f"{row['cross_validated']:12.3g}{row['rmse_uM']:12.3g}{row['r_squared']:9.5f}  {shape}"
            )
        if self.spline is not None:
            s = self.spline
            lines.append(
                f"{MONOTONE_SPLINE:23s}{s.n_parameters:10.0f}{s.aicc:10.2f}{s.aicc - first.aicc:9.2f}{'-':>8s}"
                f"{self.spline_cross_validated:12.3g}{s.rmse:12.3g}{s.r_squared:9.5f}  effective parameters, "
                f"{len(s.knots) - 2} interior knots"
            )
        lines.extend(f"{name:23s}skipped: {reason}" for name, reason in self.skipped.items())
        if self.best is not first:
            lines.append(
                f"taken: {self.best.family.name}, the simplest within {_EQUAL_SUPPORT:g} of the lowest AICc, which support alike"
            )
        if first.residual_correlation > 0.5:
            lines.append(
                "note: neighbouring residuals correlate, so the points are not independent and weights and cross-validated "
                "errors look surer than they are"
            )
        return "\n".join(lines)


def compare(
    curve: Curve,
    families: Iterable[str | Family] | str | None = None,
    *,
    weighted: bool = False,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Fit `families` (all of them and the monotone spline if None) to `curve` and rank them by AICc with Akaike weights.

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
    asked = several("families", (*FAMILIES, MONOTONE_SPLINE) if families is None else families)
    with_spline = MONOTONE_SPLINE in [name for name in asked if isinstance(name, str)]
    chosen = [family_named(name) for name in asked if name != MONOTONE_SPLINE]
    if not chosen:
        raise FitError(f"only {MONOTONE_SPLINE} is to be ranked; name a family with a formula beside it")
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
    spline: SplineFit | None = None
    if with_spline:
        try:
            spline = fit_spline(curve, weighted=weighted)
        except FitError as error:
            skipped[MONOTONE_SPLINE] = str(error)
    return Comparison(
        fits=ranked,
        weights=_akaike_weights({name: fitted.aicc for name, fitted in ranked.items()}),
        cross_validated={name: cross_validated_error(fitted) for name, fitted in ranked.items()},
        skipped=skipped,
        spline=spline,
        spline_cross_validated=None if spline is None else cross_validated_error(spline),
    )


def _akaike_weights(aicc: Mapping[str, float]) -> dict[str, float]:
    lowest = min(aicc.values())
    if math.isinf(lowest):
        # AICc exists for none of them: the points are too few to prefer one.
        return {name: 1 / len(aicc) for name in aicc}
    support = {name: math.exp(-0.5 * (value - lowest)) for name, value in aicc.items()}
    total = sum(support.values())
    return {name: value / total for name, value in support.items()}
