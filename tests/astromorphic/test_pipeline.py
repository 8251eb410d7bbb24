"""The main job, small: every stage, what it leaves, that the report's numbers are those of the run, and continuing it."""

import base64
import re
from pathlib import Path

import numpy as np
import pytest

from astromorphic import pipeline
from astromorphic.pipeline import Settings

SMALL = Settings(seed=3, trials=4, bootstraps=50, training_seeds=1, recipe="smoke")
ARMS = {"fitted", "alpha025", "alpha1_matched", "none"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "main"
    assert pipeline.run(out, SMALL) == out / "report.html"
    return out


def test_every_product_is_there_and_nothing_temporary(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {"settings.json", *pipeline.PRODUCTS}
    assert not [path for path in folder.rglob("*") if path.name.endswith((".tmp", ".partial", ".bin", ".pt", ".pth"))]
    assert {path.name for path in (folder / "models").iterdir()} == {f"{arm}-seed3" for arm in ARMS}


def test_the_fit_is_that_of_the_simulation_and_reaches_the_models(folder):
    import biosim
    import bridge
    from models import RunResult

    macro = bridge.MacroParameters.load(folder / "macro.json")
    curve = bridge.response_curve(biosim.load(folder / "fig3.nc"))
    assert macro.response.family == "hyperbola"
    fitted = bridge.fit(curve, "hyperbola")
    assert macro.response.parameters["k"].value == pytest.approx(fitted.values["k"], rel=1e-9)
    assert bridge.estimate_alpha(curve, n_resamples=0).value == pytest.approx(macro.alpha.value, rel=1e-12)
    assert 0.24 <= macro.alpha.value <= 0.27
    # The slow sections are the packaged preset's: their simulations have no noise.
    packaged = bridge.preset("simulated")
    assert macro.section("time_constants").tau_a() == pytest.approx(
        packaged.section("time_constants").tau_a(), rel=1e-6
    )
    assert macro.section("retention").shares == pytest.approx(packaged.section("retention").shares, rel=1e-6)
    assert bridge.check_macro(macro).passed
    runs = {run.arm: run for run in (RunResult.load(path) for path in folder.glob("models/*/run.json"))}
    assert runs["fitted"].macro_digest == macro.digest
    kappa = macro.response.parameters["k"].value / macro.activation.rate_per_activation_Hz
    assert runs["fitted"].config["response"]["parameters"]["kappa"] == pytest.approx(kappa, rel=1e-12)
    assert {run.seed for run in runs.values()} == {3}
    assert len({run.data_digest for run in runs.values()}) == 1
    assert len({(run.steps, run.tokens_per_step) for run in runs.values()}) == 1
    assert all(run.causality.verdict == "causal" for run in runs.values())


def test_networks_in_segments_and_spiking_ones_take_the_file(folder):
    from models import AstroSNNConfig, RMAATConfig

    segments = RMAATConfig.from_macro(
        folder / "macro.json", vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, segment_length=4,
        max_position_embeddings=32,
    )  # fmt: skip
    assert segments.retention == "simulated" and segments.retention_shares[0] == pytest.approx(0.3853, abs=1e-4)
    spiking = AstroSNNConfig.from_macro(
        folder / "macro.json", hidden_size=16, num_hidden_layers=1, num_attention_heads=8, intermediate_size=16
    )
    assert min(spiking.tau) == pytest.approx(10 / 3, rel=1e-3) and max(spiking.tau) == pytest.approx(4000 / 3, rel=1e-3)


def test_arms_have_equal_gain_at_the_measured_activation(folder):
    """At G of the untrained network after half a context, not at half the context: phi(k) does not average 1."""
    from models import RunResult, matching_activation

    records = {arm: RunResult.load(folder / "models" / f"{arm}-seed3" / "run.json") for arm in ARMS}
    at = matching_activation(SMALL.context)
    starts = [r.operating_point.activation_start for r in records.values() if r.operating_point]
    assert len(starts) == 3
    assert starts == pytest.approx([at] * 3, rel=0.1)  # other seeds than that of the matching
    fitted = records["fitted"].config
    kappa, gain = fitted["response"]["parameters"]["kappa"], fitted["branch_gain"]
    hyperbola = at * (1 + kappa) / (at + kappa)
    assert gain / hyperbola == pytest.approx(at**-0.25, rel=1e-6)
    assert records["alpha1_matched"].config["branch_gain"] / at == pytest.approx(at**-0.25, rel=1e-6)
    assert records["alpha025"].config["branch_gain"] == 1.0


def test_the_report_shows_the_numbers_of_the_run_and_needs_no_other_file(folder):
    import biosim
    from figures import fig3
    from models import RunResult

    page = (folder / "report.html").read_text(encoding="utf-8")
    table = fig3.tidy(biosim.load(folder / "fig3.nc"))
    assert f"{fig3.rmse(table):.4f} µM" in page
    for path in folder.glob("models/*/run.json"):
        assert f"{RunResult.load(path).test_bits_per_byte:.4f}" in page
    images = re.findall(r'<img src="([^"]{40})', page)
    assert len(images) == 4
    assert all(image.startswith("data:image/svg+xml;base64,") for image in images)
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    first = re.search(r'base64,([^"]+)"', page)
    assert first is not None
    assert b"<svg" in base64.b64decode(first.group(1))
    # Jinja's and Python's ways of saying that a number was missing.
    assert not re.search(r"\bnan\b|Undefined|None µM", page)


def test_figure_3_has_the_columns_and_the_published_values(folder):
    import pandas as pd

    table = pd.read_csv(folder / "figures" / "fig3.csv")
    assert list(table.columns) == ["input_rate_hz", "calcium_um_mean", "calcium_um_sd", "published_calcium"]
    published = [0.11513, 0.12211, 0.12530, 0.12754, 0.12880, 0.12982, 0.13055, 0.13083, 0.13113, 0.13245]
    np.testing.assert_allclose(table.published_calcium, published, atol=1e-5)
    assert (folder / "figures" / "fig3.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_without_a_report_continues_and_a_finished_one_is_refused(folder, tmp_path):
    import shutil

    import models

    out = tmp_path / "copy"
    shutil.copytree(folder, out)
    (out / "report.html").unlink()
    shutil.rmtree(out / "models" / "none-seed3")
    kept = (out / "models" / "fitted-seed3" / "run.json").stat().st_mtime_ns
    simulated = (out / "fig3.nc").stat().st_mtime_ns
    before = models.RunResult.load(folder / "models" / "none-seed3" / "run.json")
    pipeline.run(out, SMALL)
    assert (out / "models" / "fitted-seed3" / "run.json").stat().st_mtime_ns == kept
    assert (out / "fig3.nc").stat().st_mtime_ns == simulated
    again = models.RunResult.load(out / "models" / "none-seed3" / "run.json")
    assert again.weights_digest == before.weights_digest
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "kept from an interrupted start: fitted-seed3, alpha025-seed3, alpha1_matched-seed3)" in page

    # A finished run is refused and stays as it is.
    report = (out / "report.html").read_bytes()
    for settings in (SMALL, Settings(seed=4)):
        with pytest.raises(pipeline.PipelineError, match="finished run"):
            pipeline.run(out, settings)
    assert (out / "report.html").read_bytes() == report


def test_a_folder_that_another_run_uses_is_refused(tmp_path):
    from biosim.atomic import OutputError
    from biosim.folders import exclusive

    out = tmp_path / "run"
    out.mkdir()
    with exclusive(out), pytest.raises(OutputError, match="in use by another process"):
        pipeline.run(out, SMALL)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("note", ['{"editor": "x"}', "not json", '{"format": "astromorphic-run", "seed": 99}'])
def test_folders_of_others_and_other_runs_are_refused_and_left_alone(tmp_path, note):
    out = tmp_path / "run"
    (out / "models").mkdir(parents=True)
    (out / "settings.json").write_text(note)
    (out / "models" / "thesis.txt").write_text("mine")
    with pytest.raises(pipeline.PipelineError, match="another folder"):
        pipeline.run(out, SMALL)
    assert (out / "settings.json").read_text() == note
    assert (out / "models" / "thesis.txt").read_text() == "mine"
