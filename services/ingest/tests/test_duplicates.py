"""Near duplicates are found exactly, those of the negative too, in an order that does not depend on chance."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reel_ingest.duplicates import INVERTED, Match, NearDuplicates, distance
from reel_ingest.hashing import phash

RNG = np.random.default_rng(5)
hashes = st.integers(min_value=0, max_value=2**64 - 1)


def naive(known, value, within):
    found = [(distance(h, value), False, at) for at, h in enumerate(known)]
    found += [(max(0, distance(h ^ INVERTED, value) - 1), True, at) for at, h in enumerate(known)]
    return [Match(at, bits, turned) for bits, turned, at in sorted(found) if bits <= within]


@settings(max_examples=100)
@given(
    known=st.lists(hashes | st.integers(0, 7) | st.integers(INVERTED - 7, INVERTED), max_size=40),
    value=hashes | st.integers(0, 7),
    within=st.integers(0, 40),
)
def test_equals_the_naive_loop(known, value, within):
    index = NearDuplicates(known)
    wanted = naive(known, value, within)
    assert list(index.near(value, within)) == wanted
    assert index.find(value, within) == (wanted[0] if wanted else None)


def test_grows_past_its_first_room_and_finds_planted_neighbours():
    values = [int(v) for v in RNG.integers(0, 2**64, 5000, dtype=np.uint64)]
    index = NearDuplicates(values[:10])
    for value in values[10:]:
        index.add(value)
    assert len(index) == 5000
    for position in (0, 9, 10, 1033, 1034, 4999):
        flipped = values[position] ^ (1 << 63) ^ (1 << 5) ^ 1
        assert index.find(flipped, 3) == Match(position, 3, inverted=False)
        assert index.find(flipped, 2) is None


@pytest.mark.parametrize("seed", range(8))
def test_the_negative_of_a_picture_is_found(seed):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 16, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (300, 200), interpolation=cv2.INTER_CUBIC)
    match = NearDuplicates([phash(image)]).find(phash(255 - image), 4)
    assert match is not None
    assert match.inverted


def test_a_hundred_thousand_equal_hashes_are_searched_quickly():
    index = NearDuplicates([7] * 100_000)
    began = time.perf_counter()
    for value in (7, 7 ^ INVERTED, 6):
        assert index.find(value, 6).position == 0
    assert time.perf_counter() - began < 2
