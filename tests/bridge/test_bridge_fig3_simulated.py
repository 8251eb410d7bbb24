"""The simulated Fig. 3: exponents and families of the curve that `wade2012` makes."""

from __future__ import annotations

import pytest

import biosim
from bridge import compare, estimate_alpha, response_curve


@pytest.mark.slow
def test_the_simulated_figure_gives_the_reference_numbers() -> None:
    curve = response_curve(biosim.simulate("fig3", trials=32, seed=0))
    alphas = {
        name: estimate_alpha(curve, name, n_resamples=0).value
        for name in ("loglog_above_rest", "nls_above_rest", "nls_raw")
    }
    assert alphas == pytest.approx({"loglog_above_rest": 0.254, "nls_above_rest": 0.231, "nls_raw": 0.100}, abs=1e-3)
    comparison = compare(curve)
    hyperbola = comparison.fits["hyperbola"]
    assert comparison.best is hyperbola and hyperbola.r_squared > 0.9998
    # The reference has 0.95 Hz from values rounded to four digits; its rounding alone is worth a few hundredths.
    interval = hyperbola.profiles["k"]
    assert interval.low is not None and interval.high is not None and interval.low < 0.95 < interval.high
