"""macro.json: round trip, digest, and one clear error for every way it can be wrong."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biosim.registry import UnknownName
from bridge import (
    FAMILIES,
    Curve,
    MacroError,
    MacroParameters,
    ResponseSpec,
    bootstrap,
    compare,
    estimate_all,
    estimate_alpha,
    fit,
    macro_from_fit,
    preset,
    preset_names,
)

Content = dict[str, Any]


@pytest.fixture(scope="module")
def macro(seeds32: Curve) -> MacroParameters:
    comparison = compare(seeds32)
    fitted = comparison.best
    return macro_from_fit(
        fitted,
        estimate_alpha(seeds32, n_resamples=100),
        comparison=comparison,
        bootstrap=bootstrap(fitted, n_resamples=100),
        provenance={"command": "astromorphic fit", "seed": 0},
    )


def test_round_trip_byte_for_byte(macro: MacroParameters, tmp_path: Path) -> None:
    path = macro.save(tmp_path / "macro.json")
    again = MacroParameters.load(path)
    assert again == macro
    assert path.read_bytes() == again.dumps().encode()
    assert again.save(tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert path.read_text().endswith("}\n")


@given(
    value=st.floats(1e-300, 1e300),
    stderr=st.none() | st.floats(0, 1e300),
    title=st.text(st.characters(codec="utf-8"), max_size=30),
    note=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(
            st.characters(codec="utf-8"), max_size=5
        ),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3),
        max_leaves=5,
    ),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_round_trip_of_any_numbers_and_texts(value: float, stderr: float | None, title: str, note: Any) -> None:
    content = paper()
    content["title"] = title
    content["response"]["parameters"]["alpha"].update(value=value, stderr=stderr)
    content["provenance"] = {"note": note}
    macro = MacroParameters.from_content(content)
    again = MacroParameters.loads(macro.dumps())
    assert again.dumps() == macro.dumps() and again.digest == macro.digest
    assert again.response.parameters["alpha"].value == value


def test_digest_covers_the_content_and_not_the_provenance(macro: MacroParameters) -> None:
    content = json.loads(macro.dumps())
    assert len(macro.digest) == 64
    other = copy.deepcopy(content)
    other["provenance"] = {"command": "another"}
    assert MacroParameters.from_content(other).digest == macro.digest
    changes: list[Callable[[Content], object]] = [
        lambda c: c["response"]["parameters"]["k"].update(value=1.0),
        lambda c: c["response"]["parameters"]["k"].update(at_bound=True),
        lambda c: c["alpha"].update(value=0.255),
        lambda c: c["activation"].update(rate_per_activation_Hz=0.05),
        lambda c: c.update(title="another"),
    ]
    digests = {macro.digest}
    for change in changes:
        other = copy.deepcopy(content)
        change(other)
        digests.add(MacroParameters.from_content(other).digest)
    assert len(digests) == len(changes) + 1


def paper() -> Content:
    return dict(json.loads(preset("paper_alpha025").dumps()))


def hyperbola() -> Content:
    return dict(json.loads(preset("fig3_published_hyperbola").dumps()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["response"]["parameters"]["k"].update(unit="mHz"),
            r"response: parameter 'k' = 0\.87\d* has unit 'mHz', expected 'Hz'; convert",
        ),
        (lambda c: c.update(titel="x"), r"top level: unknown key 'titel': did you mean 'title'\?"),
        (
            lambda c: c["response"]["parameters"]["k"].update(std=1),
            r"response\.parameters\.k: unknown key 'std': .*choose from value, unit, stderr, at_bound, interval",
        ),
        (lambda c: c["activation"].update(rate=1), "activation: unknown key 'rate'.*rate_per_activation_Hz"),
        (lambda c: c["response"].update(family="hyperbole"), "response.family: .*did you mean 'hyperbola'"),
        (
            lambda c: c["response"]["parameters"].update(alpha=c["response"]["parameters"]["k"]),
            "parameter 'alpha' does not belong to family 'hyperbola', which has c, b, k",
        ),
        (lambda c: c["response"]["parameters"].pop("k"), "parameter 'k' of family 'hyperbola' is missing"),
        (lambda c: c["response"]["parameters"]["b"].update(value=-1.0), "'b' is -1, expected above 0"),
        (lambda c: c["response"]["parameters"]["k"].update(value="0.9"), "parameters.k.value is '0.9'"),
        (lambda c: c["response"]["parameters"]["k"].update(value=math.nan), "parameters.k.value is nan: .*finite"),
        (lambda c: c["response"]["parameters"]["k"].update(value=10**400), "parameters.k.value is 1000.*; correct it"),
        (lambda c: c["response"]["parameters"]["k"].update(value=True), "parameters.k.value is True: .*number"),
        (
            lambda c: c["response"].update(family=["hyperbola"]),
            r"response\.family is \['hyperbola'\]: .*string; correct it",
        ),
        (lambda c: c["response"]["parameters"].update({"a\nb": 1}), r"parameters\.a\\nb is 1: .*correct it"),
        (lambda c: c.update({"x" * 9000: 1}), r"unknown key 'xxx.*choose from .*provenance$"),
        (lambda c: c.update({"\ud800": 1}), r"content is '\\ud800': .*valid string.*correct it"),
        (lambda c: c["response"]["parameters"]["k"].update(unit="H" * 9000), r"has unit 'HHH.*expected 'Hz'; convert"),
        (lambda c: c["response"].update(family=None), r"response\.family is None: .*string"),
        (lambda c: c["response"]["covariance"].pop(), "covariance must be a 3 x 3 matrix"),
        (
            lambda c: c["response"]["covariance"][0].__setitem__(1, 0.0),
            r"covariance of 'c' and 'b' is 0 in one place and -\S+ in the other, expected a symmetric matrix; correct it or fit",
        ),
        (
            lambda c: c["response"]["covariance"][2].__setitem__(2, -1e-4),
            r"covariance of 'k' with itself is -0\.0001, expected 0 or more; correct it or fit",
        ),
        (
            lambda c: correlate(c, 1.5, 0.0, 0.0),
            r"covariance of 'c' and 'b' is \S+, expected at most the product of their standard deviations \S+ and \S+;",
        ),
        (
            lambda c: correlate(c, 0.9, 0.9, -0.9),
            r"covariance has the eigenvalue -0\.8\S* .*expected 0 or more.*not positive semidefinite; correct it or fit",
        ),
        (lambda c: c["response"]["covariance"][0].__setitem__(0, 0.0), "covariance of 'c' and 'b' .*deviations 0 and"),
        (
            lambda c: c["response"].update(parameter_order=[], covariance=[]),
            "parameter_order .. must name some of b, c, k, each at most once",
        ),
        (lambda c: c["response"].update(parameter_order=None), "parameter_order and covariance go together"),
        (lambda c: c["response"].update(parameter_order=["c", "b", "b"]), "parameter_order .* at most once"),
        (lambda c: c["response"].update(input_range_Hz=[10.0, 1.0]), "expected .low, high. with low < high"),
        (lambda c: c["response"].update(r_squared=1.5), "response.r_squared is 1.5"),
        (lambda c: c["alpha"].update(low=0.3, high=0.2), r"alpha: interval \[0\.3, 0\.2\] is reversed.*exchange"),
        (
            lambda c: c["alpha"].update(value=0.2, low=0.3, high=0.4),
            r"alpha: value 0\.2 lies outside its own interval \[0\.3, 0\.4\], expected inside; correct one",
        ),
        (lambda c: c["alpha"].update(value=0.5, low=None, high=0.4), r"value 0\.5 lies outside .*\[open, 0\.4\]"),
        (
            lambda c: c["response"]["parameters"]["k"].update(value=1e300),
            r"k = 1e\+300 Hz over activation\.rate_per_activation_Hz = 0\.04 Hz gives kappa = \S+, expected 1e-30 to 1e\+30; "
            "correct one of the two",
        ),
        (lambda c: c["activation"].update(rate_per_activation_Hz=1e-310), "gives kappa = inf, expected"),
        (lambda c: c["activation"].update(rate_per_activation_Hz=1e300), r"gives kappa = \S+e-301, expected"),
        (
            lambda c: (
                c["response"]["parameters"]["k"].update(value=1e-300),
                c["activation"].update(rate_per_activation_Hz=1e300),
            ),
            "gives kappa = 0, expected",
        ),
        (lambda c: c["alpha"].update(level=None), "level belongs to an interval"),
        (lambda c: c["alpha"].update(value=0.0), "alpha.value is 0.0"),
        (lambda c: c.pop("alpha"), "key 'alpha' is missing"),
        (lambda c: c["activation"].update(rate_per_activation_Hz=0), "rate_per_activation_Hz is 0"),
        (lambda c: c["activation"].update(status="guessed"), "activation.status is 'guessed'"),
        (lambda c: c.update(format="other"), "format is 'other', expected 'astromorphic-macro'"),
        (lambda c: c.update(version="2.0"), r"version 2\.0 is newer than 1\.2, .*update astromorphic"),
        (lambda c: c.update(version="1.7"), r"version 1\.7 is newer than 1\.2"),
        (
            lambda c: c.update(version="0.9"),
            r"version 0\.9 is none that was ever written \(1\.0, 1\.1, 1\.2\); fit the curve",
        ),
        (lambda c: c.update(version="new"), "version is 'new', expected major.minor"),
        (lambda c: c.update(version="1" * 5000), "version is '1111.*', expected major.minor"),
        (lambda c: c["provenance"].update(x=math.inf), "provenance holds NaN or an infinite number"),
        (lambda c: c["provenance"].update(x=nested(5000)), "provenance is nested too deeply, .*make it flatter"),
    ],
)
def test_each_wrong_content_has_its_own_clear_line(change: Callable[[Content], object], message: str) -> None:
    content = hyperbola()
    change(content)
    with pytest.raises(MacroError, match=message) as caught:
        MacroParameters.from_content(content)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def correlate(content: Content, cb: float, ck: float, bk: float) -> None:
    """Replace the covariance by one with the same variances and these correlations."""
    deviation = np.sqrt(np.diag(content["response"]["covariance"]))
    correlation = np.array([[1, cb, ck], [cb, 1, bk], [ck, bk, 1]])
    content["response"]["covariance"] = (correlation * np.outer(deviation, deviation)).tolist()


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def test_covariances_that_are_right_up_to_rounding_are_accepted() -> None:
    content = hyperbola()
    # Perfect correlation: the smallest eigenvalue is zero, and rounding makes it negative.
    correlate(content, 1.0, -1.0, -1.0)
    matrix = content["response"]["covariance"]
    matrix[0][1] *= 1 + 1e-14
    assert MacroParameters.from_content(content).response.covariance == matrix
    # A parameter without error, as one that was held.
    for i in range(3):
        matrix[0][i] = matrix[i][0] = 0.0
    assert MacroParameters.from_content(content).response.covariance == matrix


def test_an_estimate_at_the_end_of_its_interval_is_inside_it() -> None:
    content = hyperbola()
    content["alpha"].update(value=0.25, low=0.25 * (1 + 1e-9), high=0.3)
    assert MacroParameters.from_content(content).alpha.value == 0.25


@pytest.mark.parametrize("name", FAMILIES)
def test_exact_curves_make_macro_files_that_can_be_read(name: str) -> None:
    """Residuals of rounding alone: intervals without width and nearly singular covariances are no damage."""
    family, x = FAMILIES[name], np.linspace(0.5, 10, 8)
    values = {"c": 0.07, "b": 0.05, family.nonlinear: 0.4, "n": 1.5}
    curve = Curve(x=x, y=family.evaluate(x, values, 0.07), resting_calcium=0.07)
    fitted = fit(curve, name)
    for estimator in ("loglog_raw", "nls_raw"):
        macro = macro_from_fit(fitted, estimate_alpha(curve, estimator, n_resamples=20), bootstrap=bootstrap(fitted))
        assert MacroParameters.loads(macro.dumps()) == macro


def test_wrong_files(tmp_path: Path) -> None:
    text = preset("paper_alpha025").dumps()
    path = tmp_path / "macro.json"
    with pytest.raises(MacroError, match=r"macro\.json: no such file; make one with 'astromorphic fit'"):
        MacroParameters.load(path)
    with pytest.raises(MacroError, match=r"cannot be read, it is a folder; name a macro\.json file"):
        MacroParameters.load(tmp_path)
    path.write_text(text)
    with pytest.raises(MacroError, match=rf"it is a folder; name {path}"):
        MacroParameters.load(tmp_path)
    with pytest.raises(MacroError, match=r"cannot be read .*name a macro\.json file that can"):
        MacroParameters.load("macro\0.json")
    with pytest.raises(MacroError, match=r"path is 3, expected the name of a macro\.json"):
        MacroParameters.load(3)  # type: ignore[arg-type]
    with pytest.raises(MacroError, match=r"text of a macro file is b'', expected a str"):
        MacroParameters.loads(b"")  # type: ignore[arg-type]
    cases = {
        text[: len(text) // 2]: "not complete JSON .*truncated or damaged",
        "": "not complete JSON",
        "[1, 2]": "format is 'list'",
        text.replace("0.25", "NaN", 1): "holds NaN, expected finite numbers",
        text.replace("0.25", "-Infinity", 1): "holds -Infinity",
        text.replace("0.25", "1e400", 1): r"alpha.value is inf: .*finite number; correct it",
        text.replace('"provenance": {', '"provenance": {"x": 1e400, ', 1): "provenance holds NaN or an infinite number",
        text.replace('"version"', '"title"'): "key 'title' appears twice",
        text.replace("0.25", "1" * 5000, 1): "not a macro file",
        "[" * 100000: "not a macro file|not complete JSON",
        text.replace("Power law", "Power \\ud800 law"): "broken character",
    }
    for content, message in cases.items():
        path.write_text(content)
        with pytest.raises(MacroError, match=message) as caught:
            MacroParameters.load(path)
        assert "\n" not in str(caught.value) and "macro.json: " in str(caught.value)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MacroError, match=r"macro\.json: cannot be read as text \(byte 0 is not UTF-8\); name a macro"):
        MacroParameters.load(path)


def test_a_file_without_permission_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    # The superuser may read everything, so the permission cannot simply be taken away.
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(MacroError, match=r"macro\.json: cannot be read \(Permission denied\); name a macro"):
        MacroParameters.load(tmp_path / "macro.json")


def test_every_truncation_is_refused() -> None:
    text = preset("paper_alpha025").dumps().rstrip("\n")
    for length in range(0, len(text)):
        with pytest.raises(MacroError):
            MacroParameters.loads(text[:length])


def test_a_failed_save_leaves_the_old_file(macro: MacroParameters, tmp_path: Path) -> None:
    path = tmp_path / "macro.json"
    path.write_text("before")
    broken = macro.model_copy(update={"provenance": {"x": math.nan}})
    with pytest.raises(MacroError):
        broken.save(path)
    assert path.read_text() == "before" and [p.name for p in tmp_path.iterdir()] == ["macro.json"]


def test_macro_holds_what_was_fitted(macro: MacroParameters, seeds32: Curve) -> None:
    fitted = fit(seeds32, "hyperbola")
    response = macro.response
    assert {name: p.value for name, p in response.parameters.items()} == fitted.values
    assert {name: p.stderr for name, p in response.parameters.items()} == {
        name: e.stderr for name, e in fitted.parameters.items()
    }
    assert response.parameter_order == ["c", "b", "k"]
    np.testing.assert_allclose(response.covariance, fitted.covariance)
    assert response.input_range_Hz == [1.0, 10.0] and response.resting_calcium_uM == 0.0722
    assert macro.alpha.estimator == "loglog_above_rest" and macro.alpha.level == 0.95
    assert macro.activation.rate_per_activation_Hz == 0.04 and macro.activation.status == "assumed"
    assert macro.provenance["command"] == "astromorphic fit"
    assert macro.ranking is not None and {row.family for row in macro.ranking} == {*FAMILIES, "monotone_spline"}
    # The curve travels along, so the fit can be checked from the file alone.
    curve = macro.validation.response
    assert curve is not None and curve.trials_uM is not None and len(curve.trials_uM) == len(curve.calcium_uM)
    again = fit(Curve(x=curve.input_rate_Hz, y=curve.calcium_uM), "hyperbola")  # type: ignore[arg-type]
    assert again.values == pytest.approx(fitted.values, rel=1e-9)


def test_ranking_without_aicc_is_still_json() -> None:
    curve = Curve(x=[1.0, 2, 3, 4], y=[0.1, 0.13, 0.14, 0.146], resting_calcium=0.07)
    comparison = compare(curve)
    assert math.isinf(comparison.fits["hyperbola"].aicc)
    alpha = estimate_alpha(curve, n_resamples=0)
    text = macro_from_fit(comparison.fits["hyperbola"], alpha, comparison=comparison).dumps()
    assert '"aicc": null' in text and MacroParameters.loads(text).alpha.level is None


def test_responses_at_a_limit_or_falling_are_refused(fig3: Curve) -> None:
    alpha = estimate_alpha(fig3, n_resamples=0)
    at_limit = fit(fig3, "power_offset")
    with pytest.raises(
        MacroError,
        match=r"alpha = 0.001 of family 'power_offset' is at its lower limit.*another family \(--family\) or, in Python, allow",
    ):
        macro_from_fit(at_limit, alpha)
    allowed = macro_from_fit(at_limit, alpha, allow_bound=True)
    assert allowed.response.parameters["alpha"].at_bound and allowed.response.parameters["alpha"].stderr is None
    assert allowed.response.parameter_order == ["c", "b"]
    with pytest.raises(MacroError, match=r"exponent 0.001 by nls_offset is at its limit.*\(--estimator\)"):
        macro_from_fit(fit(fig3, "hyperbola"), estimate_alpha(fig3, "nls_offset", n_resamples=0))
    falling = Curve(x=[1.0, 2, 3, 4, 6, 9], y=[0.2, 0.15, 0.13, 0.12, 0.11, 0.105])
    with pytest.raises(MacroError, match="a response has to rise"):
        macro_from_fit(fit(falling, "hyperbola"), alpha)


@pytest.mark.parametrize("name", FAMILIES)
def test_response_function_is_the_fitted_curve_in_units_of_activation(name: str) -> None:
    family = FAMILIES[name]
    x = np.linspace(0.5, 10, 20)
    theta = 0.3 if family.nonlinear == "alpha" else 0.9
    values = {"c": 0.07, "b": 0.05, family.nonlinear: theta, "n": 1.5}
    curve = Curve(x=x, y=family.evaluate(x, values, 0.07), resting_calcium=0.07)
    alpha = estimate_alpha(curve, "loglog_raw", n_resamples=0)
    macro = macro_from_fit(fit(curve, name), alpha, rate_per_activation_Hz=0.05)
    g = macro.response_function()
    assert g(0.0) == 0 and g(1.0) == pytest.approx(1)

    def rise(rate: float) -> float:
        return float(family.evaluate(rate, values, 0.07) - family.evaluate(0.0, values, 0.07))

    for activation in (0.1, 1.0, 7.0, 250.0):
        assert g(activation) == pytest.approx(rise(0.05 * activation) / rise(0.05), rel=1e-6)


def test_response_function_refuses_impossible_activation() -> None:
    power = ResponseSpec("power", {"alpha": 0.25})
    for activation in (-1, math.nan, math.inf, 10**400, "1", None):
        with pytest.raises(MacroError, match="activation is"):
            power(activation)  # type: ignore[arg-type]
    with pytest.raises(MacroError, match="activation 10 to the power 400 overflows"):
        ResponseSpec("power", {"alpha": 400.0})(10)


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        ("power", {}),
        ("power", {"kappa": 1.0}),
        ("power", {"alpha": 0.0}),
        ("power", {"alpha": math.inf}),
        ("hyperbola", {"kappa": math.inf}),
        ("hyperbola", {"kappa": 1e31}),
        ("logarithm", {"kappa": 0.0}),
        ("logarithm", {"kappa": 1e-320}),
        ("hyperbola", {"kappa": 1.0, "alpha": 1.0}),
        ("hyperbola", {"kappa": "1"}),
        ("hyperbola", None),
    ],
)
def test_impossible_responses_are_refused(family: str, parameters: Any) -> None:
    with pytest.raises(MacroError, match=r"expected .*(kappa|alpha|1e-30|finite)"):
        ResponseSpec(family, parameters)  # type: ignore[arg-type]


def test_an_altered_copy_is_refused_where_it_is_used() -> None:
    macro = preset("fig3_published_hyperbola")
    scale = macro.activation.model_copy(update={"rate_per_activation_Hz": 1e-310})
    with pytest.raises(MacroError, match="gives kappa = inf"):
        macro.model_copy(update={"activation": scale}).response_function()


def test_bootstrap_intervals_travel_in_the_provenance_and_leave_the_digest(seeds32: Curve) -> None:
    fitted, alpha = fit(seeds32, "hyperbola"), estimate_alpha(seeds32, n_resamples=0)
    sampled = bootstrap(fitted, n_resamples=40)
    with_it, without = macro_from_fit(fitted, alpha, bootstrap=sampled), macro_from_fit(fitted, alpha)
    record: Any = MacroParameters.loads(with_it.dumps()).provenance["bootstrap"]
    assert record["intervals"] == {name: list(sampled.interval(name)) for name in ("c", "b", "k")}
    assert (record["kind"], record["n_resamples"], record["level"]) == ("trials", 40, 0.95)
    assert with_it.digest == without.digest and "bootstrap" not in without.provenance


def test_macro_from_fit_refuses_what_does_not_belong_together(seeds32: Curve) -> None:
    fitted, alpha = fit(seeds32, "hyperbola"), estimate_alpha(seeds32, n_resamples=0)
    with pytest.raises(
        MacroError, match="bootstrap is of family 'power' and the fit of 'hyperbola'; bootstrap this fit"
    ):
        macro_from_fit(fitted, alpha, bootstrap=bootstrap(fit(seeds32, "power"), n_resamples=20))
    with pytest.raises(MacroError, match=r"alpha is a AlphaEstimates, expected an AlphaEstimate; take"):
        macro_from_fit(fitted, estimate_all(seeds32, n_resamples=0))  # type: ignore[arg-type]
    with pytest.raises(MacroError, match=r"fitted is a Comparison, expected a Fit; take comparison\.best"):
        macro_from_fit(compare(seeds32, ["power"]), alpha)  # type: ignore[arg-type]
    with pytest.raises(MacroError, match="provenance is 3, expected a mapping"):
        macro_from_fit(fitted, alpha, provenance=3)  # type: ignore[arg-type]
    for rate in (0.0, -1.0, math.nan, math.inf, "a", 10**400):
        with pytest.raises(MacroError, match=r"activation.rate_per_activation_Hz is"):
            macro_from_fit(fitted, alpha, rate_per_activation_Hz=rate)  # type: ignore[arg-type]


def test_presets() -> None:
    assert {"paper_alpha025", "fig3_published_hyperbola"} <= set(preset_names())
    for name in preset_names():
        assert preset(name).title and preset(name).provenance
        if "response" in preset(name).sections:
            assert preset(name).response_function()(1.0) == pytest.approx(1)
    published = preset("paper_alpha025")
    assert published.response_function() == ResponseSpec("power", {"alpha": 0.25})
    assert published.alpha.estimator == "published" and published.alpha.low is None
    with pytest.raises(UnknownName, match="did you mean 'paper_alpha025'"):
        preset("paper_alpha25")


def test_preset_files_are_canonical_and_fitted_presets_can_be_made_again(fig3: Curve) -> None:
    from importlib.resources import files

    for name in preset_names():
        text = files("bridge.presets").joinpath(f"{name}.json").read_text()
        assert MacroParameters.loads(text).dumps() == text
    stored = preset("fig3_published_hyperbola")
    fitted = fit(fig3, "hyperbola")
    assert {name: p.value for name, p in stored.response.parameters.items()} == pytest.approx(fitted.values, rel=1e-6)
    assert stored.alpha.value == pytest.approx(estimate_alpha(fig3, n_resamples=0).value, rel=1e-9)


@pytest.mark.parametrize("module", ["bridge", "bridge.artifact", "bridge.presets"])
def test_reading_a_macro_file_needs_no_heavy_package(module: str) -> None:
    heavy = ["torch", "brian2", "numba", "matplotlib", "transformers", "lmfit", "xarray", "scipy", "pandas"]
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_public_names_all_load() -> None:
    import bridge

    for name in bridge.__all__:
        # A name that a submodule shadows would come back as a module.
        assert type(getattr(bridge, name)).__name__ != "module", name
    assert dir(bridge) == sorted(bridge.__all__)
    assert set(bridge._SUBMODULE) == set(bridge.__all__)
    with pytest.raises(AttributeError, match="no attribute 'fits'"):
        bridge.fits  # noqa: B018
