"""Dashed contours in small grey images, drawn with whole numbers only: the kernel behind `pathfinder_like`.

Lengths are in 64ths of a pixel, angles in 64ths of a turn. `owner` holds for each pixel which dash of which contour covers
it (contour * 256 + number of the dash, 0 for none); no two contours come nearer than three pixels, while the dashes of one
contour follow each other within two. Whoever follows the ink in steps of at most two pixels therefore never changes contour.

This file is imported only when images are drawn: numba takes a second to load.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numba
import numpy as np

PIXEL = 64
TURN = 64
# Rounded to whole numbers from values that no arithmetic of a machine moves across a half.
COSINE = np.array([round(1024 * math.cos(2 * math.pi * i / TURN)) for i in range(TURN)], dtype=np.int64)
SINE = np.array([round(1024 * math.sin(2 * math.pi * i / TURN)) for i in range(TURN)], dtype=np.int64)
DASH, GAP, HALF_WIDTH, MARKER = 96, 112, 32, 96
# Of 16 points of a pixel, so many must be covered for it to hold ink.
LEAST_COVER = 6
BRIGHTEST_INK, MARKER_INK = 192, 255
SHARPEST_TURN = 6
# By how many 32nds of the image's side the two places for markers may differ.
TOLERANCE = 3
# Candidates for the next dash; dashes drawn and redrawn for each that stays; starts of a distractor; starts of a long contour
# before the image is begun again; second contours tried beside one first; beginnings of an image that have no room for two
# long contours, and all its beginnings.
_TRIES, _EFFORT, _STARTS, _LONG_STARTS, _SECONDS, _BEGINNINGS, _MOST_BEGINNINGS = 8, 6, 20, 60, 8, 40, 2000

_GAMMA, _FIRST, _SECOND = (np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_S30, _S27, _S31, _S32 = (np.uint64(x) for x in (30, 27, 31, 32))


@numba.njit
def _below(state, limit):
    """A number from 0 to limit - 1 from SplitMix64; `state` uint64 ``[1]`` moves on. As `IntegerStream.below`."""
    state[0] += _GAMMA
    z = state[0]
    z = (z ^ (z >> _S30)) * _FIRST
    z = (z ^ (z >> _S27)) * _SECOND
    z = z ^ (z >> _S31)
    return np.int64(((z >> _S32) * np.uint64(limit)) >> _S32)


@numba.njit
def _cover(px, py, ax, ay, bx, by, radius):
    """How many of the 16 points of pixel (px, py) lie within `radius` of the segment from a to b."""
    dx, dy = bx - ax, by - ay
    squared = dx * dx + dy * dy
    count = 0
    for i in range(4):
        for j in range(4):
            x, y = px * PIXEL + 8 + 16 * i - ax, py * PIXEL + 8 + 16 * j - ay
            along = x * dx + y * dy
            if along <= 0:
                inside = x * x + y * y <= radius * radius
            elif along >= squared:
                inside = (x - dx) ** 2 + (y - dy) ** 2 <= radius * radius
            else:
                across = x * dy - y * dx
                inside = across * across <= radius * radius * squared
            count += inside
    return count


@numba.njit
def _stroke(owner, ax, ay, bx, by, radius, found):
    """Pixels ``found[:n] = (x, y, cover)`` of a stroke; -1 if one is outside of the image or on its rim."""
    size = owner.shape[0]
    n = 0
    for py in range((min(ay, by) - radius) // PIXEL, (max(ay, by) + radius) // PIXEL + 1):
        for px in range((min(ax, bx) - radius) // PIXEL, (max(ax, bx) + radius) // PIXEL + 1):
            cover = _cover(px, py, ax, ay, bx, by, radius)
            if cover >= LEAST_COVER:
                if px < 1 or py < 1 or px > size - 2 or py > size - 2:
                    return -1
                found[n, 0], found[n, 1], found[n, 2] = px, py, cover
                n += 1
    return n


@numba.njit
def _fits(owner, found, n, contour, number):
    """Whether the stroke is three pixels off other contours and earlier parts of its own, and near its predecessor."""
    size = owner.shape[0]
    follows = number <= 1
    for i in range(n):
        for y in range(max(0, found[i, 1] - 2), min(size, found[i, 1] + 3)):
            for x in range(max(0, found[i, 0] - 2), min(size, found[i, 0] + 3)):
                code = owner[y, x]
                if code:
                    if code >> 8 != contour or (code & 255) < number - 2:
                        return False
                    follows |= (code & 255) == number - 1
    return follows


@numba.njit
def _keep(owner, image, found, n, contour, number, ink):
    for i in range(n):
        x, y = found[i, 0], found[i, 1]
        if owner[y, x] == 0:
            owner[y, x] = contour * 256 + number
        image[y, x] = max(image[y, x], ink * found[i, 2] // 16)


@numba.njit
def _remove(owner, image, contour, number):
    """Take the dashes of a contour from `number` on away again."""
    for y in range(owner.shape[0]):
        for x in range(owner.shape[0]):
            if owner[y, x] >> 8 == contour and (owner[y, x] & 255) >= number:
                owner[y, x] = 0
                image[y, x] = 0


@numba.njit
def _next_dash(owner, image, state, contour, number, path, found):
    """Draw dash `number` after ``path[number - 1] = (x, y, heading)`` and note where it ends; False if no try finds room."""
    ax, ay, heading = path[number - 1, 0], path[number - 1, 1], path[number - 1, 2]
    for _ in range(_TRIES):
        sx, sy, turned = ax, ay, heading
        if number > 1:
            turned = (heading + _below(state, 2 * SHARPEST_TURN + 1) - SHARPEST_TURN) % TURN
            # The gap points half along the old heading, half along the new one.
            sx += ((COSINE[heading] + COSINE[turned]) * GAP) >> 11
            sy += ((SINE[heading] + SINE[turned]) * GAP) >> 11
        bx, by = sx + ((COSINE[turned] * DASH) >> 10), sy + ((SINE[turned] * DASH) >> 10)
        n = _stroke(owner, sx, sy, bx, by, HALF_WIDTH, found)
        if n > 0 and _fits(owner, found, n, contour, number):
            _keep(owner, image, found, n, contour, number, BRIGHTEST_INK)
            path[number, 0], path[number, 1], path[number, 2] = bx, by, turned
            return True
        if number == 1:
            return False
    return False


@numba.njit
def _grow(owner, image, state, contour, dashes, room_for_markers, ends, path, found):
    """One contour from a random start, or False with nothing of it left. ends int64 ``[4]``: x, y of its two outer ends."""
    size = owner.shape[0] * PIXEL
    path[0, 0], path[0, 1], path[0, 2] = _below(state, size), _below(state, size), _below(state, TURN)
    number, left = 1, _EFFORT * dashes
    while number <= dashes:
        left -= 1
        if _next_dash(owner, image, state, contour, number, path, found):
            number += 1
        elif number == 1 or left < 0:
            _remove(owner, image, contour, 0)
            return False
        else:
            # Out of a dead end some dashes back.
            number = max(2, number - 1 - _below(state, 4))
            _remove(owner, image, contour, number)
    ends[0], ends[1], ends[2], ends[3] = path[0, 0], path[0, 1], path[dashes, 0], path[dashes, 1]
    if room_for_markers:
        # At both ends of both contours, wherever the markers will be: the room gives nothing away.
        for end in range(2):
            x, y = ends[2 * end], ends[2 * end + 1]
            n = _stroke(owner, x, y, x, y, MARKER, found)
            number = 1 if end == 0 else dashes
            if n <= 0 or not _clear(owner, found, n, contour, number):
                _remove(owner, image, contour, 0)
                return False
            _keep(owner, image, found, n, contour, number, 0)
    return True


@numba.njit
def _clear(owner, found, n, contour, number):
    """Whether a marker keeps three pixels from all but the end of its own contour."""
    size = owner.shape[0]
    for i in range(n):
        for y in range(max(0, found[i, 1] - 2), min(size, found[i, 1] + 3)):
            for x in range(max(0, found[i, 0] - 2), min(size, found[i, 0] + 3)):
                code = owner[y, x]
                if code and (code >> 8 != contour or abs((code & 255) - number) > 2):
                    return False
    return True


@numba.njit
def _long(owner, image, state, contour, dashes, ends, path, found):
    """One of the long contours, from as many starts as it takes; False if none finds room."""
    for _ in range(_LONG_STARTS):  # noqa: SIM110 (the compiler knows no generators)
        if _grow(owner, image, state, contour, dashes, True, ends, path, found):
            return True
    return False


@numba.njit
def _place(ax, ay, bx, by, size):
    """Distance of two ends, and twice that of the point between them from the middle of the image."""
    middle = size * PIXEL
    x, y = ax + bx - middle, ay + by - middle
    # The root of a whole number this small is rounded alike by every machine.
    return np.int64(math.sqrt((ax - bx) ** 2 + (ay - by) ** 2)), np.int64(math.sqrt(x * x + y * y))


@numba.njit
def _alike(ends, size, sign, first):
    """Both ends of one contour (0 or 1: bit 2) and one of each (bits 1 and 0) that lie alike, sought from `first` on; -1 if none.

    Alike: what the two `_place` say differs by less than the tolerance. That from the middle differs by the sign asked for, since
    the ends of one contour lie around the middle of the image more often.
    """
    tolerance = size * PIXEL * TOLERANCE // 32
    for i in range(8):
        pair = (first + i) % 8
        one, a, b = pair >> 2, 2 * (pair >> 1 & 1), 2 * (pair & 1)
        near, inner = _place(ends[one, 0], ends[one, 1], ends[one, 2], ends[one, 3], size)
        far, outer = _place(ends[0, a], ends[0, a + 1], ends[1, b], ends[1, b + 1], size)
        if abs(near - far) < tolerance and 0 <= sign * (inner - outer) < 2 * tolerance:
            return pair
    return -1


@numba.njit
def draw(image, key, dashes, distractors, distractor_dashes):
    """Draw one image uint8 ``[size, size]`` in place from a 64-bit key; 1 if its markers are connected, 0 if not.

    -1 if the contours do not fit into an image of this size, after many beginnings.
    """
    size = image.shape[0]
    state = np.array([key], dtype=np.uint64)
    owner = np.zeros((size, size), dtype=np.int64)
    found = np.zeros((256, 3), dtype=np.int64)
    ends = np.zeros((2, 4), dtype=np.int64)
    unused = np.zeros(4, dtype=np.int64)
    path = np.zeros((max(dashes, distractor_dashes) + 1, 3), dtype=np.int64)
    sign = 2 * _below(state, 2) - 1
    pair, begun, cramped = -1, 0, 0
    while pair < 0:
        if begun == _MOST_BEGINNINGS or cramped == _BEGINNINGS:
            return -1
        begun += 1
        owner[:] = 0
        image[:] = 0
        if not _long(owner, image, state, 1, dashes, ends[0], path, found):
            cramped += 1
            continue
        for i in range(_SECONDS):
            if not _long(owner, image, state, 2, dashes, ends[1], path, found):
                cramped += i == 0
                break
            pair = _alike(ends, size, sign, _below(state, 8))
            if pair >= 0:
                break
            _remove(owner, image, 2, 0)
    for i in range(distractors):
        for _ in range(_STARTS):
            if _grow(owner, image, state, 3 + i, distractor_dashes, False, unused, path, found):
                break
    connected = _below(state, 2)
    for marker in range(2):
        contour, end = (pair >> 2, marker) if connected else (marker, (pair >> 1 - marker) & 1)
        x, y = ends[contour, 2 * end], ends[contour, 2 * end + 1]
        n = _stroke(owner, x, y, x, y, MARKER, found)
        for i in range(n):
            image[found[i, 1], found[i, 0]] = MARKER_INK
    return connected


def _draw_many(images, keys, dashes, distractors, distractor_dashes, labels):
    """`draw` for images uint8 ``[n, size, size]``, keys and labels ``[n]``; how many came out before one failed."""
    for i in range(len(images)):
        labels[i] = draw(images[i], keys[i], dashes, distractors, distractor_dashes)
        if labels[i] < 0:
            return i
    return len(images)


def _compiled(function: Callable[..., int]) -> Callable[..., int]:
    whole = numba.int64
    signature = whole(numba.uint8[:, :, ::1], numba.uint64[::1], whole, whole, whole, numba.int64[::1])
    try:
        return numba.njit(signature, cache=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder in which compiled code could be kept
        return numba.njit(signature)(function)  # type: ignore[no-any-return]


draw_many = _compiled(_draw_many)
