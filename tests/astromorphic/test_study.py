"""Studies: which runs they are made of, what is refused before data are read, and the table in the end."""

from __future__ import annotations

import dataclasses
import io
import math
import queue

import pytest
import torch
from rich.console import Console

from astromorphic import jobs, study
from astromorphic.cli import main
from astromorphic.memory_commands import STUDIES as MEMORY_STUDIES
from astromorphic.studies import STUDIES, Arm, Study
from figures import spiking_table
from models.astrosnn import AstroSNNConfig
from models.evaluation import score_tokens
from models.result import RunResult
from models.scoring import open_run


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


@pytest.fixture
def films(tmp_path, monkeypatch):
    """A study of a small table, under the name "films"."""
    file = tmp_path / "films.csv"
    rows = [f"{'good' if i % 2 else 'bad'} film number {i},{'pos' if i % 2 else 'neg'}" for i in range(80)]
    file.write_text("text,label\n" + "\n".join(rows) + "\n")
    arms = (
        Arm("plain", "katharopoulos"),
        Arm("ours", settings={"branch_norm": True}),
        Arm("fitted", macro="simulated"),
    )
    made = Study("films", str(file), arms, "table1", (1e-3, 1e-2), {"test": 0.2})
    monkeypatch.setattr(study, "STUDIES", {**STUDIES, "films": made})
    return made


def test_every_arm_of_every_study_is_a_network():
    """The configuration with the sizes of its task's preset, and the network itself without numbers in it."""
    import bridge
    from models import AstromorphicConfig
    from models.astromorphic import (
        AstromorphicForCausalLM,
        AstromorphicForImageClassification,
        AstromorphicForSequenceClassification,
    )
    from models.rmaat import RMAATConfig, RMAATForSequenceClassification
    from models.tasks.loading import kind_of
    from models.tasks.prepare import NETWORKS
    from models.tasks.presets import task_preset
    from models.tasks.segmented import names as segmented

    classes = {"causal_lm": AstromorphicForCausalLM, "sequence": AstromorphicForSequenceClassification,
               "image": AstromorphicForImageClassification}  # fmt: skip
    data = {"sequence": {"num_labels": 2, "max_position_embeddings": 400}, "image": {"num_labels": 10, "image_size": 32},
            "causal_lm": {}}  # fmt: skip
    for name, one in STUDIES.items():
        network = NETWORKS[kind_of(one.task)]
        names, settings = [], []
        for arm in one.arms:
            size = {**task_preset(one.task, "tuned").model, **data[network], **arm.settings}
            made = classes[network]
            if arm.preset == "astrosnn":
                names.append(arm.name)
                continue  # below: brought to one size
            if arm.preset in segmented():
                preset, made = segmented()[arm.preset], RMAATForSequenceClassification
                size.pop("pooling", None)
                if arm.macro is None:
                    config = RMAATConfig.from_preset(preset, **size)
                else:
                    config = RMAATConfig.from_macro(bridge.preset(arm.macro), preset=preset, **size)
            elif arm.macro is None:
                config = AstromorphicConfig.from_preset(arm.preset, network=network, **size)
            else:
                config = AstromorphicConfig.from_macro(bridge.preset(arm.macro), network=network, **size)
            with torch.device("meta"):
                assert sum(p.numel() for p in made(config).parameters()) > 10_000
            names.append(arm.name)
            settings.append({**config.settings(), "model_type": config.model_type})
        assert len(set(names)) == len(names), name
        # No two arms are the same network under two names.
        assert all(a != b for i, a in enumerate(settings) for b in settings[:i]), name


@pytest.fixture
def small_text(tmp_path, monkeypatch):
    """The study of AstroSNN on a small text."""
    file = tmp_path / "text.txt"
    file.write_text("the quick brown fox jumps over the lazy dog. " * 300)
    given = STUDIES["enwik8_astrosnn"]
    options = {name: value for name, value in given.options.items() if name != "n_bytes"}
    made = dataclasses.replace(given, task=str(file), options=options)
    monkeypatch.setattr(study, "STUDIES", {**STUDIES, "small": made})
    return made


def test_arms_of_the_spiking_study_have_equal_parameters_and_are_all_different(small_text, tmp_path):
    planned = study.plan("small", tmp_path / "runs", preset="smoke", seeds=1, rates=[1e-3])
    assert [job["arm"] for job in planned] == [arm.name for arm in small_text.arms]
    assert {job["model_type"] for job in planned} == {"astrosnn"}
    configs = {job["arm"]: AstroSNNConfig(**job["config"]) for job in planned}
    counts = {name: config.num_parameters() for name, config in configs.items()}
    assert counts["amsu"] == 494_400  # 2 layers of 13 d^2 + 10.25 d, d = 128, two tables of 256 rows, a norm
    assert all(abs(count / counts["amsu"] - 1) < 0.05 for count in counts.values()), counts
    # But for the block without a feed-forward part, whose width goes in steps, they are equal to a tenth of a per cent.
    assert all(abs(n / counts["amsu"] - 1) < 1e-3 for name, n in counts.items() if name != "pure"), counts
    settings = [config.settings() for config in configs.values()]
    assert all(a != b for i, a in enumerate(settings) for b in settings[:i])
    # One factor at a time: an arm differs from the default in what it fixes and in the size that makes up for it.
    for arm in small_text.arms:
        config, default = configs[arm.name].settings(), configs["amsu"].settings()
        changed = {name for name in config if config[name] != default[name]}
        sizes = {"hidden_size"} if arm.name == "pure" else {"intermediate_size"}
        from_macro = {"tau", "macro_digest"} if arm.macro else set()
        assert set(arm.settings) - {"mixer"} <= changed | {"mixer"} and changed <= {
            *arm.settings,
            *sizes,
            *from_macro,
        }, arm
    assert {"sigma", "residual_mode", "decay", "mixer", "terms", "head_norm", "rope_fraction", "tau"} <= {
        name for arm in small_text.arms for name in arm.settings
    }
    # Other sizes of the default are those that the others are brought to.
    wide = study.plan("small", tmp_path, arms=["gru"], seeds=1, rates=[1e-3], changes={"intermediate_size": 700})
    assert AstroSNNConfig(**wide[0]["config"]).num_parameters() == pytest.approx(
        AstroSNNConfig(**{**configs["amsu"].settings(), "intermediate_size": 700}).num_parameters(), rel=1e-3
    )


@pytest.mark.slow
def test_arms_of_the_spiking_study_train_and_stand_in_its_table(small_text, tmp_path):
    """The paper's block without residual paths, a decay that forgets, and a mixer of another kind: no NaN, rates recorded."""
    out = tmp_path / "runs"
    changes = {"hidden_size": 32, "num_hidden_layers": 2, "max_position_embeddings": 16, "steps": 4, "warmup_steps": 1,
               "evaluate_every": 2, "intermediate_size": 122, "final_bytes": 200, "reevaluated_tokens": 8}  # fmt: skip
    arms = ["amsu", "softmax", "pure", "tau_simulated"]
    text = study.run("small", out, preset="smoke", arms=arms, seeds=1, rates=[3e-3], changes=changes, workers=1)
    assert f"astromorphic figures spiking_table --runs {out}" in text
    rows = spiking_table.compute(runs=out).set_index("arm")
    assert sorted(rows.index) == sorted(arms) and rows.test.between(4.0, 9.0).all()
    assert rows.firing_rate[["amsu", "pure", "tau_simulated"]].between(0.02, 0.98).all()
    assert math.isnan(rows.firing_rate["softmax"]) and math.isnan(rows.ac["softmax"])
    record = RunResult.load(out / "amsu" / "lr0.003-seed0" / "run.json")
    # Scored in float32 though trained in bfloat16: the folder gives the same number again.
    run = open_run(out / "amsu" / "lr0.003-seed0")
    ids = torch.from_numpy(run.task.test.ids[:200].astype("int64"))
    nats, _, _ = score_tokens(run.model, ids)
    assert record.recipe["mixed_precision"] == "bf16"
    assert nats == pytest.approx(record.scores["test"].nats, rel=1e-9)


def test_a_plan_has_every_arm_at_every_rate_and_the_first_seeds_first(films, tmp_path):
    changes = {"hidden_size": 16, "epochs": 1, "vocabulary": 50}
    planned = study.plan("films", tmp_path / "runs", preset="smoke", seeds=2, first_seed=5, changes=changes)
    assert [(job["seed"], job["arm"], job["recipe"].learning_rate) for job in planned] == [
        (seed, arm, rate) for seed in (5, 6) for arm in ("plain", "ours", "fitted") for rate in (1e-3, 1e-2)
    ]
    assert len({job["out_dir"] for job in planned}) == 12
    assert planned[0]["out_dir"] == str(tmp_path / "runs" / "plain" / "lr0.001-seed5")
    plain, ours, fitted = planned[0], planned[2], planned[4]
    assert plain["config"]["mixer"] == "linear" and plain["macro"] is None
    assert ours["config"]["branch_norm"] is True and ours["config"]["hidden_size"] == 16
    assert fitted["config"]["macro_digest"] and fitted["config"]["response"] != ours["config"]["response"]
    assert all(job["options"]["test"] == 0.2 and job["options"]["vocabulary"] == 50 for job in planned)
    assert not (tmp_path / "runs").exists()
    # Named arms come in the study's order; a rate named twice is one run.
    few = study.plan("films", tmp_path, preset="smoke", arms=["ours", "plain"], rates=[0.1, 1e-1], seeds=1)
    assert [(job["arm"], job["recipe"].learning_rate) for job in few] == [("plain", 0.1), ("ours", 0.1)]


def test_what_an_arm_fixes_cannot_be_set(films, tmp_path):
    for changes, words in (
        ({"branch_norm": False}, "--set branch_norm in study films: arm ours fixes it"),
        ({"learning_rate": 1e-3}, "--set learning_rate in study films: use --learning-rates"),
    ):
        with pytest.raises(ValueError, match=words):
            study.plan("films", tmp_path, preset="smoke", changes=changes)
    # An arm that fixes nothing takes it.
    assert study.plan("films", tmp_path, preset="smoke", arms=["plain"], seeds=1, changes={"branch_norm": True})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("imbd", "--out", "r"), ("'imbd'", "did you mean 'imdb'")),
        (("imdb",), ("study imdb", "--out DIR")),
        (("imdb", "--out", "r", "--arms", "softmx"), ("'softmx'", "did you mean 'softmax'")),
        (("imdb", "--out", "r", "--arms", "softmax,"), ("arm ''",)),
        (("imdb", "--out", "r", "--learning-rates", "1e-3;2"), ("--learning-rates 1e-3;2", "3e-4,1e-3")),
        (("imdb", "--out", "r", "--learning-rates", "0", "--data", "nowhere"), ("learning_rate is 0.0", "above 0")),
        (("imdb", "--out", "r", "--seeds", "0"), ("--seeds",)),
        (("imdb", "--out", "r", "--seed", "4294967295"), ("--seed 4294967295 with 3 seeds", "0 to 4294967293")),
        (("imdb", "--out", "r", "--preset", "smok"), ("'smok'", "did you mean 'smoke'")),
        (("imdb", "--out", "r", "--set", "dropot=0.1"), ("dropot", "did you mean 'dropout'")),
        (("imdb", "--out", "r", "--set", "dropout=0.1,0.2"), ("dropout", "one value")),
        (("imdb", "--out", "r", "--data", "nowhere"), ("imdb", "astromorphic data fetch imdb")),
        (("imdb_ablation", "--out", "r", "--set", "position_code=false"), ("position_code", "fixes it")),
    ],
)  # fmt: skip
def test_faults_are_one_line(arguments, words, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert call("study", *arguments) == 2
    captured = capfd.readouterr()
    assert captured.err.count("\n") == 1 and captured.out == "", captured.err
    for word in words:
        assert word in captured.err
    assert list(tmp_path.iterdir()) == []


def test_the_list_names_studies_and_arms(capsys):
    assert call("study", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*STUDIES, *MEMORY_STUDIES, "recall"]
    assert lines[0].endswith(", ".join(arm.name for arm in STUDIES["imdb"].arms))


def test_a_study_trains_adds_seeds_and_sums_up(films, tmp_path):
    """Two runs, then one seed more; what is there is not trained again."""
    out = tmp_path / "runs"
    how = {"preset": "smoke", "arms": ["plain"], "rates": [1e-2], "workers": 1,
           "changes": {"hidden_size": 16, "epochs": 1, "vocabulary": 50}}  # fmt: skip
    text = study.run("films", out, seeds=1, **how)
    record = out / "plain" / "lr0.01-seed0" / "run.json"
    before = record.stat().st_mtime_ns
    assert "films.csv, accuracy (%):" in text and f"astromorphic figures table1 --runs {out}" in text
    text = study.run("films", out, seeds=2, **how)
    assert record.stat().st_mtime_ns == before
    line = next(line for line in text.splitlines() if line.startswith("  plain"))
    assert " ± " in line and line.split()[-4:-2] == ["2", "0.01"]


def test_jobs_of_one_arm_and_seed_have_bars_of_their_own(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(jobs, "notices", Console(file=screen, force_terminal=True, width=100))
    planned = [{"arm": "ours", "seed": 0, "recipe": {"learning_rate": rate}} for rate in (1e-3, 3e-3)]
    assert jobs.titles(planned) == ["training ours, seed 0, lr 0.001", "training ours, seed 0, lr 0.003"]
    assert jobs.titles([*planned[:1], {"arm": "ours", "seed": 1}]) == ["training ours, seed 0", "training ours, seed 1"]
    items: queue.Queue = queue.Queue()
    for number, step in ((0, 3), (1, 7)):
        jobs._Numbered(items, number).put({"arm": "ours", "seed": 0, "step": step, "total": 10, "metrics": {}})
    with jobs._Bars(items, planned):
        while not items.empty():
            pass
    last = screen.getvalue().split("training ours, seed 0, lr 0.001")[-1]
    one, other = last.split("training ours, seed 0, lr 0.003")
    assert "3/10" in one and "7/10" in other and "10" not in other.replace("7/10", "")


def test_a_large_study_shows_the_runs_that_are_on(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(jobs, "notices", Console(file=screen, force_terminal=True, width=100))
    planned = [{"arm": f"arm{i:02d}", "seed": 0} for i in range(30)]
    items: queue.Queue = queue.Queue()
    for number, step in ((4, 10), (5, 2)):
        items.put({"job": number, "step": step, "total": 10, "metrics": {}})
    with jobs._Bars(items, planned):
        while not items.empty():
            pass
    last = screen.getvalue().split("\n")[-3:]
    assert any("arm05" in line and "2/10" in line for line in last)
    assert not any(name in "".join(last) for name in ("arm04", "arm06"))
