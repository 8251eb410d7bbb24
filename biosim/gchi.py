"""The G-ChI astrocyte by itself: calcium, h, IP3 and receptors under pulses of glutamate, integrated by SciPy.

Equations in `processes.gchi` and `processes.li_rinzel`; values of Brian2's example 2 of Stimberg et al. 2018. In the simulator,
with neurons and synapses and by every engine, it is ``astrocyte = "gchi"`` of a parameter set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from .checks import numbers, real
from .parameters import LARGEST, SMALLEST, ParameterError, TripartiteParameters
from .processes import gchi, li_rinzel

SOURCE = "Stimberg et al. 2018, example 2 (brian-team/brian2, examples/frompapers/Stimberg_et_al_2018)"
RECEPTOR = ("O_N", "Omega_N", "zeta", "K_KC")
IP3 = ("O_beta", "O_delta", "kappa_delta", "K_delta", "O_3K", "K_D", "K_3K", "Omega_5P")
CALCIUM = ("r_C", "r_L", "v_ER", "k_ER", "c0", "c1", "a2", "d1", "d2", "d3", "d5")


def _value(default: float, unit: str, meaning: str) -> Any:
    return field(default=default, metadata={"unit": unit, "meaning": meaning, "source": SOURCE, "status": "published"})


@dataclass(frozen=True, kw_only=True)
class GChIParameters:
    """Parameters of the G-ChI astrocyte; each field's metadata holds unit, meaning, source and status of the default.

    Raises
    ------
    ParameterError
        A value is no finite number from 1e-9 to 1e9 in its unit.
    """

    O_beta: float = _value(5.0, "uM/s", "greatest production of IP3 by phospholipase C beta")
    O_N: float = _value(0.3, "1/(uM s)", "rate at which glutamate activates receptors")
    Omega_N: float = _value(0.5, "1/s", "inactivation of receptors")
    zeta: float = _value(10.0, "1", "greatest increase of inactivation by protein kinase C")
    K_KC: float = _value(0.5, "uM", "affinity of protein kinase C for calcium")
    O_delta: float = _value(0.2, "uM/s", "greatest production of IP3 by phospholipase C delta")
    kappa_delta: float = _value(1.5, "uM", "IP3 that halves phospholipase C delta")
    K_delta: float = _value(0.3, "uM", "affinity of phospholipase C delta for calcium")
    Omega_5P: float = _value(0.1, "1/s", "degradation of IP3 by 5-phosphatase")
    O_3K: float = _value(4.5, "uM/s", "greatest degradation of IP3 by 3-kinase")
    K_D: float = _value(0.5, "uM", "affinity of 3-kinase for calcium")
    K_3K: float = _value(1.0, "uM", "affinity of 3-kinase for IP3")
    Omega_c: float = _value(40.0, "1/s", "clearance of glutamate")
    pulse: float = _value(500.0, "uM", "glutamate of one presynaptic spike: 500 mM in vesicles, diluted by 0.001")
    r_C: float = _value(6.0, "1/s", "rate of calcium release through IP3 receptors")
    r_L: float = _value(0.1, "1/s", "rate of calcium leak")
    v_ER: float = _value(0.9, "uM/s", "greatest rate of SERCA uptake")
    k_ER: float = _value(0.1, "uM", "SERCA affinity")
    c0: float = _value(2.0, "uM", "total free calcium")
    c1: float = _value(0.18, "1", "volume of endoplasmic reticulum to cytosol")
    a2: float = _value(0.2, "1/(uM s)", "binding rate of inhibiting calcium")
    d1: float = _value(0.13, "uM", "dissociation constant of IP3")
    d2: float = _value(1.05, "uM", "dissociation constant of inhibiting calcium")
    d3: float = _value(0.9434, "uM", "dissociation constant of IP3 with calcium inhibition")
    d5: float = _value(0.08, "uM", "dissociation constant of activating calcium")

    def __post_init__(self) -> None:
        for spec in fields(self):
            unit = spec.metadata["unit"]
            value = real(spec.name, getattr(self, spec.name), unit, ParameterError)
            if not SMALLEST <= value <= LARGEST:
                raise ParameterError(
                    f"{spec.name} = {value:g} {unit}: expected {SMALLEST:g} to {LARGEST:g} ({spec.metadata['meaning']})"
                )
            object.__setattr__(self, spec.name, value)

    @classmethod
    def of(cls, parameters: TripartiteParameters) -> Self:
        """The constants of a parameter set of the simulator; `pulse` is then one quantum, dY."""
        return cls(**{s.name: getattr(parameters, "dY" if s.name == "pulse" else s.name) for s in fields(cls)})


def derivatives(y: NDArray[np.float64], p: dict[str, float]) -> NDArray[np.float64]:
    """Time derivatives of the state `y` = (Ca, h, IP3, Gamma, glutamate), [5], with the parameters `p` by name."""
    ca, h, ip3, gamma, glutamate = y
    dca, dh = li_rinzel.derivatives(ca, h, ip3, **{name: p[name] for name in CALCIUM})
    return np.array(
        [
            dca,
            dh,
            gchi.ip3_derivative(ip3, ca, gamma, **{name: p[name] for name in IP3}),
            gchi.receptor_derivative(gamma, glutamate, ca, **{name: p[name] for name in RECEPTOR}),
            -p["Omega_c"] * glutamate,
        ]
    )


def respond(
    times: Sequence[float],
    spikes: Sequence[float] = (),
    parameters: GChIParameters | None = None,
    start: Sequence[float] = (0.0, 0.9, 0.0, 0.0, 0.0),
) -> dict[str, NDArray[np.float64]]:
    """Response to presynaptic spikes by DOP853 from spike to spike, relative tolerance 1e-11.

    Parameters
    ----------
    times : s, increasing, from 0 on: when the state is sampled (just after a spike that falls there).
    spikes : s, above 0: each adds `pulse` to glutamate.
    start : Ca (uM), h, IP3 (uM), Gamma, glutamate (uM) at time 0; the default is that of the example.

    Returns
    -------
    calcium (uM), h, ip3 (uM), gamma, glutamate (uM), each [times].

    Raises
    ------
    ParameterError
        A time is not finite or out of its range, or the times do not increase.
    """
    p = asdict(parameters or GChIParameters())
    at = np.atleast_1d(numbers("times", times, "s", ParameterError))
    if at.size == 0 or not np.isfinite(at).all() or at[0] < 0 or (np.diff(at) <= 0).any():
        raise ParameterError("times: expected at least one finite time from 0 s on, increasing")
    events = np.sort(np.atleast_1d(numbers("spikes", spikes, "s", ParameterError))) if len(spikes) else np.empty(0)
    if not np.isfinite(events).all() or (events <= 0).any():
        raise ParameterError("spikes: expected finite times above 0 s")
    state = numbers("start", start, "uM", ParameterError)
    if state.shape != (5,) or not np.isfinite(state).all() or (state < 0).any():
        raise ParameterError("start: expected five finite numbers of at least 0: Ca, h, IP3, Gamma, glutamate")
    out, now = [], 0.0
    for event in [*events[events <= at[-1]], math.inf]:
        end = min(event, at[-1])
        inside = at[(at >= now) & (at < event)]
        if end > now:
            points = np.unique(np.append(inside, end))
            solution = solve_ivp(
                lambda t, y: derivatives(y, p),
                (now, end),
                state,
                method="DOP853",
                t_eval=points,
                rtol=1e-11,
                atol=1e-13,
            )
            out.extend(solution.y.T[: inside.size])
            state = solution.y[:, -1].copy()
        elif inside.size:
            out.append(state)
        now = end
        if event <= at[-1]:
            state[4] += p["pulse"]
    names = ("calcium", "h", "ip3", "gamma", "glutamate")
    return dict(zip(names, np.array(out).T, strict=True))
