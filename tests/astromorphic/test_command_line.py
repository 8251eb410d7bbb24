"""The command line: exit statuses, one-line errors that name the thing and the remedy, and nothing left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from astromorphic.assignments import AssignmentError, parse_assignments
from astromorphic.cli import main


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_help_imports_no_heavy_package():
    out = python(
        "import sys\n"
        "from astromorphic.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print('HEAVY', sorted({'torch','brian2','numba','matplotlib','transformers','xarray','scipy','pandas'}"
        " & set(sys.modules)))"
    )
    assert "Usage" in out
    assert "HEAVY []" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("simulate", "fg3", "--out", "a.nc"), ("'fg3'", "did you mean 'fig3'")),
        (("simulate", "fig3", "--engine", "numbo", "--out", "a.nc"), ("'numbo'", "did you mean 'numba'")),
        (("simulate", "fig3", "--parameters", "wade", "--out", "a.nc"), ("'wade'", "wade2012")),
        (("simulate", "rate_sweep", "--set", "rates=-3", "--out", "a.nc"), ("-3 Hz", "at least 0")),
        (("simulate", "rate_sweep", "--set", "rates=nan", "--out", "a.nc"), ("nan Hz", "finite")),
        (("simulate", "fig3", "--set", "K_AG=4000", "--out", "a.nc"), ("K_AG = 4000", "at most 0")),
        (("simulate", "fig3", "--set", "k_ag=-1", "--out", "a.nc"), ("'k_ag'", "did you mean")),
        (("simulate", "fig3", "--set", "K_AG", "--out", "a.nc"), ("K_AG", "NAME=VALUE")),
        (("simulate", "fig3", "--set", "trials=1.5", "--out", "a.nc"), ("trials = 1.5", "whole number")),
        (("simulate", "fig3", "--set", "n_neurons=1,2", "--out", "a.nc"), ("n_neurons", "cannot be swept")),
        (("simulate", "fig3", "--set", "astrocyte=gchy", "--out", "a.nc"), ("astrocyte = 'gchy'", "li_rinzel, gchi")),
        (
            ("simulate", "constant_ip3", "--set", "astrocyte=gchi", "--out", "a.nc"),
            ("constant_ip3 holds IP3", "use astrocyte = li_rinzel"),
        ),
        (("simulate", "fig3", "--out", "missing/a.nc"), ("missing", "does not exist")),
        (("simulate", "fig3"), ("--out", "astromorphic simulate --help")),
        (("simulate", "fig3", "--set", "duration=1,2", "--out", "a.nc"), ("duration",)),
        (("simulate", "fig3", "--set", "duration=abc", "--out", "a.nc"), ("duration", "'abc'")),
        (("simulate", "fig3", "--set", "duration=1e300", "--out", "a.nc"), ("duration",)),
        (("simulate", "fig3", "--set", "settle=none", "--out", "a.nc"), ("settle", "None")),
        (("simulate", "fig3", "--set", "trials=99999999999", "--out", "a.nc"), ("trials",)),
        (("simulate", "rate_sweep", "--set", "rates=true", "--out", "a.nc"), ("rate", "True")),
        (("simulate", "rate_sweep", "--set", "rates=1:10:9999999999", "--out", "a.nc"), ("rates", "9999999999")),
        (("simulate", "fig3", "--record", "1e-12", "--out", "a.nc"), ("record",)),
        (("simulate", "fig3", "--seed", "4294967296", "--out", "a.nc"), ("--seed", "4294967295")),
        (
            ("simulate", "self_repair", "--set", "shares=1.5", "--out", "a.nc"),
            ("share of faulty synapses = 1.5", "0 to 1"),
        ),
        (("simulate", "self_repair", "--set", "synapses=0,12", "--out", "a.nc"), ("faulty synapse 12", "10 synapses")),
        (("simulate", "pulse_train", "--set", "pulse=50", "--out", "a.nc"), ("pulse = 50", "period of 40 s")),
        (("simulate", "impulse_response", "--set", "stimulus=glu", "--out", "a.nc"), ("'glu'", "AG, IP3, burst")),
        (("simulate", "spikes", "--out", "a.nc"), ("spikes = None", "CSV")),
        (
            ("simulate", "spikes", "--spikes", "no, such:file.csv", "--out", "a.nc"),
            ("no, such:file.csv", "no such file"),
        ),
        (
            ("simulate", "spikes", "--set", "spikes=x.csv", "--spikes", "y.csv", "--out", "a.nc"),
            ("--spikes", "one of them"),
        ),
        (("simulate", "fig3", "--spikes", "y.csv", "--out", "a.nc"), ("'spikes'", "unknown")),
        (("fit", "nothing.nc", "--out", "m.json"), ("nothing.nc",)),
        (("fit", "published:fig4", "--out", "m.json"), ("fig4", "astromorphic_fig3")),
        (
            ("fit", "published:astromorphic_fig3", "--family", "hyperbole", "--out", "m.json"),
            ("'hyperbole'", "hyperbola"),
        ),
        (("fit", "published:astromorphic_fig3", "--estimator", "loglog", "--out", "m.json"), ("loglog",)),
        (("fit", "published:astromorphic_fig3", "--weights", "trial", "--out", "m.json"), ("'trial'", "none, spread")),
        (("fit", "published:astromorphic_fig3", "--weights", "spread", "--out", "m.json"), ("no spread",)),
        (("fit", "published:astromorphic_fig3", "--family", "monotone_spline", "--out", "m.json"), ("no formula",)),
        (("fit", "published:astromorphic_fig3", "--at", "K_AG=-1000", "--out", "m.json"), ("no variable",)),
        (("fit", "published:astromorphic_fig3", "--at", "K_AG", "--out", "m.json"), ("NAME=VALUE",)),
        (("fit", "published:astromorphic_fig3", "--level", "95", "--out", "m.json"), ("level is 95",)),
        (("fit", "published:astromorphic_fig4_imdb_neither", "--out", "m.json"), ("'%'", "'uM'", "'Hz'")),
        (("train", "shakespear", "--out", "r"), ("'shakespear'", "shakespeare")),
        (("train", "shakespeare", "--preset", "big", "--out", "r"), ("'big'", "quick")),
        (("train", "shakespeare", "--set", "hiden_size=8", "--out", "r"), ("hiden_size", "did you mean")),
        (
            ("train", "shakespeare", "--set", "torch_dtype=float16", "--out", "r"),
            ("torch_dtype", "setting of the model"),
        ),
        (("train", "shakespeare", "--set", "hidden_size=8,16", "--out", "r"), ("hidden_size", "one value")),
        (("train", "shakespeare", "--set", "hidden_size=1000000000", "--out", "r"), ("hidden_size", "memory")),
        (
            ("train", "shakespeare", "--set", "max_position_embeddings=1", "--out", "r"),
            ("max_position_embeddings is 1",),
        ),
        (("train", "shakespeare", "--set", "vocab_size=100", "--out", "r"), ("vocab_size is 100",)),
        (("train", "shakespeare", "--set", "num_attention_heads=0", "--out", "r"), ("num_attention_heads is 0",)),
        (("train", "shakespeare", "--out", "/proc/nowhere"), ("/proc",)),
        (("train", "shakespeare", "--macro", "nothing.json", "--out", "r"), ("nothing.json",)),
        (("run", "--seed", "4294967295", "--out", "r"), ("seed is 4294967295",)),
        (("run", "--out", "/proc/nowhere"), ("/proc",)),
        (("run", "--workers", "0", "--out", "r"), ("--workers", "astromorphic run --help")),
        (("generate", "nowhere", "--prompt", "a"), ("nowhere",)),
        (("generate", ".", "--prompt", "a"), ("config.json",)),
        (("generate", ".", "--prompt", ""), ("--prompt",)),
        (("generate", ".", "--prompt", "a", "--temperature", "1e-320"), ("--temperature",)),
        (("generate", ".", "--prompt", "a", "--temperature", "nan"), ("--temperature",)),
        (("figures", "fig33", "--out", "f"), ("'fig33'", "did you mean 'fig3'")),
        (("benchmark", "speed"), ("'speed'", "simulation")),
        (("nonsense",), ("nonsense",)),
    ],
)
def test_wrong_input_exits_2_with_one_line_and_leaves_nothing(arguments, words, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    captured = capfd.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    assert "Traceback" not in captured.err
    for word in words:
        assert word in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_macro_file_that_is_not_one_is_refused_by_train(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    wrong = tmp_path / "macro.json"
    wrong.write_text(json.dumps({"alpha": 0.25}))
    assert call("train", "shakespeare", "--macro", str(wrong), "--preset", "smoke", "--out", "run") == 2
    captured = capfd.readouterr()
    assert captured.err.count("\n") == 1
    assert "macro.json" in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["macro.json"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder_exits_2(tmp_path, capfd):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    assert call("simulate", "fig3", "--out", str(folder / "a.nc")) == 2
    assert "not writable" in capfd.readouterr().err


def test_a_file_in_place_of_a_folder_exits_2(tmp_path, capfd):
    (tmp_path / "file").write_text("x")
    assert call("simulate", "fig3", "--out", str(tmp_path / "file" / "a.nc")) == 2
    assert "does not exist" in capfd.readouterr().err
    assert call("figures", "fig3", "--out", str(tmp_path / "file")) == 2
    assert "cannot make folder" in capfd.readouterr().err


def test_run_refuses_a_file_and_a_folder_of_something_else(tmp_path, capfd):
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "thesis.txt").write_text("mine")
    assert call("run", "--out", str(occupied)) == 2
    assert "not empty" in capfd.readouterr().err
    assert (occupied / "thesis.txt").read_text() == "mine"
    assert call("run", "--out", str(occupied / "thesis.txt")) == 2
    assert "is a file" in capfd.readouterr().err


def test_simulate_takes_spikes_from_a_file(tmp_path, capsys):
    import biosim

    source, out = tmp_path / "in,put.csv", tmp_path / "a.nc"
    source.write_text("time_s,synapse,neuron\n" + "".join(f"{0.1 * k:g},{k % 10},{k % 2}\n" for k in range(1, 30)))
    options = ["--set", "release=expected", "--set", "PR0=1", "--set", "duration=4"]
    assert call("simulate", "spikes", "--spikes", str(source), *options, "--out", str(out)) == 0
    data = biosim.load(out)
    # Every spike is a quantum, but for DSE: two neurons share 29 spikes in 4 s.
    assert 2.5 < float(data.release_rate.squeeze()) <= 29 / 8
    assert biosim.provenance(data)["protocol"]["experiment"]["spikes"]["source"] == "in,put.csv"


def test_simulate_writes_a_dataset_with_the_values_that_were_set(tmp_path, capsys):
    import biosim

    out = tmp_path / "sweep.nc"
    arguments = ["--set", "rates=2,8", "--set", "trials=2", "--set", "duration=20", "--set", "settle=10"]
    assert (
        call("simulate", "rate_sweep", *arguments, "--set", "K_AG=-4000:-1000:3", "--seed", "5", "--out", str(out)) == 0
    )
    assert capsys.readouterr().out.strip() == str(out)
    dataset = biosim.load(out)
    assert dict(dataset.sizes) == {"input_rate": 2, "trial": 2, "K_AG": 3}
    assert dataset.K_AG.values.tolist() == [-4000.0, -2500.0, -1000.0]
    record = biosim.provenance(dataset)
    assert record["seed"] == 5
    # Weaker suppression lets the neurons fire more.
    rate = dataset.firing_rate.mean("trial").sel(input_rate=8)
    assert rate[0] < rate[1] < rate[2]


def test_fit_of_the_published_curve_prints_the_ranking_and_writes_the_macro_file(tmp_path, capsys):
    from bridge import MacroParameters

    out = tmp_path / "macro.json"
    assert (
        call(
            "fit", "published:astromorphic_fig3", "--resting-calcium", "0.0722", "--bootstraps", "50", "--out", str(out)
        )
        == 0
    )
    text = capsys.readouterr().out
    assert "taken: hyperbola, the simplest within 2 of the lowest AICc" in text
    macro = MacroParameters.load(out)
    assert macro.response.family == "hyperbola"
    assert macro.response.parameters["k"].value == pytest.approx(0.879, abs=0.002)


def test_fit_of_a_table_with_units_and_weights(tmp_path, capsys):
    from bridge import MacroParameters

    source, out = tmp_path / "slices.csv", tmp_path / "macro.json"
    rates, calcium = (1, 2, 3, 5, 8, 12), (107.4, 119.6, 125.7, 131.5, 135.9, 138.3)
    rows = [f"{rate / 1000},{value},{0.3}" for rate, value in zip(rates, calcium, strict=True)]
    source.write_text("\n".join(["rate (kHz),calcium (nM),calcium_se (nM)", *rows]))
    command = ("fit", str(source), "--weights", "spread", "--family", "hyperbola", "--family", "power")
    options = ("--estimator", "loglog_raw", "--bootstraps", "50", "--level", "0.9", "--out", str(out))
    assert call(*command, *options) == 0
    text = capsys.readouterr().out
    assert "note: rate was given in kHz: times 1000 to Hz" in text and "profile [" in text and "CV uM" in text
    macro = MacroParameters.load(out)
    assert macro.response.family == "hyperbola" and macro.response.weights == "spread"
    assert macro.response.input_range_Hz == [1.0, 12.0]
    interval = macro.response.parameters["k"].interval
    assert interval is not None and interval.level == 0.9 and interval.low < 0.95 < interval.high
    assert {"hill", "power", "monotone_spline"} <= {row.family for row in macro.ranking}
    expected = f"astromorphic fit {source} --family hyperbola --family power --weights spread --level 0.9"
    assert macro.provenance["command"] == expected


def test_fit_with_a_resting_calcium_above_the_curve_says_so(tmp_path, capfd):
    out = str(tmp_path / "macro.json")
    assert call("fit", "published:astromorphic_fig3", "--resting-calcium", "0.12", "--out", out) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert "rest" in err
    assert "0.12" in err
    assert list(tmp_path.iterdir()) == []


def test_fit_does_not_overwrite_the_simulation_it_reads(tmp_path, capfd):
    source = tmp_path / "sweep.nc"
    options = [f"--set={text}" for text in ("rates=1,2,4,8", "trials=2", "duration=2", "settle=1")]
    assert call("simulate", "rate_sweep", *options, "--out", str(source)) == 0
    before = source.read_bytes()
    (tmp_path / "link.nc").symlink_to(source)
    for out in (source, tmp_path / "link.nc"):
        assert call("fit", str(source), "--out", str(out), "--bootstraps", "0") == 2
        assert "name another file" in capfd.readouterr().err
    assert source.read_bytes() == before


def test_interrupt_leaves_no_file(tmp_path):
    """Ctrl-C in the middle of a long simulation: status 130, no traceback, no file."""
    import signal
    import time

    out = tmp_path / "long.nc"
    command = [sys.executable, "-m", "astromorphic", "simulate", "fig3", "--set", "duration=40000", "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_no_arguments_show_the_help_and_nothing_else(capfd):
    assert call() == 2
    captured = capfd.readouterr()
    assert "Usage" in captured.out
    assert captured.err == ""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "model"
    size = [
        f"--set={name}" for name in ("hidden_size=16", "num_attention_heads=2", "hidden_dim=4", "intermediate_size=16")
    ]
    assert call("train", "shakespeare", "--preset", "smoke", *size, "--out", str(out)) == 0
    return out


def test_generate_continues_the_prompt_and_repeats_with_its_seed(trained, capsys):
    texts = []
    for seed in ("1", "1", "2"):
        assert call("generate", str(trained), "--prompt", "To be", "--length", "20", "--seed", seed) == 0
        texts.append(capsys.readouterr().out)
    assert all(text.startswith("To be") for text in texts)
    assert texts[0] == texts[1] != texts[2]


def test_a_prompt_that_fills_the_positions_is_named(trained, capfd):
    assert call("generate", str(trained), "--prompt", "x" * 64) == 2
    err = capfd.readouterr().err
    assert "--prompt has 64 bytes" in err
    assert "--length" not in err


@pytest.mark.parametrize("damage", ["cut weights", "no weights", "cut config", "foreign weights"])
def test_a_damaged_model_is_named_by_generate(trained, tmp_path, capfd, damage):
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(trained, folder)
    weights, config = folder / "model.safetensors", folder / "config.json"
    if damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "no weights":
        weights.unlink()
    elif damage == "cut config":
        config.write_text(config.read_text()[:50])
    else:
        content = json.loads(config.read_text())
        config.write_text(json.dumps({**content, "hidden_size": 32}))
    assert call("generate", str(folder), "--prompt", "To be") == 2
    captured = capfd.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    assert str(folder) in captured.err
    assert captured.out == ""


def _child_processes(pid: int) -> list[int]:
    """All descendants of a process, from /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, waiting = [], [pid]
    while waiting:
        new = children.get(waiting.pop(), [])
        found += new
        waiting += new
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="needs /proc to see other processes")
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGKILL", -9)])
def test_a_stopped_run_ends_its_workers_and_can_be_continued(tmp_path, name, status):
    """Stopped while training: the workers go too, no half-written file stays, and the same command would go on."""
    import signal
    import time

    out = tmp_path / "run"
    command = [sys.executable, "-m", "astromorphic", "run", "--quick", "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 240
    while not list(out.glob("models/*/checkpoints/settings.json")):
        assert process.poll() is None and time.monotonic() < deadline, "the run never came to training"
        time.sleep(0.05)
    workers = _child_processes(process.pid)
    assert workers
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert "Traceback" not in err
    while any(_alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker outlived the run"
        time.sleep(0.05)
    assert not (out / "report.html").exists()
    assert not [path for path in out.rglob("*.tmp") if path.is_file()]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", 1),
        ("a=-1e3", -1000.0),
        ("a=true", True),
        ("a=none", None),
        ("a=ode", "ode"),
        ("a=1,2", [1.0, 2.0]),
        ("a=0:1:3", [0.0, 0.5, 1.0]),
    ],
)
def test_assignments(text, value):
    assert parse_assignments([text]) == {"a": value}


@pytest.mark.parametrize("text", ["a", "=1", "a=", "a=1:2", "a=1:2:1", "a=1,x", "a=x:2:3"])
def test_wrong_assignments_are_named(text):
    with pytest.raises(AssignmentError, match="--set"):
        parse_assignments([text])


def test_doctor_finds_this_installation_whole(capsys):
    assert call("doctor") == 0
    out = capsys.readouterr().out
    assert "fault" not in out
    assert "engine numba" in out
