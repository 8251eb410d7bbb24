"""Pulses and impulses: calcium under pulses of input, and the response of IP3 and calcium to one jump of 2-AG."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd

from .style import BLUE, GREY, ORANGE, PUBLISHED, house_style, new_figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

TITLE = "response to pulses of input and to one jump of 2-AG"

PULSE, PERIOD, FIRST = 5.0, 40.0, 20.0


def simulate(
    quick: bool = False, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> dict[str, xr.Dataset]:
    """Five pulses of 20 Hz (32 trials; 8 with `quick`), and jumps of 2-AG by 0.4e-3 and 0.8e-3 uM."""
    import biosim

    return {
        "pulses": biosim.simulate(
            "pulse_train", rates=[20.0], pulse=PULSE, period=PERIOD, first=FIRST, trials=8 if quick else 32, seed=seed,
            progress=progress,
        ),
        "impulse": biosim.simulate("impulse_response", sizes=[0.4e-3, 0.8e-3], progress=progress),
    }  # fmt: skip


def tidy(datasets: dict[str, xr.Dataset]) -> pd.DataFrame:
    """One row per part (``pulses``, means over trials, or ``impulse``), time and size of the jump.

    Columns: time_s (from the impulse on in the second part), calcium_um, ip3_um, jump_um, and ip3_closed_form_um.
    """
    from biosim import parameter_set
    from biosim.responses import ip3_after_ag_jump

    pulses = datasets["pulses"].isel(input_rate=0).mean("trial")
    parts = [
        pd.DataFrame(
            {
                "part": "pulses",
                "time_s": pulses.time.values,
                "calcium_um": pulses.calcium.values,
                "ip3_um": pulses.ip3.values,
            }
        )
    ]
    p = parameter_set("wade2012")
    for size in datasets["impulse"].jump.values:
        one = datasets["impulse"].sel(jump=size)
        time = one.time.values - 1.0
        late = time >= 0
        closed = p.IP3_rest + ip3_after_ag_jump(time[late], size, p.tau_AG, p.tau_IP3, p.r_IP3)
        parts.append(
            pd.DataFrame(
                {
                    "part": "impulse",
                    "time_s": time[late],
                    "calcium_um": one.calcium.values[late],
                    "ip3_um": one.ip3.values[late],
                    "jump_um": size,
                    "ip3_closed_form_um": closed,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def compute(quick: bool = False, seed: int = 0, **options: Any) -> pd.DataFrame:
    """Simulate and return the figure's data (see `tidy`)."""
    return tidy(simulate(quick=quick, seed=seed, **options))


def draw(data: pd.DataFrame) -> Figure:
    """Calcium and IP3 under pulses, and both after one jump of 2-AG, in nM above rest."""
    pulses, impulse = data[data.part == "pulses"], data[data.part == "impulse"]
    with house_style():
        figure, axes = new_figure(8.6, 5.0, 2, 2, sharex="col")
        for panel, column, label in (
            (axes[0, 0], "calcium_um", "calcium (µM)"),
            (axes[1, 0], "ip3_um", "IP3 (µM)"),
        ):
            start = FIRST
            while start < pulses.time_s.max():
                panel.axvspan(start, start + PULSE, color=GREY, alpha=0.25, lw=0)
                start += PERIOD
            panel.plot(pulses.time_s, pulses[column], color=BLUE)
            panel.set_ylabel(label)
        axes[0, 0].set_title(f"Pulses of {PULSE:g} s at 20 Hz, mean over trials")
        axes[1, 0].set_xlabel("time (s)")
        for panel, column, label in (
            (axes[0, 1], "calcium_um", "calcium above rest (nM)"),
            (axes[1, 1], "ip3_um", "IP3 above rest (nM)"),
        ):
            for (size, part), colour in zip(impulse.groupby("jump_um"), (ORANGE, BLUE), strict=True):
                rest = part[column].iloc[0]
                panel.plot(
                    part.time_s,
                    1e3 * (part[column] - rest),
                    color=colour,
                    label=f"2-AG + {1e3 * float(str(size)):g} nM",
                )
                if column == "ip3_um":
                    thin = part.iloc[:: max(len(part) // 25, 1)]
                    panel.plot(
                        thin.time_s, 1e3 * (thin.ip3_closed_form_um - rest), ".", color=PUBLISHED, ms=4,
                        label="closed form" if colour == BLUE else None,
                    )  # fmt: skip
            panel.set_ylabel(label)
        axes[0, 1].set_title("After one jump of 2-AG, from rest")
        axes[1, 1].set_xlabel("time after the jump (s)")
        axes[1, 1].legend(loc="upper right")
    return figure
