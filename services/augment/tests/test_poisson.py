"""Fast noise is Poisson noise: every gray level against the distribution that scikit-image draws from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from skimage.util import img_as_ubyte, random_noise

from reel_augment import poisson
from reel_augment.transforms import make_variants
from reel_shared.contracts import Variant

PIXELS = 20_000
"""Of each level."""
SIGNIFICANCE = 1e-3
"""Of all levels together."""
STEPS = [2**power for power in range(9)]


def ramp(pixels: int = PIXELS) -> np.ndarray:
    """All 256 levels, equally many pixels of each, a row a level."""
    return np.repeat(np.arange(256, dtype=np.uint8), pixels).reshape(256, pixels)


def chances(level: int, steps: int) -> np.ndarray:
    """Return the probability of each of the 256 results: Poisson(n v / 255) / n, white where that is above 1."""
    below = stats.poisson.pmf(np.arange(steps), steps * level / 255)
    counts = np.append(below, max(0.0, 1 - below.sum()))
    return np.bincount(img_as_ubyte(np.arange(steps + 1) / steps), counts, minlength=256)


def p_value(seen: np.ndarray, expected: np.ndarray) -> float:
    """Chi-square with neighbours joined until five pixels are expected; 1 where there is but one result."""
    if seen[expected == 0].any():
        return 0.0
    joined = [[0.0, 0.0]]
    for one, wanted in zip(seen, expected, strict=True):
        if joined[-1][1] >= 5:
            joined.append([0.0, 0.0])
        joined[-1][0] += one
        joined[-1][1] += wanted
    if len(joined) > 1 and joined[-1][1] < 5:
        rest = joined.pop()
        joined[-1] = [joined[-1][0] + rest[0], joined[-1][1] + rest[1]]
    if len(joined) == 1:
        return 1.0
    return float(stats.chi2.sf(sum((o - e) ** 2 / e for o, e in joined), len(joined) - 1))


def unlikely(noisy: np.ndarray, steps: int) -> list[int]:
    """Return the levels whose noise is not that distribution's, by Bonferroni."""
    found = []
    for level, row in enumerate(noisy):
        seen = np.bincount(row, minlength=256)
        if p_value(seen, chances(level, steps) * row.size) < SIGNIFICANCE / 256:
            found.append(level)
    return found


@pytest.mark.parametrize("steps", STEPS)
def test_every_level_has_its_distribution(steps: int) -> None:
    assert unlikely(poisson.fast(ramp(), steps, np.random.default_rng(20)), steps) == []


def test_scikit_images_own_draw_passes_the_same_test() -> None:
    noisy = img_as_ubyte(random_noise(ramp(2000), mode="poisson", rng=20))
    assert unlikely(noisy, 256) == []


@pytest.mark.parametrize("steps", [64, 256])
@pytest.mark.parametrize("by", [-1, 1])
def test_a_table_shifted_by_one_level_is_found_out(monkeypatch, steps: int, by: int) -> None:
    true = poisson._table(steps)
    rows = np.roll(true.slots.reshape(256, -1), by, axis=0)
    monkeypatch.setattr(poisson, "_table", lambda _: replace(true, slots=rows.reshape(-1)))
    found = unlikely(poisson.fast(ramp(), steps, np.random.default_rng(20)), steps)
    # with 64 steps the bell is twice as wide, and of bright levels one step is too little to see
    assert len(found) > (100 if steps == 64 else 200)


@pytest.mark.parametrize("by", [-1, 1])
def test_results_shifted_by_one_are_found_out(monkeypatch, by: int) -> None:
    true = poisson._table(256)
    whole = np.where(true.slots < 256, (true.slots.astype(int) + by).clip(0, 255), true.slots)
    shifted = replace(true, slots=whole.astype(np.uint16), levels=np.roll(true.levels, -by))
    monkeypatch.setattr(poisson, "_table", lambda _: shifted)
    assert len(unlikely(poisson.fast(ramp(), 256, np.random.default_rng(20)), 256)) > 200


def test_slots_in_which_the_result_changes_are_divided_rightly(monkeypatch) -> None:
    """The tails and the edges between results: what the look-up by whole slots leaves to the other 42 bits."""
    true = poisson._table(256)
    every = replace(true, slots=np.full_like(true.slots, poisson._SPLIT))
    monkeypatch.setattr(poisson, "_table", lambda _: every)
    assert unlikely(poisson.fast(ramp(5000), 256, np.random.default_rng(1)), 256) == []


def test_neighbouring_pixels_are_independent() -> None:
    flat = np.full(400_000, 128, np.uint8)
    noisy = poisson.fast(flat, 256, np.random.default_rng(4)).astype(float)
    bound = 4 / np.sqrt(flat.size)
    for distance in (1, 2, 3, 4, 5, 8, poisson.STRIP):
        assert abs(np.corrcoef(noisy[:-distance], noisy[distance:])[0, 1]) < bound, distance


@pytest.mark.parametrize("levels", [3, 100, 129])
def test_a_picture_is_counted_in_scikit_images_steps(levels: int) -> None:
    values = np.linspace(0, 255, levels).astype(np.uint8)
    picture = np.random.default_rng(0).choice(values, (80, 90, 3))
    picture[0, :, 0] = values[np.arange(90) % levels]
    steps = int(2 ** np.ceil(np.log2(len(np.unique(picture)))))
    fast, exact = (
        make_variants(picture, seed=3, noise=noise).images[Variant.NOISE] for noise in ("fast", "exact")
    )
    possible = set(img_as_ubyte(np.arange(steps + 1) / steps).tolist())
    assert set(fast.reshape(-1).tolist()) <= possible
    assert set(exact.reshape(-1).tolist()) <= possible


def test_fast_noise_follows_the_seed_alone() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    first, again, other = (
        make_variants(picture, seed=seed, noise="fast").images[Variant.NOISE] for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


@pytest.mark.parametrize("steps", [1, 16, 256])
def test_every_uniform_number_beside_a_bound_gives_the_count_of_the_cumulative_table(steps: int) -> None:
    """Whether its slot says the result, or the bounds do, of which a tail's slot has many."""
    table = poisson._table(steps)
    bounds = table.bounds[:-1].reshape(256, steps)
    for level in range(0, 256, 3):
        own = bounds[level] - (np.uint64(level) << np.uint64(55))
        uniform = np.concatenate((own, own - np.uint64(1), own + np.uint64(1), own + np.uint64(1 << 20)))
        uniform = uniform[uniform < np.uint64(1 << 55)]
        levels = np.full(uniform.size, level, np.uint8)
        found = table.slots[(level << 13) + (uniform >> np.uint64(42)).astype(np.intp)]
        split = found >= 256
        found[split] = table.look_up(levels[split], found[split] - 256, uniform[split])
        wanted = table.levels[np.searchsorted(own, uniform, side="right")]
        assert np.array_equal(found, wanted)
