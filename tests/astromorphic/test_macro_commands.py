"""`astromorphic fit` with several sources, and `astromorphic macro show|diff|check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import biosim
from astromorphic import slow_processes
from astromorphic.cli import main
from bridge import MacroError, MacroParameters, preset


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulations of each kind, and a table."""
    folder = tmp_path_factory.mktemp("sources")
    biosim.save(biosim.simulate("impulse_response", sampling=0.2), folder / "impulse.nc")
    biosim.save(
        biosim.simulate("impulse_response", stimulus="IP3", sizes=[0.4], duration=121.0, sampling=0.1),
        folder / "pulse.nc",
    )
    biosim.save(biosim.simulate("stp_cycles", geometry="line", n_cycles=6, dt=0.1), folder / "cycles.nc")
    rows = "".join(f"{f},{0.07 + 0.07 * f / (f + 0.9):.5f}\n" for f in range(1, 9))
    (folder / "curve.csv").write_text("rate (Hz),calcium (uM)\n" + rows)
    return folder


def test_sources_of_every_kind_make_one_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    out = str(tmp_path / "macro.json")
    sources = ("curve.csv", "cycles.nc", "impulse.nc", "pulse.nc")
    response = ("--resting-calcium", "0.07", "--family", "hyperbola", "--bootstraps", "0")
    assert call("fit", *sources, *response, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "R2" in printed and "TIME CONSTANTS" in printed and "RETENTION" in printed and printed.endswith(f"{out}\n")
    macro = MacroParameters.load(out)
    assert macro.sections == ("response", "time_constants", "retention", "distance")
    records = macro.provenance["sections"]
    assert isinstance(records, dict)
    assert records["time_constants"]["command"] == "astromorphic fit impulse.nc pulse.nc"  # type: ignore[index, call-overload]
    assert macro.provenance["command"] == "astromorphic fit curve.csv --family hyperbola"

    assert call("macro", "check", out) == 0
    assert "DIFFERS" not in capsys.readouterr().out
    assert call("macro", "show", out) == 0
    assert "until it is degraded" in capsys.readouterr().out
    assert call("macro", "diff", out, "preset:paper_rmaat") == 0
    assert "retention.decay" in capsys.readouterr().out

    # The same file, made step by step.
    steps = str(tmp_path / "steps.json")
    assert call("fit", "curve.csv", *response, "--out", steps) == 0
    assert call("fit", "impulse.nc", "pulse.nc", "--into", steps) == 0
    assert call("fit", "cycles.nc", "--into", steps) == 0
    assert MacroParameters.load(steps).digest == macro.digest
    assert call("fit", "impulse.nc", "--tau-n", "4", "--into", steps) == 0
    section = MacroParameters.load(steps).time_constants
    assert section is not None and section.tau_n == 4 and "esp" not in section.constants


def test_check_of_an_edited_file_ends_with_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(preset("simulated").dumps())
    content["retention"]["decay"] = 0.6
    (tmp_path / "m.json").write_text(json.dumps(content))
    assert call("macro", "check", str(tmp_path / "m.json")) == 2
    both = capsys.readouterr()
    assert "DIFFERS" in both.out and "retention.decay cannot be got again" in both.err and both.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "cycles.nc"), ("--out FILE", "--into FILE")),
        (("fit", "cycles.nc", "--out", "a.json", "--into", "b.json"), ("either --out FILE",)),
        (("fit", "cycles.nc", "--into", "none.json"), ("none.json: no such file",)),
        (("fit", "cycles.nc", "cycles2.nc", "--out", "a.json"), ("cycles2.nc: the second of the simulations",)),
        (("fit", "curve.csv", "published:astromorphic_fig3", "--out", "a.json"), ("second of the response curves",)),
        (("fit", "cycles.nc", "--family", "hill", "--out", "a.json"), ("--family: belongs to a response curve",)),
        (("fit", "cycles.nc", "--at", "x=1", "--out", "a.json"), ("--at: belongs to a response curve",)),
        (("fit", "cycles.nc", "--tau-n", "3", "--out", "a.json"), ("--tau-n: belongs to time constants",)),
        (("fit", "impulse.nc", "--tau-n", "0", "--out", "a.json"), ("tau_n is 0",)),
        (("fit", "cycles.nc", "--out", "cycles.nc"), ("is the source itself",)),
        (("fit", "cycles.nc", "nothing.nc", "--out", "a.json"), ("nothing.nc",)),
        (("macro", "show", "curve.csv"), ("curve.csv: not complete JSON",)),
        (("macro", "show", "preset:papers"), ("'papers'", "paper_rmaat")),
        (("macro", "check", "gone.json"), ("gone.json: no such file",)),
        (("macro", "shwo", "a.json"), ("shwo",)),
    ],
)
def test_wrong_use_is_one_line_and_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...],
    words: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    (folder / "cycles2.nc").write_bytes((folder / "cycles.nc").read_bytes())
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert call(*arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and all(word in error for word in words), error
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_simulation_that_gives_no_slow_section_is_refused() -> None:
    curve = biosim.simulate("fig3", rates=[1.0, 5.0], trials=1, duration=12.0, settle=10.0)
    with pytest.raises(MacroError, match="is a simulation by fig3; expected impulse_response or stp_cycles"):
        slow_processes.fit({"a.nc": curve})
