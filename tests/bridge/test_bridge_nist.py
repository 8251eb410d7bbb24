"""The optimiser against certified nonlinear-regression data: NIST Statistical Reference Datasets (StRD).

Each case states the certified values, standard deviations and residual sum. Three of the models have the form of our families
and also run through `fit`, whose start is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from bridge import Curve, Family, fit
from bridge.curves import FAMILIES, Parameter
from bridge.optimiser import OptimiserError, least_squares


@dataclass(frozen=True)
class Certified:
    x: list[float]
    y: list[float]
    model: Callable[..., np.ndarray]
    values: tuple[float, ...]
    deviations: tuple[float, ...]
    residual_sum: float
    starts: tuple[tuple[float, ...], ...]


MISRA_X = [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0]
MISRA_Y = [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78]

CASES = {
    "Misra1a": Certified(
        MISRA_X,
        MISRA_Y,
        lambda x, b1, b2: b1 * (1 - np.exp(-b2 * x)),
        (2.3894212918e2, 5.5015643181e-4),
        (2.7070075241e0, 7.2668688436e-6),
        1.2455138894e-1,
        ((500, 1e-4), (250, 5e-4)),
    ),
    "Misra1d": Certified(
        MISRA_X,
        MISRA_Y,
        lambda x, b1, b2: b1 * b2 * x / (1 + b2 * x),
        (4.3736970754e2, 3.0227324449e-4),
        (3.6489174345e0, 2.9334354479e-6),
        5.6419295283e-2,
        ((500, 1e-4), (450, 3e-4)),
    ),
    "BoxBOD": Certified(
        [1, 2, 3, 5, 7, 10],
        [109, 149, 149, 191, 213, 224],
        lambda x, b1, b2: b1 * (1 - np.exp(-b2 * x)),
        (2.1380940889e2, 5.4723748542e-1),
        (1.2354515176e1, 1.0455993237e-1),
        1.1680088766e3,
        ((1, 1), (100, 0.75)),
    ),
    "DanWood": Certified(
        [1.309, 1.471, 1.490, 1.565, 1.611, 1.680],
        [2.138, 3.421, 3.597, 4.340, 4.882, 5.660],
        lambda x, b1, b2: b1 * x**b2,
        (7.6886226176e-1, 3.8604055871e0),
        (1.8281973860e-2, 5.1726610913e-2),
        4.3173084083e-3,
        ((1, 5), (0.7, 4)),
    ),
    "Rat42": Certified(
        [9, 14, 21, 28, 42, 57, 63, 70, 79],
        [8.93, 10.8, 18.59, 22.33, 39.35, 56.11, 61.73, 64.62, 67.08],
        lambda x, b1, b2, b3: b1 / (1 + np.exp(b2 - b3 * x)),
        (7.2462237576e1, 2.6180768402e0, 6.7359200066e-2),
        (1.7340283401e0, 8.8295217536e-2, 3.4465663377e-3),
        8.0565229338e0,
        ((100, 1, 0.1), (75, 2.5, 0.07)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_typed_data_have_the_certified_residual_sum(name: str) -> None:
    case = CASES[name]
    residuals = case.model(np.array(case.x, float), *case.values) - case.y
    assert np.sum(residuals**2) == pytest.approx(case.residual_sum, rel=1e-9)


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_optimiser_reaches_six_certified_digits(name: str, start: int) -> None:
    case = CASES[name]
    x, y = np.array(case.x, float), np.array(case.y, float)
    names = [f"b{i + 1}" for i in range(len(case.values))]

    def residual(values: dict[str, float]) -> np.ndarray:
        return case.model(x, *[values[name] for name in names]) - y

    def jacobian(values: dict[str, float]) -> np.ndarray:
        columns = []
        for name in names:
            shifted: dict[str, complex] = dict(values) | {name: values[name] + 1e-30j}
            columns.append(case.model(x, *[shifted[n] for n in names]).imag / 1e-30)
        return np.stack(columns, axis=1)

    found = least_squares(residual, jacobian, dict(zip(names, case.starts[start], strict=True)))
    assert [found.values[name] for name in names] == pytest.approx(case.values, rel=1e-6)
    assert found.residual_sum == pytest.approx(case.residual_sum, rel=1e-9)
    assert found.covariance is not None
    variance = found.residual_sum / (len(x) - len(names))
    assert np.sqrt(np.diag(found.covariance) * variance) == pytest.approx(case.deviations, rel=1e-6)


def saturation() -> Family:
    """The model of Misra1a and BoxBOD as a family: b (1 - exp(-r f))."""
    return Family(
        "saturation",
        "y = b (1 - exp(-r f))",
        "exponential saturation",
        (Parameter("b", "uM", "scale"), Parameter("r", "1", "rate constant")),
        "none",
        lambda f, r: -np.expm1(-r * f),
        lambda f, r: f * np.exp(-r * f),
        lambda f: (1e-6, 10.0),
    )


@pytest.mark.parametrize("name", ["Misra1a", "BoxBOD", "DanWood"])
def test_whole_fit_finds_certified_values_without_a_start(name: str) -> None:
    case = CASES[name]
    family = FAMILIES["power"] if name == "DanWood" else saturation()
    fitted = fit(Curve(x=np.array(case.x, float), y=np.array(case.y, float)), family)
    estimates = list(fitted.parameters.values())
    assert [e.value for e in estimates] == pytest.approx(case.values, rel=1e-6)
    assert [e.stderr for e in estimates] == pytest.approx(case.deviations, rel=1e-6)
    assert fitted.residual_sum == pytest.approx(case.residual_sum, rel=1e-9)


def test_start_without_derivatives_is_refused() -> None:
    family, x = saturation(), np.array([1.0, 2.0, 3.0])
    with pytest.raises(OptimiserError, match="derivatives vanish or overflow at the start"):
        least_squares(
            lambda v: family.evaluate(x, v) - 1,
            lambda v: family.jacobian(x, v),
            {"b": 1.0, "r": 2000.0},
        )
