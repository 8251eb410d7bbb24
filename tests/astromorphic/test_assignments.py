"""`--set NAME=VALUE`: what the command line makes of it, and that biosim refuses by name what it then receives."""

from __future__ import annotations

import pytest

import biosim
from astromorphic.assignments import MOST_VALUES, AssignmentError, parse_assignments
from astromorphic.cli import main
from biosim.registry import UnknownName


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=,", "--set a=,: expected a number on each side of a comma"),
        ("a=,1", "expected a number on each side"),
        ("a=1,,2", "expected a number on each side"),
        ("a=1,b", "'b' is not a number"),
        ("a=1:2:9999999999", f"a range has at most {MOST_VALUES} values; lower the count"),
        ("a=1:2:" + "9" * 5000, f"a range has at most {MOST_VALUES} values"),
        ("a=1:2:1", "a count of at least 2"),
        ("a=1:2:-3", "a count of at least 2"),
        ("a=1:2:2.5", "a count of at least 2"),
        ("a=1:2:²", "a count of at least 2"),
        ("a=1:2:3:4", "expected LOW:HIGH:COUNT"),
        ("a=0:1e400:3", "expected finite numbers"),
        ("a=nan:1:3", "expected finite numbers"),
        ("a=-1e308:1e308:3", "expected finite numbers"),
    ],
)
def test_what_cannot_be_read_is_refused(text, message):
    with pytest.raises(AssignmentError, match=message) as caught:
        parse_assignments([text])
    assert "\n" not in str(caught.value)


def test_an_expression_for_words_is_taken_as_it_is():
    assert parse_assignments([r"words=regex:\w{2,5}|a:b"]) == {"words": r"regex:\w{2,5}|a:b"}


def test_lists_and_ranges_of_the_greatest_length():
    assert parse_assignments(["a=1,"]) == {"a": [1.0]}
    values = parse_assignments([f"a=0:1:{MOST_VALUES}"])["a"]
    assert isinstance(values, list) and len(values) == MOST_VALUES and values[0] == 0.0 and values[-1] == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "duration=1,2", "duration=abc", "duration=none", "duration=1e300", "duration=true", "duration=1e400",
        "settle=abc", "settle=none", "settle=1,2", "rates=true", "rates=abc", "rates=none", "rates=1e400", "trials=none",
        "trials=99999999999", "trials=1,2", "trials=1e400", "input=none", "release=1,2",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["fig3", "rate_sweep"])
def test_what_the_command_line_passes_on_is_refused_by_name(name, text):
    changes = parse_assignments([text])
    option = text.partition("=")[0]
    if name == "fig3" and option in ("input", "release"):
        with pytest.raises(UnknownName, match=f"unknown option of protocol fig3 '{option}'"):
            biosim.protocol(name, **changes)
        return
    # The command makes a list of a single rate.
    if option == "rates":
        changes = {"rates": [changes["rates"]]}
    with pytest.raises(ValueError, match=option.rstrip("s")) as caught:
        biosim.protocol(name, **changes)
    assert type(caught.value).__module__.startswith("biosim.")


def test_only_settings_that_are_lists_take_one_in_training():
    from astromorphic.commands import check_single

    check_single(parse_assignments(["tau=2,4", "hidden_size=16"]))
    with pytest.raises(AssignmentError, match="--set hidden_size: a training run takes one value"):
        check_single(parse_assignments(["hidden_size=16,32"]))


def test_lists_of_names_and_of_whole_numbers():
    found = parse_assignments(["classes=neg, 01,", "image_size=32,48", "split=90,5,5"])
    assert found == {"classes": ["neg", "01"], "image_size": [32, 48], "split": [90.0, 5.0, 5.0]}
    assert all(type(size) is int for size in found["image_size"])
    with pytest.raises(AssignmentError, match=r"image_size: '1\.5' is not a whole number"):
        parse_assignments(["image_size=1.5,2"])
    with pytest.raises(AssignmentError, match="expected a name on each side of a comma, as in --set classes=a,b"):
        parse_assignments(["classes=a,,b"])


def test_classes_and_sizes_of_the_command_line_reach_the_model(tmp_path):
    from models.astromorphic import AstromorphicConfig
    from models.errors import ModelError
    from models.tasks.prepare import prepare

    file = tmp_path / "films.csv"
    file.write_text("text,label\n" + "".join(f"film {i},{('pos', 'neg')[i % 2]}\n" for i in range(40)))
    changes = parse_assignments(["classes=pos,neg"])
    assert prepare(str(file), "none", "smoke", changes=changes).task.classes == ("pos", "neg")
    with pytest.raises(ModelError, match="classes is 'pos'; expected at least two different names"):
        prepare(str(file), "none", "smoke", changes=parse_assignments(["classes=pos"]))
    config = AstromorphicConfig.from_preset(
        "none", network="image", patch_size=4, **parse_assignments(["image_size=32,48"])
    )
    assert config.image_shape == (32, 48)


def choices_of_parameters():
    """Name -> choices of every field of biosim's parameter sets that has some."""
    from dataclasses import is_dataclass
    from typing import Literal, get_args, get_origin, get_type_hints

    from biosim import parameters
    from biosim.plasticity import parameters as plasticity

    for module in (parameters, plasticity):
        for kind in vars(module).values():
            if isinstance(kind, type) and is_dataclass(kind):
                for name, hint in get_type_hints(kind).items():
                    if get_origin(hint) is Literal:
                        yield name, get_args(hint)


def test_none_is_a_word_of_the_settings_that_have_it_among_their_choices():
    from astromorphic.assignments import _WITH_NONE
    from models.astromorphic.configuration_astromorphic import MIXERS
    from models.ops.features import DISTANCES
    from models.ops.state import PLACEMENTS
    from models.recipes import SHARDINGS
    from models.rmaat.configuration_rmaat import MEMORY_POSITIONS
    from models.tasks.image_classification import AUGMENTATIONS

    simulated = {name for name, known in choices_of_parameters() if "none" in known}
    assert {"sic", "gate", "calcium_noise", "coupling_norm"} <= simulated
    trained = {"augment": AUGMENTATIONS, "distance": DISTANCES, "memory_positions": MEMORY_POSITIONS, "mixer": MIXERS,
               "sharding": SHARDINGS, "sigmoid_placement": PLACEMENTS}  # fmt: skip
    assert all("none" in known for known in trained.values())
    assert simulated | set(trained) | {"scatter"} == set(_WITH_NONE)
    for name in _WITH_NONE:
        assert parse_assignments([f"{name}=none"]) == {name: "none"}
    assert parse_assignments(["patience=none"]) == {"patience": None}


def test_a_choice_called_none_reaches_network_and_simulation(tmp_path):
    from models.tasks.prepare import prepare

    assert (
        prepare("shakespeare", "astromorphic", "smoke", changes=parse_assignments(["distance=none"])).config.distance
        == "none"
    )
    out = tmp_path / "a.nc"
    small = ("--set", "trials=1", "--set", "duration=12", "--set", "settle=10")
    with pytest.raises(SystemExit) as end:
        main(["simulate", "fig3", *small, "--set", "sic=none", "--set", "gate=none", "--out", str(out)])
    assert end.value.code == 0 and out.is_file()
