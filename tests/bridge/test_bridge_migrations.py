"""Old macro files load for ever, keep their digest and their numbers, and say nothing they did not say."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from bridge import MacroError, MacroParameters, check_macro, preset
from bridge.artifact import VERSION
from bridge.migrations import STEPS, migrated

OLD = sorted((Path(__file__).parent / "old_files").glob("*.json"))
# What these files' digests were when they were written; checkpoints of models carry them.
DIGESTS = {
    "1.0_fig3_published_hyperbola": "70f66dd49a5b7822cd3087fcec0c0d40b3777e14b741523aa6fa99321887fe6d",
    "1.0_paper_alpha025": "ab4b9d2bf0dcdc857688368266a1061366da7d3731bab68a44b8d9bd5dc7bbe4",
    "1.1_fig3_published_hill": "df4982ff93b62c322779cca42568c3fb1a6c742895880862399f31fb0a35ebb0",
    "1.1_fig3_published_hyperbola": "70f66dd49a5b7822cd3087fcec0c0d40b3777e14b741523aa6fa99321887fe6d",
    "1.2_simulated": "10b01fbeeec21d5b4908f6cacaaafe3c6b4a78167cb961e83f8a44d5124ff326",
}


def test_there_is_a_file_of_every_version() -> None:
    assert {path.name.split("_")[0] for path in OLD} == {*STEPS, VERSION}


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_old_files_load_with_the_digest_they_had(path: Path) -> None:
    macro = MacroParameters.load(path)
    assert macro.version == VERSION and macro.digest == DIGESTS[path.stem]
    again = MacroParameters.loads(macro.dumps())
    assert again == macro and again.digest == macro.digest
    old = json.loads(path.read_text())
    for name, parameter in old["response"]["parameters"].items():
        assert macro.response.parameters[name].value == parameter["value"]
        assert macro.response.parameters[name].stderr == parameter["stderr"]
    assert macro.provenance == old["provenance"]


@pytest.mark.parametrize("path", [path for path in OLD if path.name.startswith("1.0")], ids=lambda path: path.stem)
def test_what_version_1_0_did_not_know_is_null(path: Path) -> None:
    macro = MacroParameters.load(path)
    assert macro.ranking is None and macro.response.weights is None
    assert macro.response.cross_validated_error_uM is None
    assert all(parameter.interval is None for parameter in macro.response.parameters.values())


def test_presets_are_the_migrated_old_ones() -> None:
    assert MacroParameters.load(OLD[1]) == preset("paper_alpha025")
    # This one was fitted again, with intervals and ranking; its numbers agree to rounding.
    new, old = preset("fig3_published_hyperbola"), MacroParameters.load(OLD[0])
    for name, parameter in old.response.parameters.items():
        assert new.response.parameters[name].value == pytest.approx(parameter.value, rel=1e-6)


def test_migration_leaves_what_it_was_given() -> None:
    content = json.loads(OLD[0].read_text())
    before = copy.deepcopy(content)
    new = migrated(content)
    assert content == before and new["version"] == VERSION
    assert migrated(new) is new


@pytest.mark.parametrize("path", [path for path in OLD if path.name.startswith("1.1")], ids=lambda path: path.stem)
def test_the_curve_of_1_1_becomes_validation_data_that_the_fit_can_be_checked_with(path: Path) -> None:
    macro = MacroParameters.load(path)
    assert macro.sections == ("response",) and macro.validation.response is not None
    old = json.loads(path.read_text())
    assert macro.validation.response.calcium_uM == old["provenance"]["curve"]["calcium_uM"]
    assert check_macro(macro).passed


@pytest.mark.parametrize(
    "curve",
    [
        3,
        {},
        {"input_rate_Hz": [1.0]},
        {"input_rate_Hz": [1.0, -2.0], "calcium_uM": [1.0, 2.0]},
        {"input_rate_Hz": ["a"], "calcium_uM": [1.0]},
        {"input_rate_Hz": [1.0, True], "calcium_uM": [1.0, 2.0]},
    ],
)
def test_a_provenance_that_holds_something_else_is_no_curve_and_no_obstacle(curve: object) -> None:
    content = json.loads((OLD[0].parent / "1.1_fig3_published_hill.json").read_text())
    content["provenance"]["curve"] = curve
    macro = MacroParameters.from_content(content)
    assert macro.validation.response is None
    assert check_macro(macro).unchecked == {"response": "the file holds no data for it"}


@pytest.mark.parametrize("damage", [{"response": 3}, {"response": {"parameters": []}}, {"response": None}])
def test_damaged_old_files_are_refused_and_do_not_break_the_migration(damage: dict[str, object]) -> None:
    content = json.loads(OLD[0].read_text()) | damage
    with pytest.raises(MacroError, match="response"):
        MacroParameters.from_content(content)


def test_digest_leaves_out_what_only_tells_how_well_the_response_is_known() -> None:
    macro = preset("fig3_published_hyperbola")
    content = json.loads(macro.dumps())
    content["ranking"] = None
    content["response"].update(cross_validated_error_uM=None, weights="spread")
    content["response"]["parameters"]["k"]["interval"] = {"low": 0.1, "high": None, "level": 0.9}
    assert MacroParameters.from_content(content).digest == macro.digest


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("ranking", 0, "family"), "hyperbole", "ranking.0.family: unknown curve family 'hyperbole': did you mean"),
        (("ranking", 0, "weight"), 1.5, "ranking.0.weight is 1.5"),
        (("ranking", 0, "wieght"), 0.5, "ranking.0: unknown key 'wieght': did you mean 'weight'"),
        (("response", "weights"), "trials", "response.weights is 'trials'"),
        (("response", "cross_validated_error_uM"), -1.0, "response.cross_validated_error_uM is -1"),
        (("response", "parameters", "k", "interval", "low"), 2.0, r"interval \[2, .*\] is reversed"),
        (("response", "parameters", "k", "interval", "level"), 95, "parameters.k.interval.level is 95"),
        (("response", "parameters", "k", "interval", "lo"), 1.0, r"parameters.k.interval: unknown key 'lo': .*'low'"),
    ],
)
def test_the_new_keys_are_checked(path: tuple[str | int, ...], value: object, message: str) -> None:
    content = json.loads(preset("fig3_published_hyperbola").dumps())
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(MacroError, match=message):
        MacroParameters.from_content(content)
