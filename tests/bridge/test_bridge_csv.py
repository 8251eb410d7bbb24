"""Tables: units are converted and recorded, and whatever could be misread is refused with the place where it stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biosim.registry import UnknownName
from bridge import CurveError, fit, parse_source, read_curve

TABLE = """# mean calcium of ten slices
rate (Hz),calcium (uM),calcium_se (uM)
1,0.1072,0.0006
2,0.1195,0.0007

4,0.1293,0.0003
8,0.1357,0.0002
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "curve.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_is_a_curve_with_its_weights(tmp_path: Path) -> None:
    path = write(tmp_path, TABLE)
    curve = parse_source(path)
    np.testing.assert_array_equal(curve.x, [1, 2, 4, 8])
    np.testing.assert_array_equal(curve.standard_error(), [0.0006, 0.0007, 0.0003, 0.0002])
    assert (curve.x_unit, curve.y_unit, curve.source) == ("Hz", "uM", "table curve.csv")
    assert curve.notes == ("points weigh by the given standard error",)
    assert curve.provenance["header"] == ["rate (Hz)", "calcium (uM)", "calcium_se (uM)"]
    assert len(curve.provenance["sha256"]) == 64


@pytest.mark.parametrize(
    ("header", "x_factor", "y_factor", "said"),
    [
        ("rate (kHz),calcium (nM),calcium_se (nM)", 1e3, 1e-3, 3),
        ("input_rate [1/s], calcium [mM], calcium_se [µM]", 1, 1e3, 1),
        ("rate (1/min),calcium (μmol/L),calcium_se (M)", 1 / 60, 1, 2),
        ("rate (mHz),calcium (µM),calcium_se (pM)", 1e-3, 1, 2),
        ("rate (s−1),calcium (umol/l),calcium_se (uM)", 1, 1, 0),
        ("rate (s^-1),calcium ( uM ),calcium_se (uM)", 1, 1, 0),
    ],
)
def test_units_are_converted_and_that_is_said(
    tmp_path: Path, header: str, x_factor: float, y_factor: float, said: int
) -> None:
    text = TABLE.replace("rate (Hz),calcium (uM),calcium_se (uM)", header)
    curve = read_curve(write(tmp_path, text))
    np.testing.assert_allclose(curve.x, x_factor * np.array([1, 2, 4, 8]), rtol=1e-15)
    np.testing.assert_allclose(curve.y, y_factor * np.array([0.1072, 0.1195, 0.1293, 0.1357]), rtol=1e-15)
    conversions = [note for note in curve.notes if "was given in" in note]
    assert len(conversions) == said
    if said:
        assert conversions[-1] in fit(curve, "power").report()


def test_trials_make_the_mean_and_the_spread(tmp_path: Path) -> None:
    text = "rate (Hz),calcium_trial_1 (nM),calcium_trial_2 (nM)\n1,100,110\n2,120,126\n3,130,132\n"
    curve = read_curve(write(tmp_path, text))
    np.testing.assert_allclose(curve.y, [0.105, 0.123, 0.131])
    assert curve.n_trials == 2
    np.testing.assert_allclose(curve.standard_error(), [0.005, 0.003, 0.001])


def test_a_standard_deviation_is_divided_by_the_root_of_the_number(tmp_path: Path) -> None:
    text = "rate (Hz),calcium (uM),calcium_sd (uM),n_trials (1)\n1,0.1,0.01,4\n2,0.2,0.01,1\n3,0.3,0.01,100\n"
    curve = read_curve(write(tmp_path, text))
    np.testing.assert_allclose(curve.standard_error(), [0.005, 0.01, 0.001])
    single = read_curve(
        write(
            tmp_path,
            text.replace(",n_trials (1)", "").replace(",4\n", "\n").replace(",1\n", "\n").replace(",100\n", "\n"),
        )
    )
    np.testing.assert_allclose(single.standard_error(), 0.01)
    assert "each point counts as a single trial" in single.notes[-1]


HEADER = "rate (Hz),calcium (uM)"
ROWS = "\n1,0.1\n2,0.2\n3,0.25\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no table"),
        ("# rate (Hz),calcium (uM)\n", "holds no table"),
        ("rate,calcium (uM)" + ROWS, "column 'rate' has no unit; write it like rate"),
        ("1,0.1\n2,0.2\n3,0.25\n", "column '1' has no unit"),
        ("rate (),calcium (uM)" + ROWS, "column 'rate' has the unit '', expected Hz or one that converts"),
        (
            "rate (rpm),calcium (uM)" + ROWS,
            r"column 'rate' has the unit 'rpm', expected Hz .*kHz.*; convert the column",
        ),
        ("rate (Hz),calcium (dF/F)" + ROWS, r"column 'calcium' has the unit 'dF/F', expected uM"),
        ("rate (Hz),calcium (um)" + ROWS, "has the unit 'um', expected uM"),
        ("rate (uM),calcium (Hz)" + ROWS, "column 'rate' has the unit 'uM', expected Hz"),
        ("rate (Hz),calzium (uM)" + ROWS, "unknown column 'calzium': did you mean 'calcium'"),
        ("rate (Hz),rate (Hz)" + ROWS, "columns rate and rate hold the same; keep one"),
        ("rate (Hz),input_rate (Hz)" + ROWS, "columns rate and input_rate hold the same"),
        ("calcium (uM),calcium_se (uM)" + ROWS, "no column holds the rate"),
        ("rate (Hz),calcium_se (uM)" + ROWS, "neither the mean nor trials of calcium"),
        (
            "rate (Hz),calcium (uM),calcium_trial_1 (uM)\n1,1,1\n2,2,2\n3,3,3\n",
            "both the mean and trials of calcium; give",
        ),
        ("rate (Hz),calcium_trial_1 (uM),calcium_trial_1 (uM)\n1,1,1\n", "'calcium_trial_1' is there twice"),
        ("rate (Hz),calcium (uM),calcium_se (uM),calcium_sd (uM)\n1,1,1,1\n", "the spread is given twice"),
        ("rate (Hz),calcium (uM),n_trials (1)\n1,1,1\n", "n_trials belongs to calcium_sd"),
        ("rate (Hz),calcium (uM),calcium_sd (uM),n_trials (Hz)\n1,1,1,1\n", "'n_trials' has the unit 'Hz', expected 1"),
        (HEADER + "\n1,0.1\n2\n", "line 3 has 1 cells, expected 2"),
        (HEADER + "\n1,0.1\n2,\n", "line 3: calcium is empty, expected a finite number"),
        (HEADER + "\n1,0.1\n2,nan\n", "line 3: calcium is 'nan', expected a finite number"),
        (HEADER + "\n1,0.1\n2,0;2\n", "line 3: calcium is '0;2'"),
        (HEADER + "\n1,0.1\ninf,0.2\n", "line 3: rate is 'inf'"),
        (HEADER + "\n-1,0.1\n2,0.2\n3,0.3\n", "line 2: rate is -1 Hz, expected 0 or more"),
        (HEADER + "\n1,0.1\n3,0.2\n2,0.3\n", "line 4: rate 2 Hz follows 3 Hz; sort the rows"),
        (HEADER + "\n1,0.1\n1,0.2\n2,0.3\n", "lines 2 and 3 have the same rate 1 Hz; average them"),
        (HEADER + "\n1,0.1\n2,0.2\n", "curve has 2 points, expected at least 3"),
        (HEADER, "curve has|shape"),
        ("rate (Hz);calcium (uM)\n1;0,1\n2;0,2\n", "is not separated by commas"),
        ('rate (Hz),calcium (uM)\n"1,0.1\n2,0.2\n', "line 2 is no row of a CSV table"),
        ("rate (Hz),calcium (uM),calcium_se (uM)\n1,1,1\n2,2,-1\n3,3,1\n", "line 3: calcium_se is -1 uM, expected 0"),
        (
            "rate (Hz),calcium (uM),calcium_sd (uM),n_trials (1)\n1,1,1,1\n2,2,1,0\n3,3,1,1\n",
            "line 3: n_trials is 0, expected a whole number of 1",
        ),
    ],
)
def test_what_could_be_misread_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises((CurveError, UnknownName), match=message) as caught:
        read_curve(write(tmp_path, text))
    assert "\n" not in str(caught.value) and "curve.csv: " in str(caught.value)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(CurveError, match=r"absent\.csv: no such file; name a CSV table"):
        read_curve(tmp_path / "absent.csv")
    with pytest.raises(CurveError, match="cannot be read"):
        read_curve(tmp_path)
    path = tmp_path / "binary.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CurveError, match="byte 0 is not UTF-8; save the table as UTF-8"):
        read_curve(path)
    path.write_bytes(b"\xef\xbb\xbf" + (HEADER + ROWS).encode())
    assert read_curve(path).n_points == 3
    path.write_text("1" * 10_000_001)
    with pytest.raises(CurveError, match="has 10000001 bytes, expected a table of a curve of at most"):
        read_curve(path)


def test_a_table_has_no_variable_to_choose(tmp_path: Path) -> None:
    path = write(tmp_path, TABLE)
    for arguments in ({"variable": "calcium_max"}, {"select": {"K_AG": -1000.0}}):
        with pytest.raises(CurveError, match="has one curve, and no variable or dimension to choose"):
            parse_source(path, **arguments)  # type: ignore[arg-type]
