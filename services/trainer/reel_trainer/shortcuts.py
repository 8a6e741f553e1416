"""Shortcuts (Geirhos et al. 2020): pixels that are the same in every picture of a class, and that a network uses.

Bars, logos and captions that nobody cut away tell a film as surely as its characters do. Heat maps show them only when
the network looks at little else. Here the pixels are found in the pictures, painted on those of other classes, and the
network is asked whether that makes them the class. Called by ``attention``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from reel_shared.contracts import Shortcut, Source
from reel_shared.manifest import ManifestImage
from reel_trainer.cache import PictureCache, Pixels
from reel_trainer.data import Normalize
from reel_trainer.evaluation import Floats
from reel_trainer.intervals import DRAWS, group_of, middle, resampled

TOLERANCE = 12
"""Levels of 255 by which a pixel may differ from its median in any channel: compression moves them by a few."""
NEARLY_ALL = 0.9
"""Share of the pictures in which a pixel must be the same."""
FEWEST_PICTURES, FEWEST_GROUPS = 8, 3
"""Fewer may be alike by chance, or show one standing camera."""
LEAST_AREA, MOST_AREA = 0.002, 0.5
"""Shares of the picture. Less is noise; where more is the same the pictures are, and nothing was put upon them."""
MOST_PICTURES = 100
"""Of a class, and of the others, looked at."""
CELLS = 20
"""Along each side of the map that says where the pixels lie."""
LEAST_ODDS = 1.5
"""Factor on the odds of the class that an alarm needs; 1 must also lie below its whole interval."""
BATCH = 32
_MOST_NATS = 20.0

Mask = npt.NDArray[np.bool_]


def find_shortcuts(
    model: nn.Sequential,
    cache: PictureCache,
    normalize: Normalize,
    rows: Sequence[ManifestImage],
    classes: Sequence[str],
    *,
    trained: Collection[Source],
    seed: int,
) -> list[Shortcut]:
    """Return what is always the same in a class's pictures of one source, and how much it counts as the class.

    ``rows`` are pictures that were not trained on, and lie in ``cache`` in their order. Sources that are not in
    ``trained`` are left out: the network cannot have learnt them.
    """
    rng = np.random.default_rng(seed)
    found = []
    for source, label in product(sorted(trained), classes):
        own = [n for n, row in enumerate(rows) if (row.label, row.source) == (label, source)]
        others = [n for n, row in enumerate(rows) if row.source == source and row.label != label]
        if not others or len(own) < FEWEST_PICTURES or len({group_of(rows[n]) for n in own}) < FEWEST_GROUPS:
            continue
        own, others = (sorted(rng.permutation(numbers)[:MOST_PICTURES].tolist()) for numbers in (own, others))
        common, mask = fixed_pixels(cache.squares(own))
        if LEAST_AREA <= mask.mean() <= MOST_AREA:
            gains = _gains(model, cache, normalize, others, common, mask, classes.index(label))
            groups = [group_of(rows[number]) for number in others]
            found.append(_judged(label, source, len(own), mask, gains, groups, seed))
    return found


def fixed_pixels(squares: Pixels) -> tuple[Pixels, Mask]:
    """Return the median picture (H, W, 3) of pictures (N, H, W, 3), and where (H, W) nearly all of them are like it."""
    common = np.median(squares, axis=0).astype(np.uint8)
    # the larger less the smaller, for differences of unsigned numbers wrap around
    away = (np.maximum(squares, common) - np.minimum(squares, common)).max(axis=3)
    return common, (away <= TOLERANCE).mean(axis=0) >= NEARLY_ALL


def sentence(found: Shortcut) -> str:
    """Return the alarm in words."""
    pictures = "film frames" if found.source == Source.MOVIE else "web pictures"
    return (
        f"Attention: {found.label} is told by what is always the same in its {pictures}: {found.area:.1%} of their "
        f"pixels, and painted on pictures of other classes they make {found.label} {found.odds:.1f} times as likely "
        "(by odds). Look for borders, logos or captions, and cut them away."
    )


def _gains(
    model: nn.Sequential,
    cache: PictureCache,
    normalize: Normalize,
    numbers: Sequence[int],
    common: Pixels,
    mask: Mask,
    label: int,
) -> npt.NDArray[np.float64]:
    """Return (pictures,) how much the log-odds of ``label`` rise when the masked pixels are painted on."""
    plain, painted = [], []
    for start in range(0, len(numbers), BATCH):
        squares = cache.squares(numbers[start : start + BATCH])
        plain.append(_logits(model, normalize, squares))
        squares[:, mask] = common[mask]
        painted.append(_logits(model, normalize, squares))
    before, after = (_log_odds(np.concatenate(parts), label) for parts in (plain, painted))
    return np.clip(after - before, -_MOST_NATS, _MOST_NATS)


def _logits(model: nn.Sequential, normalize: Normalize, squares: Pixels) -> Floats:
    model.eval()
    with torch.inference_mode():
        x = normalize(torch.from_numpy(squares).to(normalize.mean.device))
        logits: Floats = model(x).float().cpu().numpy()
    return logits


def _log_odds(logits: Floats, label: int) -> npt.NDArray[np.float64]:
    """Return ln(p / (1 - p)) of one class, from logits (pictures, classes)."""
    exact = logits.astype(np.float64)
    odds: npt.NDArray[np.float64] = exact[:, label] - np.logaddexp.reduce(np.delete(exact, label, 1), axis=1)
    return odds


def _judged(
    label: str,
    source: Source,
    images: int,
    mask: Mask,
    gains: npt.NDArray[np.float64],
    groups: Sequence[str],
    seed: int,
) -> Shortcut:
    odds, interval = math.exp(gains.mean()), None
    if len(set(groups)) > 1:
        columns = np.column_stack([gains, np.ones(len(gains))])
        drawn = resampled(groups, columns, np.random.default_rng(seed), DRAWS)
        interval = middle(np.exp(drawn[:, 0] / drawn[:, 1]))
    return Shortcut(
        label=label,
        source=source,
        images=images,
        area=float(mask.mean()),
        where=_cells(mask),
        others=len(gains),
        odds=odds,
        odds_interval=interval,
        alarm=odds >= LEAST_ODDS and interval is not None and interval[0] > 1,
    )


def _cells(mask: Mask) -> list[list[float]]:
    """Return which part of each of CELLS x CELLS cells is masked."""
    rows = np.array_split(mask, CELLS, axis=0)
    return [[round(float(cell.mean()), 3) for cell in np.array_split(row, CELLS, axis=1)] for row in rows]
