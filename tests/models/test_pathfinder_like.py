"""Drawn contours: labels found again by following the ink, markers that the rest of the image says nothing about."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from models.data import load
from models.data.integers import IntegerStream
from models.data.pathfinder_like import drawn
from models.errors import ModelError

ANY = np.ones((3, 3))


def connected(image) -> bool:
    """Whether ink leads from one marker to the other in steps of at most two pixels."""
    # Grown by one pixel down and right, what is two pixels apart touches, and what is three apart does not.
    reached, _ = ndimage.label(ndimage.binary_dilation(image > 0, np.ones((2, 2))), ANY)
    markers, count = ndimage.label(image == 255, ANY)
    assert count == 2
    one, other = (set(np.unique(reached[markers == i])) for i in (1, 2))
    assert len(one) == len(other) == 1
    return one == other


@pytest.fixture(scope="module")
def images():
    return drawn(IntegerStream(1).words(150), 32, 14, 5, 4)


def test_labels_are_found_again_by_following_the_ink(images):
    pixels, labels = images
    assert [connected(image) for image in pixels] == labels.astype(bool).tolist()
    # Five standard deviations of a fair coin.
    assert abs(labels.mean() - 0.5) < 0.21


def test_larger_images_and_longer_contours():
    pixels, labels = drawn(IntegerStream(2).words(12), 128, 30, 30, 6)
    assert [connected(image) for image in pixels] == labels.astype(bool).tolist()


def test_there_are_always_two_long_contours_and_short_ones(images):
    """A cut through the ink counts contours; without distractors exactly two remain, whatever the label."""
    pixels, labels = drawn(IntegerStream(3).words(40), 32, 14, 0, 4)
    for image in pixels:
        _, count = ndimage.label(ndimage.binary_dilation(image > 0, np.ones((2, 2))), ANY)
        assert count == 2
    assert set(labels.tolist()) == {0, 1}
    counts = [ndimage.label(ndimage.binary_dilation(image > 0, np.ones((2, 2))), ANY)[1] for image in images[0]]
    assert min(counts) >= 2 and max(counts) == 7 and np.mean(counts) > 4.5


def test_the_rest_of_the_image_tells_nothing(images):
    """The same image with its markers elsewhere has the same ink: the decision comes last."""
    pixels, labels = images
    ink = (pixels > 0).sum((1, 2))
    difference = ink[labels == 1].mean() - ink[labels == 0].mean()
    assert abs(difference) < 4 * ink.std() / np.sqrt(len(ink) / 4)
    assert (
        ((pixels == 255).sum((1, 2)) >= 10).all() and pixels[:, [0, -1]].max() == 0 and pixels[:, :, [0, -1]].max() == 0
    )


def test_where_the_markers_are_does_not_tell():
    """A threshold on either place, the best of all, is right no more often than chance lets one be (apart ends lie nearer by
    themselves: such a threshold was right in 65 %)."""
    pixels, labels = drawn(IntegerStream(4).words(400), 32, 14, 0, 4)
    markers = [ndimage.label(image == 255, ANY)[0] for image in pixels]
    ends = np.array([ndimage.center_of_mass(one > 0, one, [1, 2]) for one in markers])
    places = {
        "distance": np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1),
        "middle": np.linalg.norm(ends.mean(axis=1) - 15.5, axis=1),
    }
    majority = max(labels.mean(), 1 - labels.mean())
    for name, place in places.items():
        share = np.cumsum((2 * labels - 1)[np.argsort(place)]) / len(labels)
        # Right below the threshold and wrong above it, or the other way round.
        best = max(0.5 + abs(share - share[-1] / 2).max(), majority)
        assert best < 0.5 + 2.0 * 0.5 / np.sqrt(len(labels)) * 1.6, name


def test_an_image_depends_on_its_key_alone(images):
    keys = IntegerStream(1).words(150)
    again, labels = drawn(keys[[100, 3]], 32, 14, 5, 4)
    assert np.array_equal(again[0], images[0][100]) and labels[1] == images[1][3]


def test_the_same_seed_gives_the_same_bytes():
    sizes = {"validation": 3, "test": 3}
    small, large = load("pathfinder_like", train=5, **sizes), load("pathfinder_like", train=9, **sizes)
    # On any machine: another digest here is another data set.
    assert small.digest == "5d66a1f446c5dfa3dfcebb8d6e30220d81bc43cc493fbc7417f7d043e2d92bd0"
    assert np.array_equal(large.train.sequences.values[: 5 * 1024], small.train.sequences.values)
    assert np.array_equal(large.test.sequences.values, small.test.sequences.values)
    assert small.train.sequences.vocab_size == 256 and small.train.sequences.limit == 1024
    assert small.classes == ("apart", "connected")


PLAIN = """
import hashlib, warnings
warnings.simplefilter("ignore")
from models.data.integers import IntegerStream
from models.data.pathfinder_like import drawn
images, labels = drawn(IntegerStream(1).words(1), 24, 4, 1, 2)
print(hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest())
"""


def test_compiled_and_interpreted_code_draw_the_same():
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": root}
    call = [sys.executable, "-c", PLAIN]
    plain = subprocess.run(call, env=environment, cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    images, labels = drawn(IntegerStream(1).words(1), 24, 4, 1, 2)
    assert hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest() == plain


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 8}, "size is 8; expected a whole number from 16 to 256"),
        ({"dashes": 1}, "dashes is 1"),
        ({"seed": "a"}, "seed is 'a'"),
        (
            {"size": 16, "dashes": 40, "train": 1},
            "dashes is 40 and two contours of so many do not fit into 16 x 16 pixels",
        ),
    ],
)
def test_images_that_cannot_be(options, words):
    with pytest.raises(ModelError, match=words):
        load("pathfinder_like", **options)
