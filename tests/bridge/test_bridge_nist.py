"""The optimiser against certified nonlinear-regression data: NIST Statistical Reference Datasets (StRD).

Each case states the certified values, standard deviations and residual sum; that the data were typed in right is shown by the
residual sum. Models of the form of our families also run through `fit`, whose start is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from bridge import Curve, Family, fit
from bridge.curves import FAMILIES, Parameter
from bridge.optimiser import OptimiserError, least_squares
from bridge.projection import project


@dataclass(frozen=True)
class Certified:
    x: list[float]
    y: list[float]
    model: Callable[..., np.ndarray]
    values: tuple[float, ...]
    deviations: tuple[float, ...]
    residual_sum: float
    starts: tuple[tuple[float, ...], ...]


# fmt: off
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
    "Misra1b": Certified(
        MISRA_X,
        MISRA_Y,
        lambda x, b1, b2: b1 * (1 - (1 + b2 * x / 2) ** -2),
        (3.3799746163e2, 3.9039091287e-4),
        (3.1643950207e0, 4.2547321834e-6),
        7.5464681533e-2,
        ((500, 1e-4), (300, 2e-4)),
    ),
    "Misra1c": Certified(
        MISRA_X,
        MISRA_Y,
        lambda x, b1, b2: b1 * (1 - (1 + 2 * b2 * x) ** -0.5),
        (6.3642725809e2, 2.0813627256e-4),
        (4.6638326572e0, 1.7728423155e-6),
        4.0966836971e-2,
        ((500, 1e-4), (600, 2e-4)),
    ),
    "MGH09": Certified(
        [4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625],
        [0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246],
        lambda x, b1, b2, b3, b4: b1 * (x**2 + x * b2) / (x**2 + x * b3 + b4),
        (1.9280693458e-1, 1.9128232873e-1, 1.2305650693e-1, 1.3606233068e-1),
        (1.1435312227e-2, 1.9633220911e-1, 8.0842031232e-2, 9.0025542308e-2),
        3.0750560385e-4,
        ((25, 39, 41.5, 39), (0.25, 0.39, 0.415, 0.39)),
    ),
    "MGH10": Certified(
        [50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 100, 105, 110, 115, 120, 125],
        [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872],
        lambda x, b1, b2, b3: b1 * np.exp(b2 / (x + b3)),
        (5.6096364710e-3, 6.1813463463e3, 3.4522363462e2),
        (1.5687892471e-4, 2.3309021107e1, 7.8486103508e-1),
        8.7945855171e1,
        ((2, 400000, 25000), (0.02, 4000, 250)),
    ),
    "Rat43": Certified(
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [
            16.08, 33.83, 65.80, 97.20, 191.55, 326.20, 386.87, 520.53, 590.03, 651.92, 724.93, 699.56, 689.96, 637.56,
            717.41,
        ],
        lambda x, b1, b2, b3, b4: b1 / (1 + np.exp(b2 - b3 * x)) ** (1 / b4),
        (6.9964151270e2, 5.2771253025e0, 7.5962938329e-1, 1.2792483859e0),
        (1.6302297817e1, 2.0828735829e0, 1.9566123451e-1, 6.8761936385e-1),
        8.7864049080e3,
        ((100, 10, 1, 1), (700, 5, 0.75, 1.3)),
    ),
    "Thurber": Certified(
        [
            -3.067, -2.981, -2.921, -2.912, -2.840, -2.797, -2.702, -2.699, -2.633, -2.481, -2.363, -2.322, -1.501,
            -1.460, -1.274, -1.212, -1.100, -1.046, -0.915, -0.714, -0.566, -0.545, -0.400, -0.309, -0.109, -0.103,
            0.010, 0.119, 0.377, 0.790, 0.963, 1.006, 1.115, 1.572, 1.841, 2.047, 2.200,
        ],
        [
            80.574, 84.248, 87.264, 87.195, 89.076, 89.608, 89.868, 90.101, 92.405, 95.854, 100.696, 101.060, 401.672,
            390.724, 567.534, 635.316, 733.054, 759.087, 894.206, 990.785, 1090.109, 1080.914, 1122.643, 1178.351,
            1260.531, 1273.514, 1288.339, 1327.543, 1353.863, 1414.509, 1425.208, 1421.384, 1442.962, 1464.350,
            1468.705, 1447.894, 1457.628,
        ],
        lambda x, b1, b2, b3, b4, b5, b6, b7: (
            (b1 + b2 * x + b3 * x**2 + b4 * x**3) / (1 + b5 * x + b6 * x**2 + b7 * x**3)
        ),
        (
            1.2881396800e3, 1.4910792535e3, 5.8323836877e2, 7.5416644291e1, 9.6629502864e-1, 3.9797285797e-1,
            4.9727297349e-2,
        ),
        (
            4.6647963344e0, 3.9571156086e1, 2.8698696102e1, 5.5675370270e0, 3.1333340687e-2, 1.4984928198e-2,
            6.5842344623e-3,
        ),
        5.6427082397e3,
        ((1000, 1000, 400, 40, 0.7, 0.3, 0.03), (1300, 1500, 500, 75, 1, 0.4, 0.05)),
    ),
}
# fmt: on


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


def exponential_of_inverse() -> Family:
    """The model of MGH10, two shape parameters that are nearly dependent: b exp(p / (f + q))."""
    return Family(
        "exponential_of_inverse",
        "y = b exp(p / (f + q))",
        "as in MGH10",
        (Parameter("b", "uM", "scale"), Parameter("p", "1", "height"), Parameter("q", "1", "shift")),
        "none",
        lambda f, p, q: np.exp(p / (f + q)),
        lambda f, p, q: (np.exp(p / (f + q)) / (f + q), -p / (f + q) ** 2 * np.exp(p / (f + q))),
        lambda f: ((1e3, 2e4), (100.0, 1000.0)),
    )


def logistic() -> Family:
    """The model of Rat42: b / (1 + exp(p - q f))."""

    def share(f: Any, p: Any, q: Any) -> Any:
        return 1 / (1 + np.exp(p - q * f))

    return Family(
        "logistic",
        "y = b / (1 + exp(p - q f))",
        "as in Rat42",
        (Parameter("b", "uM", "scale"), Parameter("p", "1", "delay"), Parameter("q", "1", "growth")),
        "none",
        share,
        lambda f, p, q: (
            -share(f, p, q) * (1 - share(f, p, q)),
            f * share(f, p, q) * (1 - share(f, p, q)),
        ),
        lambda f: ((0.1, 20.0), (1e-3, 1.0)),
    )


OWN = {
    "Misra1a": saturation,
    "BoxBOD": saturation,
    "DanWood": lambda: FAMILIES["power"],
    "MGH10": exponential_of_inverse,
    "Rat42": logistic,
}


@pytest.mark.parametrize("name", OWN)
def test_whole_fit_finds_certified_values_without_a_start(name: str) -> None:
    case = CASES[name]
    fitted = fit(Curve(x=np.array(case.x, float), y=np.array(case.y, float)), OWN[name]())
    estimates = list(fitted.parameters.values())
    assert [e.value for e in estimates] == pytest.approx(case.values, rel=1e-6)
    assert [e.stderr for e in estimates] == pytest.approx(case.deviations, rel=1e-6)
    assert fitted.residual_sum == pytest.approx(case.residual_sum, rel=1e-9)


@pytest.mark.parametrize("name", OWN)
def test_batched_solution_agrees_with_the_certified_one(name: str) -> None:
    """The fast path of the bootstrap, which does not pass through the optimiser."""
    case, family = CASES[name], OWN[name]()
    x, y = np.array(case.x, float), np.array(case.y, float)
    found = project(family, x, y[None, :], np.ones(len(x)), 0.0, family.bounds(x))
    assert [found.scale[0], *found.theta[0]] == pytest.approx(case.values, rel=1e-5)
    assert found.residual_sum[0] == pytest.approx(case.residual_sum, rel=1e-9)


def test_start_without_derivatives_is_refused() -> None:
    family, x = saturation(), np.array([1.0, 2.0, 3.0])
    with pytest.raises(OptimiserError, match="derivatives vanish or overflow at the start"):
        least_squares(
            lambda v: family.evaluate(x, v) - 1,
            lambda v: family.jacobian(x, v),
            {"b": 1.0, "r": 2000.0},
        )
