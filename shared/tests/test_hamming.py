"""Near pairs and groups equal the naive loop, and stay quick and small on many hashes and on many alike."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reel_shared.hamming import (
    INVERTED,
    distances,
    distances_to_negatives,
    near_groups,
    near_pairs,
    pair_blocks,
)

SEED = 11


def random_codes(count, seed=SEED):
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


def flipped(codes, bits, seed=SEED):
    """The codes with at most so many bits turned over."""
    rng = np.random.default_rng(seed)
    codes = codes.copy()
    for _ in range(bits):
        codes ^= np.uint64(1) << rng.integers(0, 64, len(codes)).astype(np.uint64)
    return codes


def naive_pairs(codes, distance):
    values = [int(code) for code in codes]
    return {
        (i, j)
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if (values[i] ^ values[j]).bit_count() <= distance
    }


def naive_groups(codes, distance):
    groups = list(range(len(codes)))
    for i, j in naive_pairs(codes, distance):
        low, high = sorted((groups[i], groups[j]))
        groups = [low if group == high else group for group in groups]
    return groups


@pytest.mark.parametrize("distance", [0, 1, 4, 6, 9, 20, 63, 64, 70])
@pytest.mark.parametrize("spread", [1, 3, 60])
def test_pairs_and_groups_equal_the_naive_loop(distance, spread):
    centres = random_codes(12)
    codes = np.concatenate([flipped(centres, spread, seed) for seed in range(15)] + [centres[:4]])
    found = list(near_pairs(codes, distance))
    assert len(found) == len(set(found))
    assert set(found) == naive_pairs(codes, distance)
    assert near_groups(codes, distance).tolist() == naive_groups(codes, distance)


def test_wide_buckets_are_compared_too():
    low_half = random_codes(900) & np.uint64(2**32 - 1)
    codes = np.concatenate([low_half, flipped(low_half[:300], 3) & np.uint64(2**32 - 1)])
    found = list(near_pairs(codes, 6))
    assert len(found) == len(set(found)) >= 300
    assert set(found) == naive_pairs(codes, 6)


def naive_groups_with_negatives(codes, distance):
    """All bits but the highest turned over, and one of them forgiven."""
    values = [int(code) for code in codes]
    groups = naive_groups(codes, distance)
    for i, one in enumerate(values):
        for j, other in enumerate(values):
            if max(0, (one ^ (2**63 - 1) ^ other).bit_count() - 1) <= distance:
                low, high = sorted((groups[i], groups[j]))
                groups = [low if group == high else group for group in groups]
    return groups


@pytest.mark.parametrize("distance", [0, 1, 4, 6, 16, 40, 62, 63])
@pytest.mark.parametrize("spread", [1, 3, 60])
def test_groups_with_negatives_equal_the_naive_loop(distance, spread):
    centres = random_codes(12)
    codes = np.concatenate([flipped(centres, spread, seed) for seed in range(6)] + [centres[:4]])
    codes[::3] ^= np.uint64(INVERTED)
    found = near_groups(codes, distance, negatives=True).tolist()
    assert found == naive_groups_with_negatives(codes, distance)


@settings(max_examples=60)
@given(
    st.lists(
        st.integers(0, 2**64 - 1) | st.integers(0, 31) | st.integers(INVERTED - 31, INVERTED), max_size=40
    ),
    st.integers(0, 12),
)
def test_any_codes_group_with_their_negatives(values, distance):
    codes = np.array(values, dtype=np.uint64)
    found = near_groups(codes, distance, negatives=True).tolist()
    assert found == naive_groups_with_negatives(codes, distance)


def test_a_negative_turns_all_bits_but_the_highest_and_one_is_forgiven():
    code = int(random_codes(1)[0])
    turned = [code ^ INVERTED, code ^ INVERTED ^ 1, code ^ INVERTED ^ 0b1111111, code ^ (2**64 - 1), code]
    assert distances_to_negatives(np.array(turned, np.uint64), code).tolist() == [0, 0, 6, 0, 62]


def test_crowds_and_their_negatives_are_grouped_in_seconds():
    centre = int(random_codes(1)[0])
    crowd = flipped(np.full(10_000, centre, dtype=np.uint64), 3)
    crowd[::2] ^= np.uint64(INVERTED)
    others = random_codes(30_000, seed=2)
    others[25_000:] = flipped(others[:5_000], 4) ^ np.uint64(INVERTED)
    began = time.perf_counter()
    groups = near_groups(np.concatenate([others, crowd]), 6, negatives=True)
    assert time.perf_counter() - began < 20
    assert set(groups[30_000:]) == {30_000}
    assert groups[:30_000].tolist() == [*range(25_000), *range(5_000)]


@settings(max_examples=60)
@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 31), max_size=60), st.integers(0, 12))
def test_any_codes_and_distance(values, distance):
    codes = np.array(values, dtype=np.uint64)
    assert set(near_pairs(codes, distance)) == naive_pairs(codes, distance)
    assert near_groups(codes, distance).tolist() == naive_groups(codes, distance)


def test_a_negative_distance_is_refused():
    with pytest.raises(ValueError):
        list(near_pairs(random_codes(3), -1))
    with pytest.raises(ValueError):
        near_groups(random_codes(3), -1)


def test_the_highest_bits_count():
    codes = np.array([0, 2**64 - 1, 2**63, 2**63 - 1], dtype=np.uint64)
    assert set(near_pairs(codes, 1)) == {(0, 2), (1, 3)}
    assert distances(codes, 2**64 - 1).tolist() == [64, 0, 63, 1]


def test_a_hundred_thousand_are_compared_in_seconds():
    codes = random_codes(100_000)
    codes[90_000:] = flipped(codes[:10_000], 6)
    began = time.perf_counter()
    pairs = sum(len(one) for one, _ in pair_blocks(codes, 6))
    groups = near_groups(codes, 6)
    assert time.perf_counter() - began < 15
    assert 10_000 <= pairs < 10_200
    assert len(np.unique(groups)) == 90_000


def test_a_hundred_thousand_equal_ones_cost_next_to_nothing():
    codes = np.full(100_000, 7, dtype=np.uint64)
    codes[-1] = 2**64 - 1
    tracemalloc.start()
    assert np.unique(near_groups(codes, 6)).tolist() == [0, 99_999]
    blocks = pair_blocks(codes, 6)
    first = [len(next(blocks)[0]) for _ in range(3)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert min(first) > 100_000
    assert peak < 150e6


def test_a_crowd_around_one_hash_is_one_group():
    crowd = flipped(np.full(20_000, int(random_codes(1)[0]), dtype=np.uint64), 3)
    others = random_codes(10_000, seed=2)
    began = time.perf_counter()
    groups = near_groups(np.concatenate([others, crowd]), 6)
    assert time.perf_counter() - began < 15
    assert set(groups[10_000:]) == {10_000}
    assert groups[:10_000].tolist() == list(range(10_000))
