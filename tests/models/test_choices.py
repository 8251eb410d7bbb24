"""One form of words for a name that is not in a list."""

from __future__ import annotations

import re

import pytest

from models.choices import choice, did_you_mean
from models.errors import ModelError


def test_the_nearest_name_whatever_the_case():
    assert choice("policy", "crop", ["none", "crop"]) == "crop"
    assert did_you_mean("randaugmnt", ["none", "RandAugment"]) == "did you mean 'RandAugment'? "
    assert did_you_mean("IMBD", ["cifar10", "imdb"]) == "did you mean 'imdb'? "
    assert did_you_mean("zzzz", ["none", "crop"]) == did_you_mean(None, ["none"]) == ""


@pytest.mark.parametrize("value", ["Crop", 3, None, ["crop"]])
def test_what_is_not_in_the_list_is_named_with_the_list(value):
    with pytest.raises(ModelError, match=rf"unknown policy {re.escape(repr(value))}: .*choose from none, crop$"):
        choice("policy", value, ["none", "crop"])
