"""macro.json 1.2: sections, digest, schema, check, draws, words."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import biosim
from biosim.registry import UnknownName
from bridge import (
    Curve,
    MacroError,
    MacroParameters,
    bootstrap,
    check_macro,
    diff_macros,
    estimate_alpha,
    fit,
    json_schema,
    macro_from_fit,
    macro_from_memory,
    measure_plasticity,
    measure_time_constants,
    preset,
    show_macro,
)
from bridge.artifact import SECTIONS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def whole() -> MacroParameters:
    return preset("simulated")


def content(macro: MacroParameters) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(macro.dumps())
    return found


def without(macro: MacroParameters, *names: str) -> MacroParameters:
    left = content(macro)
    for name in names:
        left[name] = None
        left["validation"][name] = None
        if name == "response":
            left |= {"alpha": None, "ranking": None}
    return MacroParameters.from_content(left)


def test_the_committed_schema_is_current() -> None:
    assert json.loads((ROOT / "docs" / "macro.schema.json").read_text()) == json_schema()
    schema = json_schema()
    assert schema["additionalProperties"] is False and {"format", "version", "response"} <= set(schema["required"])


def test_presets_satisfy_the_schema_and_damaged_files_do_not(whole: MacroParameters) -> None:
    schema = json_schema()
    validator = pytest.importorskip("jsonschema").Draft202012Validator(schema)
    validator.check_schema(schema)
    for name in ("simulated", "paper_alpha025", "paper_astrosnn", "paper_rmaat"):
        validator.validate(content(preset(name)))
    for wrong in ({"retentoin": None}, {"retention": {"decay": -1}}, {"version": "1.1"}):
        assert not validator.is_valid(content(whole) | wrong)


def test_sections_and_what_is_missing(whole: MacroParameters) -> None:
    assert whole.sections == tuple(SECTIONS)
    assert whole.section("retention") is whole.retention
    paper = preset("paper_rmaat")
    assert paper.sections == ("retention",)
    with pytest.raises(
        MacroError, match=r"has no section 'response' \(it has retention\); add it with astromorphic fit"
    ):
        paper.response_function()
    with pytest.raises(MacroError, match="has no section 'time_constants'"):
        paper.section("time_constants")
    with pytest.raises(UnknownName, match="did you mean 'distance'"):
        paper.section("distence")


def test_digest_covers_numbers_of_every_section_and_nothing_else(whole: MacroParameters) -> None:
    changes = [
        ("time_constants", "constants", "ip3", "value"), ("time_constants", "tau_n"), ("time_constants", "membrane", "value"),
        ("retention", "decay"), ("distance", "scale"), ("response", "parameters", "k", "value"),
    ]  # fmt: skip
    digests = {whole.digest}
    for path in changes:
        changed = content(whole)
        inner = changed
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] *= 1.5
        digests.add(MacroParameters.from_content(changed).digest)
    assert len(digests) == len(changes) + 1
    same = content(whole)
    same["time_constants"]["constants"]["ip3"].update(stderr=None, biology="x", source="y", closed_form=None)
    same["retention"].update(stderr=1.0, decay_all_cycles=None, source="z")
    same["distance"].update(stderr=None, response_scale=None, response_stderr=None)
    same["validation"] = {}
    same["provenance"] = {}
    assert MacroParameters.from_content(same).digest == whole.digest
    # A file with one section fewer is another file; one with the response alone is what it was before 1.2.
    assert without(whole, "distance").digest != whole.digest
    alone = without(whole, "time_constants", "retention", "distance")
    old = content(alone)
    for name in ("time_constants", "retention", "distance", "validation"):
        del old[name]
    assert MacroParameters.from_content(old | {"version": "1.1"}).digest == alone.digest


def test_sections_are_joined_and_replaced(whole: MacroParameters) -> None:
    response, memory = without(whole, "time_constants", "retention", "distance"), without(whole, "response")
    joined = response.with_sections(memory)
    assert joined.digest == whole.digest and joined.validation == whole.validation
    assert joined.title == response.title and check_macro(joined).passed
    assert memory.with_sections(response).digest == whole.digest
    replaced = whole.with_sections(preset("paper_rmaat"))
    assert replaced.retention == preset("paper_rmaat").retention and replaced.validation.retention is None
    assert replaced.time_constants == whole.time_constants and replaced.response == whole.response
    other = whole.with_sections(preset("fig3_published_hyperbola"))
    assert other.alpha == preset("fig3_published_hyperbola").alpha and other.retention == whole.retention
    assert "sections" in other.provenance and "simulated_by" not in other.provenance


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("retention", "decai"), 1.0, "retention: unknown key 'decai': did you mean 'decay'"),
        (("retention", "decay"), -0.1, "retention.decay is -0.1"),
        (("retention", "decay"), 800.0, "decay is 800, expected 0 to 700"),
        (("retention", "shares"), [0.5, 0.4], r"shares are 2 and sum to 0\.9, expected at least 2 that sum to 1"),
        (("retention", "shares"), [0.0, 1.0], "shares begin with 0"),
        (("retention", "status"), "guessed", "retention.status is 'guessed'"),
        (("distance", "scale"), 0.0, "distance.scale is 0.0"),
        (("time_constants", "unit"), "ms", "time_constants.unit is 'ms'"),
        (("time_constants", "unit"), "steps", r"membrane.value is 0\.06 steps and tau_n 2"),
        (("time_constants", "constants"), {}, "constants is empty"),
        (("time_constants", "constants", "ip3", "vlaue"), 1.0, "ip3: unknown key 'vlaue': did you mean 'value'"),
        (("time_constants", "constants", "ip3", "value"), "7 s", "ip3.value is '7 s'"),
        (("time_constants", "constants", "a b"), None, "constants.a b"),
        (("validation", "retention", "longterm"), [], "validation.retention: unknown key 'longterm'"),
        (("validation", "response", "calcium_uM"), [0.1], "calcium_uM has 1 values and input_rate_Hz 10"),
        (("alpha",), None, "response and alpha go together"),
        (("response",), None, "response and alpha go together"),
    ],
)
def test_wrong_sections_are_refused_in_one_line(
    whole: MacroParameters, path: tuple[str, ...], value: object, message: str
) -> None:
    wrong = content(whole)
    inner = wrong
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(MacroError, match=message) as caught:
        MacroParameters.from_content(wrong)
    assert "\n" not in str(caught.value)


def test_a_file_without_any_section_is_refused(whole: MacroParameters) -> None:
    empty = content(whole) | dict.fromkeys((*SECTIONS, "alpha", "ranking"))
    with pytest.raises(MacroError, match="the file has no section, expected at least one of response"):
        MacroParameters.from_content(empty)
    ranked = content(preset("paper_rmaat")) | {"ranking": content(whole)["ranking"]}
    with pytest.raises(MacroError, match="ranking belongs to a response"):
        MacroParameters.from_content(ranked)


def test_presets_refit_from_the_data_inside(whole: MacroParameters) -> None:
    result = check_macro(whole)
    assert result.passed and result.unchecked == {}
    assert {value.place.split(".")[0] for value in result.values} == {"alpha", *SECTIONS}
    assert check_macro(preset("fig3_published_hyperbola")).passed
    for name in ("paper_alpha025", "paper_astrosnn", "paper_rmaat"):
        paper = check_macro(preset(name))
        assert paper.passed and paper.values == () and len(paper.unchecked) == 1


@pytest.mark.parametrize(
    ("path", "factor", "wrong"),
    [
        (("response", "parameters", "k", "value"), 1.002, {"response.k"}),
        (("alpha", "value"), 1.002, {"alpha"}),
        (("time_constants", "constants", "esp", "value"), 1.002, {"time_constants.esp"}),
        (("retention", "decay"), 1.002, {"retention.decay"}),
        (("distance", "scale"), 1.002, {"distance.scale"}),
    ],
)
def test_check_finds_an_edited_value(
    whole: MacroParameters, path: tuple[str, ...], factor: float, wrong: set[str]
) -> None:
    edited = content(whole)
    inner = edited
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] *= factor
    if path[0] == "response":
        edited["response"]["parameters"]["k"]["interval"] = None
    result = check_macro(MacroParameters.from_content(edited))
    assert not result.passed and set(result.wrong) == wrong and "DIFFERS" in result.text()


def test_check_says_what_it_cannot_do(whole: MacroParameters) -> None:
    broken = content(whole)
    broken["validation"]["retention"]["long_term"] = [0.1, 0.2]
    broken["validation"]["time_constants"] = broken["validation"]["time_constants"][:1]
    result = check_macro(MacroParameters.from_content(broken))
    assert set(result.failed) == {"retention", "time_constants"} and not result.passed
    assert "no data for" in result.failed["time_constants"] and "NOT POSSIBLE" in result.text()
    trials = content(whole)
    trials["validation"]["response"]["trials_uM"] = None
    trials["provenance"]["trials_left_out"] = [10, 4000]
    unchecked = check_macro(MacroParameters.from_content(trials)).unchecked
    assert "too many to be in the file" in unchecked["response"]
    with pytest.raises(MacroError, match="expected MacroParameters, found str"):
        check_macro("macro.json")  # type: ignore[arg-type]


def test_fitted_files_check_with_and_without_weights() -> None:
    rng = np.random.default_rng(0)
    rates = np.linspace(1, 10, 9)
    trials = (0.07 + 0.07 * rates / (rates + 1.0))[:, None] + 0.001 * rng.standard_normal((9, 12))
    given = Curve(x=rates, y=trials.mean(axis=1), sd=np.full(9, 3e-4), resting_calcium=0.07)
    for curve in (Curve.from_trials(rates, trials, resting_calcium=0.07), given):
        for weighted in (True, False):
            macro = macro_from_fit(fit(curve, "hyperbola", weighted=weighted), estimate_alpha(curve, n_resamples=0))
            assert check_macro(MacroParameters.loads(macro.dumps())).passed


def test_draws_have_the_spread_that_the_file_states(whole: MacroParameters) -> None:
    samples = whole.sample(300, seed=1)
    assert len(samples) == 300 and isinstance(samples[0], MacroParameters) and len(samples[:5]) == 5
    response = whole.response
    assert response is not None and response.covariance is not None and response.parameter_order is not None
    drawn = np.array([[s.response.parameters[n].value for n in response.parameter_order] for s in samples])  # type: ignore[union-attr]
    stated = np.array(response.covariance)
    deviation = np.sqrt(np.diag(stated))
    assert np.std(drawn, axis=0) == pytest.approx(deviation, rel=0.15)
    np.testing.assert_allclose(np.corrcoef(drawn.T), stated / np.outer(deviation, deviation), atol=0.06)
    decay = np.array([s.retention.decay for s in samples])  # type: ignore[union-attr]
    assert whole.retention is not None
    assert np.std(decay) == pytest.approx(whole.retention.stderr, rel=0.15)
    assert np.mean(decay) == pytest.approx(whole.retention.decay, rel=1e-3)
    alpha = np.array([s.alpha.value for s in samples])  # type: ignore[union-attr]
    assert whole.alpha is not None and whole.alpha.high is not None and whole.alpha.low is not None
    assert np.std(alpha) == pytest.approx((whole.alpha.high - whole.alpha.low) / (2 * 1.96), rel=0.15)
    assert {"response.parameters.k", "alpha", "retention.decay"} <= set(samples.drawn)
    assert "activation.rate_per_activation_Hz" in samples.fixed and "time_constants.tau_n" in samples.fixed
    assert not set(samples.drawn) & set(samples.fixed)
    first = samples[0]
    assert first.provenance["drawn"] == {"from": whole.digest, "seed": 1, "index": 0}
    assert first.response is not None and first.response.covariance is None and first.validation.response is None
    assert first.retention is not None and sum(first.retention.shares or [0]) == pytest.approx(1)


def test_a_draw_depends_on_seed_and_index_alone(whole: MacroParameters) -> None:
    assert whole.sample(3, seed=4)[2] == whole.sample(9, seed=4)[2] != whole.sample(3, seed=5)[2]
    memory = without(whole, "response")
    # Another section in the file leaves the draws of this one as they are.
    assert memory.sample(2, seed=4)[1].retention == whole.sample(2, seed=4)[1].retention


def test_positive_values_stay_positive_and_what_is_not_uncertain_stays(whole: MacroParameters) -> None:
    wide = content(whole)
    wide["retention"]["stderr"] = 5.0
    wide["time_constants"]["constants"]["ip3"]["stderr"] = 20.0
    wide["distance"]["stderr"] = None
    k = wide["response"]["parameter_order"].index("k")
    size = len(wide["response"]["parameter_order"])
    wide["response"]["covariance"] = [[4.0 * (i == j == k) for j in range(size)] for i in range(size)]
    samples = MacroParameters.from_content(wide).sample(60)
    assert all(s.retention.decay > 0 for s in samples)  # type: ignore[union-attr]
    assert all(s.time_constants.constants["ip3"].value > 0 for s in samples)  # type: ignore[union-attr]
    assert all(s.response.parameters["k"].value > 0 for s in samples)  # type: ignore[union-attr]
    assert {s.distance.scale for s in samples} == {whole.distance.scale}  # type: ignore[union-attr]
    assert "distance.scale" in samples.fixed
    paper = preset("paper_astrosnn").sample(2)
    assert paper.drawn == () and paper[0].time_constants == preset("paper_astrosnn").time_constants
    for wrong in ({"n": 0}, {"n": 1.5}, {"n": 2, "seed": -1}):
        with pytest.raises(MacroError, match="expected a whole number"):
            whole.sample(**wrong)  # type: ignore[arg-type]


def test_show_is_for_a_stranger(whole: MacroParameters) -> None:
    text = show_macro(whole)
    for needed in ("RESPONSE", "TIME CONSTANTS", "RETENTION", "DISTANCE", "one step of a network lasts 30 ms",
                   "until it is degraded", "the equations give 0.5", "T = 8", "exponent 0.254", "data to fit again",
                   "slope of log(Ca - C_rest)", "0.276 +- 0.017", "7 (exact to rounding)", "0.49975 +- 0.00026"):  # fmt: skip
        assert needed in text, needed
    assert max(map(len, text.splitlines())) <= 140 and "None" not in text and "{" not in text
    paper = show_macro(preset("paper_astrosnn"))
    assert "not in it: response, retention, distance" in paper and "head_8" in paper and "512" in paper
    # What holds for all eight is said once.
    assert paper.count("none given") == 1


def test_diff_names_every_number_that_differs(whole: MacroParameters) -> None:
    assert diff_macros(whole, whole).startswith("no difference")
    changed = copy.deepcopy(content(whole))
    changed["retention"]["decay"] *= 2
    changed["distance"] = None
    text = diff_macros(whole, MacroParameters.from_content(changed))
    assert "other numbers for a network" in text and "(+100 %)" in text and "distance: there" in text
    assert "response" not in text
    remark = MacroParameters.from_content(content(whole) | {"provenance": {"remark": "x"}})
    assert "the same numbers for a network" in diff_macros(whole, remark)


def test_the_papers_values() -> None:
    astrosnn = preset("paper_astrosnn").time_constants
    assert astrosnn is not None and astrosnn.unit == "steps" and astrosnn.tau_n == 2
    expected = [32 * 16 ** (i / 7) for i in range(8)]
    assert list(astrosnn.tau_a().values()) == pytest.approx(expected)
    assert astrosnn.spectrum(8) == pytest.approx(expected)
    rmaat = preset("paper_rmaat").retention
    assert rmaat is not None and rmaat.status == "assumed"
    np.testing.assert_allclose(rmaat.factors(4), [0.455, 0.276, 0.167, 0.102], atol=5e-4)


@pytest.mark.slow
def test_the_simulated_preset_follows_from_its_commands(whole: MacroParameters) -> None:
    from bridge import response_curve

    commands = whole.provenance["simulated_by"]
    assert commands == [
        "astromorphic simulate fig3 --out fig3.nc",
        "astromorphic simulate impulse_response --out impulse.nc",
        "astromorphic simulate impulse_response --set stimulus=IP3 --set sizes=0.4 --set duration=201 --out gliotransmission.nc",
        "astromorphic simulate stp_cycles --set geometry=line --set n_cycles=8 --out cycles.nc",
    ]
    curve = response_curve(biosim.simulate("fig3"))
    constants = measure_time_constants(
        [
            biosim.simulate("impulse_response"),
            biosim.simulate("impulse_response", stimulus="IP3", sizes=[0.4], duration=201.0),
        ]
    )
    again = macro_from_memory(constants, measure_plasticity(biosim.simulate("stp_cycles", geometry="line", n_cycles=8)))
    fitted = fit(curve, "hyperbola", weighted=True)
    response = macro_from_fit(fitted, estimate_alpha(curve, n_resamples=0), bootstrap=bootstrap(fitted, n_resamples=20))
    for name in ("b", "c", "k"):
        assert whole.response is not None and response.response is not None
        stated, new = (m.response.parameters[name].value for m in (whole, response))  # type: ignore[union-attr]
        assert new == pytest.approx(stated, rel=1e-6)
    assert whole.time_constants is not None and again.time_constants is not None
    for name, constant in whole.time_constants.constants.items():
        assert again.time_constants.constants[name].value == pytest.approx(constant.value, rel=1e-6)
    assert whole.retention is not None and again.retention is not None
    assert again.retention.decay == pytest.approx(whole.retention.decay, rel=1e-6)
    assert math.isclose(again.distance.scale, whole.distance.scale, rel_tol=1e-6)  # type: ignore[union-attr]
