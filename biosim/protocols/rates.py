"""Protocols with a constant input or a constant IP3: ``fig3``, ``rate_sweep``, ``constant_ip3``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ensemble import Clock, InputKind, ReleaseMode, SimulationError, check_input
from ..parameters import TripartiteParameters, check_value, unit_of
from .arguments import not_spikes, parameters_given, points, rate_axis, trial_axis
from .base import Axis, Protocol


def fig3(
    parameters: TripartiteParameters | str = "wade2012",
    *,
    rates: Sequence[float] = tuple(range(1, 11)),
    trials: int = 32,
    duration: float = 400.0,
    settle: float = 200.0,
) -> Protocol:
    """The published Fig. 3: time-mean calcium against input rate, 1 to 10 Hz, Poisson input, last 200 s of 400 s.

    The paper names no protocol; this one reproduces its curve with the set wade2012 and nothing tuned.
    """
    return Protocol(
        name="fig3",
        description="time-mean astrocyte calcium against input rate, Poisson input to every synapse",
        axes=(rate_axis(rates), trial_axis(trials)),
        parameters=parameters_given(parameters),
        clock=Clock(duration, settle),
    )


def rate_sweep(
    parameters: TripartiteParameters | str = "wade2012",
    *,
    rates: Sequence[float] = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
    trials: int = 8,
    duration: float = 400.0,
    settle: float = 200.0,
    input: InputKind = "poisson",
    release: ReleaseMode = "bernoulli",
) -> Protocol:
    """Any input rates, with random or regular input and random or expected release."""
    check_input(input, release)
    return Protocol(
        name="rate_sweep",
        description="response to constant input rates",
        axes=(rate_axis(rates), trial_axis(trials)),
        parameters=parameters_given(parameters),
        clock=Clock(duration, settle),
        input=not_spikes(input),
        release=release,
    )


def constant_ip3(
    parameters: TripartiteParameters | str = "wade2012",
    *,
    ip3: Sequence[float] | None = None,
    duration: float = 600.0,
    settle: float = 360.0,
) -> Protocol:
    """IP3 held constant, no input: what Li-Rinzel calcium settles to from calcium 0.1 uM and h 0.7.

    It gives of the bifurcation diagram one stable fixed point or cycle at each IP3, by simulation: ``calcium_min`` and
    ``calcium_max`` (equal at a fixed point), and ``crossing_period``, the period of the oscillation, whose threshold is the
    mid level between both. Not in it: unstable branches, the second state where two coexist, and the bifurcation points
    themselves, close to which 360 s do not suffice to settle; ``calcium_mean`` is over the window, not over whole periods.
    `biosim.bifurcation` gives all of these exactly, `biosim.hysteresis` the way IP3 came by.
    """
    values = np.linspace(0.2, 0.8, 121) if ip3 is None else points("ip3", ip3, "uM")
    for value in values:
        check_value("IP3_rest", float(value))
    start = parameters_given(parameters)
    if start.gchi:
        raise SimulationError(
            "astrocyte = 'gchi': protocol constant_ip3 holds IP3, which is a state of the G-ChI astrocyte; use astrocyte = "
            "li_rinzel, whose calcium is the same"
        )
    if start.sic != "none":
        raise SimulationError(
            f"sic = {start.sic!r}: protocol constant_ip3 holds IP3, which neurons driven by a current would move; use sic = none"
        )
    return Protocol(
        name="constant_ip3",
        description="Li-Rinzel calcium at constant IP3",
        axes=(Axis("IP3_rest", values, unit_of("IP3_rest"), "constant IP3"),),
        parameters=start.with_values(n_neurons=1, n_synapses=1, IP3_init=None, Ca_init=0.1, h_init=0.7),
        clock=Clock(duration, settle),
        mid_level_crossings=True,
    )
