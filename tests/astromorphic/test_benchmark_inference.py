"""Inference of the spiking benchmark: what its arms carry, how its rows are judged, and its figure. No test looks at a time."""

from __future__ import annotations

import json

import pytest
import torch

from astromorphic import benchmark_inference as inference
from astromorphic import benchmark_spiking, commands
from astromorphic.assignments import AssignmentError
from figures import efficiency, make
from figures.runs import RunsError

WIDTH = 32


@pytest.mark.parametrize("layers", [1, 2])
def test_bytes_of_the_state_are_those_of_the_arithmetic(layers):
    for arm in (inference.CHUNKED, inference.RETNET, inference.GPT2):
        model = inference.network(arm, WIDTH, layers, 64)
        for tokens in (8, 64):
            with torch.inference_mode():
                found = inference.prefill(arm, model, inference._prompt(tokens, 3))[2]
            if arm == inference.GPT2:
                size = sum(4 * x.numel() for layer in found.layers for x in (layer.keys, layer.values))
            else:
                size = found.num_bytes()
            assert size == inference.state_bytes(arm, WIDTH, layers, tokens, batch=3)


def test_arms_are_what_their_names_say():
    """The forms of one network, with the same weights; no cache keeps nothing; a cache has room and is written into."""
    models = {arm: inference.network(arm, WIDTH, 1, 64) for arm in inference.ARMS}
    forms = [models[arm].config.form for arm in (inference.CHUNKED, inference.MASKED, inference.SERIAL)]
    assert forms == ["chunked", "masked", "serial"] and models[inference.RETNET].config.mixer == "retention"
    first = models[inference.CHUNKED].state_dict()
    assert all(torch.equal(x, first[name]) for name, x in models[inference.SERIAL].state_dict().items())
    assert not any(model.training for model in models.values())
    with torch.inference_mode():
        assert (
            inference.prefill(inference.GPT2_WITHOUT, models[inference.GPT2_WITHOUT], inference._prompt(9))[2] is None
        )
        cache = inference.context(inference.GPT2, models[inference.GPT2], 20, 2)
        assert cache.layers[0].keys.shape[2] == 20 + inference.ROOM
        inference.decode(inference.GPT2, models[inference.GPT2], cache, 2, 3)
        assert int(cache.get_seq_length()) == 23
        state = inference.context(inference.CHUNKED, models[inference.CHUNKED], 20, 2)
        assert state.seen == 20 and state.batch_size == 2
        before = [x.clone() for x in state.layers[0]]
        inference.decode(inference.CHUNKED, models[inference.CHUNKED], state, 2, 3)
        assert all(torch.equal(a, b) for a, b in zip(before, state.layers[0], strict=True)) and state.seen == 20


def test_break_even_by_arithmetic_is_where_the_states_are_equal():
    even = inference.break_even(2048)
    assert even["step"] == 320.0 and even["state"] == 128.5
    bytes_at = [
        [inference.state_bytes(arm, 2048, 1, n) for arm in (inference.CHUNKED, inference.GPT2)] for n in (128, 129)
    ]
    assert bytes_at[0][0] > bytes_at[0][1] and bytes_at[1][0] < bytes_at[1][1]


def made_up(slow_at=None):
    rows = []
    for what in ("prefill", "decode", "state"):
        for tokens, theirs in ((64, 0.5), (256, 2.0), (1024, 8.0)):
            ours = 1.5 if what == "decode" and tokens == slow_at else 1.0
            rows.append(inference._row(what, inference.CHUNKED, tokens, ours, "ms", quartiles=[0.9, 1.6], repeats=3))
            rows.append(
                inference._row(what, inference.GPT2, tokens, theirs, "ms", quartiles=[theirs, theirs], repeats=3)
            )
    return rows


def test_ratios_crossing_and_flatness_are_judged_by_the_rows():
    found = {row["name"]: row for row in inference.ratios(made_up(), (64, 256, 1024), 512)}
    assert found["decode, GPT-2 / AM-SU, chunked, 1024 tokens"]["value"] == 8.0
    assert found["prefill, GPT-2 needs more than AM-SU, chunked from"]["value"] == "256 tokens"
    flat = "decode, AM-SU, chunked, slowest / fastest length"
    assert found[flat]["met"] and found[flat]["value"] == 1.0
    slow = {row["name"]: row for row in inference.ratios(made_up(256), (64, 256, 1024), 512)}
    assert not slow[flat]["met"] and slow[flat]["value"] == 1.5
    text = benchmark_spiking.table(list(slow.values()))
    assert "goal <= 1.1: not met" in text and "256 tokens" in text


def test_goals_of_training_are_judged_by_the_times(monkeypatch):
    """Made-up seconds: softmax 4 and 8 times as long as the term, 2 and 4 times as the unit, whose time per token falls."""
    names = (benchmark_spiking.ASTROCYTE, benchmark_spiking.UNIT, benchmark_spiking.SOFTMAX)

    def seconds(function, leaves, d_out):
        arm, length = leaves
        linear = {names[0]: 1e-6, names[1]: 2e-6 if length < 8192 else 1.5e-6}
        return 0.75 * (
            taken := length * linear.get(arm, 4e-6 * length / 2048 / (2 if length == 8192 else 1))
        ), 0.25 * taken

    monkeypatch.setattr(benchmark_spiking, "LENGTHS", (1024, 2048, 8192))
    monkeypatch.setattr(benchmark_spiking, "QUADRATIC_LENGTHS", (2048, 8192))
    monkeypatch.setattr(benchmark_spiking, "_leaves", lambda arm, length: ((arm, length), None))
    monkeypatch.setattr(benchmark_spiking, "_one_pass", seconds)
    rows = {row["name"]: row for row in benchmark_spiking.training()}
    term, unit, softmax = names
    ratios = {(arm, n): rows[f"{softmax} / {arm}, {n} tokens"] for arm in (term, unit) for n in (2048, 8192)}
    assert [row["value"] for row in ratios.values()] == pytest.approx([4.0, 8.0, 2.0, 8.0 / 1.5])
    assert [(row["goal"], row["met"]) for row in ratios.values()] == [
        (">= 3", True), (">= 10", False), (">= 3", False), (">= 10", False),
    ]  # fmt: skip
    flat = [rows[f"slowest / fastest length, {arm}"] for arm in (term, unit)]
    assert [row["value"] for row in flat] == pytest.approx([1.0, 2 / 1.5]) and [row["met"] for row in flat] == [
        True,
        False,
    ]
    assert rows[f"{unit}, 2048 tokens"]["value"] == pytest.approx(2.0)
    assert rows[f"{unit}, 2048 tokens"]["program"] == pytest.approx(1.5)


def test_nothing_is_timed_where_the_forms_differ(monkeypatch):
    assert benchmark_spiking.forms_differ_by(67) < 1e-12
    from models.ops import amsu as unit

    right = unit.retention_masked
    monkeypatch.setattr(unit, "retention_masked", lambda *x, **y: tuple(1.001 * one for one in right(*x, **y)))
    monkeypatch.setattr(benchmark_spiking, "_one_pass", lambda *x: pytest.fail("timed first"))
    with pytest.raises(RuntimeError, match="the forms of the AM-SU differ by"):
        benchmark_spiking.training(quick=True)
    with pytest.raises(RuntimeError, match=r"differ by .* in the network"):
        inference.forms_agree(WIDTH, 1)


def test_arms_of_training_are_causal_and_do_the_same_kind_of_work():
    for arm, function in benchmark_spiking._arms().items():
        leaves, d_out = benchmark_spiking._leaves(arm, 9)
        out = function(*leaves)
        assert out.shape == d_out.shape == (1, 9, benchmark_spiking.HEADS, benchmark_spiking.WIDTH)
        later = [torch.cat([x[:, :6], x[:, 6:] + 1.0], 1) for x in leaves]
        assert torch.equal(function(*later)[:, :6], out[:, :6]) and not torch.equal(function(*later), out)
        assert [x.requires_grad for x in leaves] == [True] * 3 + [arm == benchmark_spiking.UNIT]
        assert set(out.unique().tolist()) == {0.0, 1.0} or arm != benchmark_spiking.UNIT


def test_sizes_that_make_no_network_are_refused_before_any_work(tmp_path):
    for sizes, words in (
        ({"width": 20}, "--width is 20; expected a multiple of 16"),
        ({"layers": -1}, "--layers is -1"),
        ({"lengths": [64, 0]}, r"--lengths is \[64, 0\]"),
    ):
        with pytest.raises(AssignmentError, match=words):
            commands.benchmark("spiking", True, None, sizes)
    with pytest.raises(AssignmentError, match="--width belongs to the benchmark spiking, not to memory"):
        commands.benchmark("memory", True, None, {"width": 64})
    with pytest.raises(AssignmentError, match="--lengths is '64;128'"):
        commands.whole_numbers("--lengths", "64;128")


def test_the_figure_shows_the_rows_of_the_record(tmp_path):
    file = tmp_path / "spiking.json"
    file.write_text(json.dumps([*made_up(), {"name": "command", "value": "x", "unit": ""}]))
    data = efficiency.compute(runs=tmp_path)
    assert data.equals(efficiency.compute(runs=file)) and len(data) == 18
    figure = efficiency.draw(data)
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert lines["GPT-2"].get_ydata().tolist() == [0.5, 2.0, 8.0]
    assert "GPT-2 (state)" in {line.get_label() for line in figure.axes[3].get_lines()}
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0.9, 1.6)
    assert all(p.stat().st_size for p in make("efficiency", tmp_path / "out", runs=file))
    with pytest.raises(RunsError, match="benchmark spiking --json"):
        efficiency.compute()
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(RunsError, match="no rows of inference"):
        efficiency.compute(runs=tmp_path / "other.json")
