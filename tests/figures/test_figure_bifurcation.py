"""The figure of the bifurcation diagram: its table holds the diagram, and the drawing shows the table."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

import biosim
from figures import bifurcation


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    datasets = {
        "wade2012": biosim.bifurcation("wade2012", [*np.linspace(0.3, 0.7, 17), 0.6372, 0.6376, 0.638]),
        "psu": biosim.bifurcation("psu", np.linspace(0.25, 0.6, 15)),
    }
    stairs = biosim.hysteresis("wade2012", [0.634, 0.6375], settle=60.0, window=30.0)
    return bifurcation.tidy(datasets, stairs)


def test_the_table_holds_the_diagram(data):
    wade = data[data.parameter_set == "wade2012"]
    assert set(wade.what) == {"fixed point", "cycle", "event", "simulated"}
    assert set(wade[wade.what == "cycle"].kind) == {"stable", "unstable"}
    opens = wade[wade.kind == "window opens: supercritical Hopf"]
    closes = wade[wade.kind == "window closes: fold of cycles"]
    assert opens.ip3_um.item() == pytest.approx(0.3545338, abs=1e-6)
    assert 0.63808 < closes.ip3_um.item() < 0.63838
    (cycle,) = biosim.limit_cycles(0.5, biosim.parameter_set("wade2012"))
    row = wade[(wade.what == "cycle") & np.isclose(wade.ip3_um, 0.5)]
    assert row.calcium_max_um.item() == pytest.approx(cycle.calcium_max, abs=1e-12)
    assert row.period_s.item() == pytest.approx(cycle.period, abs=1e-12)


def test_fixed_points_follow_their_curve_by_calcium():
    """A folded branch is one line, not three."""
    parameters = biosim.parameter_set("wade2012").with_values(k_ER=0.05)
    table = bifurcation.tidy({"folded": biosim.bifurcation(parameters, np.linspace(0.47, 0.5, 4))})
    fixed = table[table.what == "fixed point"]
    assert (np.diff(fixed.calcium_min_um) > 0).all()
    assert (np.diff(fixed.ip3_um) < 0).any()


def test_the_drawing_shows_the_table(data):
    figure = bifurcation.draw(data)
    assert len(figure.axes) == 6
    calcium, period = figure.axes[0], figure.axes[3]
    assert "µM" in calcium.get_ylabel() and "(s)" in period.get_ylabel() and "IP3" in period.get_xlabel()
    lines = {line.get_label(): line for line in calcium.lines}
    stable = data[(data.parameter_set == "wade2012") & (data.what == "cycle") & (data.kind == "stable")]
    np.testing.assert_allclose(lines["stable cycle, extremes"].get_ydata(), stable.calcium_max_um)
    np.testing.assert_allclose(lines["subcritical Hopf point"].get_xdata(), 0.6368818, atol=1e-6)
    # Solid where stable, dashed where not, each piece up to the next.
    pieces = [line for line in calcium.lines if "fixed point" in str(line.get_label())]
    assert [str(line.get_label()).split()[0] for line in pieces] == ["stable", "unstable", "stable"]
    assert pieces[0].get_linestyle() == "-" != pieces[1].get_linestyle()
    for one, other in itertools.pairwise(pieces):
        assert one.get_xdata()[-1] == other.get_xdata()[0]
    # Both sets on one scale, and nothing beyond it.
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert figure.axes[3].get_ylim()[1] > data[data.what == "cycle"].period_s.max()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == len(set(labels))


def test_both_sets_and_the_staircase_are_computed(monkeypatch):
    """`compute` asks for both diagrams and for steps around the subcritical point."""
    asked: list[tuple] = []
    small = biosim.bifurcation("wade2012", [0.6, 0.637])

    def diagram(name, progress=None):
        asked.append((name,))
        return small

    def stairs(name, steps, **options):
        asked.append((name, steps[0], steps[-1]))

    monkeypatch.setattr(biosim, "bifurcation", diagram, raising=False)
    monkeypatch.setattr(biosim, "hysteresis", stairs, raising=False)
    table = bifurcation.compute(quick=True)
    assert [call[0] for call in asked] == ["wade2012", "psu", "wade2012"]
    assert asked[2][1] < 0.63688 < 0.6384 < asked[2][2]
    assert set(table.parameter_set) == {"wade2012", "psu"}
