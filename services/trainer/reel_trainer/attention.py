"""Where a trained network looks: mean Grad-CAM of each class, and an alarm for one that looks at the edge.

This is how the borders of one film were found in the first place: by a person who looked at heat maps. A network that
looks elsewhere too is found out by ``shortcuts``. Called by ``training``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from statistics import median

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from reel_networks.attention import EVEN_SHARE, border_share
from reel_networks.gradcam import heat_of_each, run_body, run_head
from reel_shared.contracts import Attention, ClassAttention, Source
from reel_shared.manifest import ManifestImage
from reel_trainer.cache import PictureCache
from reel_trainer.data import Normalize
from reel_trainer.shortcuts import find_shortcuts, sentence

MOST_PICTURES = 100
"""Looked at of each class and source; more would hardly move a mean."""
FEWEST_PICTURES = 5
"""Below it a mean says more about the pictures than about the network."""
COARSEST = 3
"""Cells along a side below which there is no middle to tell from the edge."""
BATCH = 32

EDGE_LEVEL = 1.1
"""An alarm needs more heat at the edge than even heat would have there, by this factor ..."""
EDGE_MARGIN = 0.25
"""... and a factor that lies so far above the median of the other classes'."""

Heats = npt.NDArray[np.float32]


def look(
    model: nn.Sequential,
    cache: PictureCache,
    normalize: Normalize,
    rows: Sequence[ManifestImage],
    classes: Sequence[str],
    *,
    trained: Collection[Source],
    seed: int,
) -> Attention:
    """Return mean heat and shortcuts by class and source over ``rows``, whose pictures lie in ``cache`` in their order.

    Each picture is asked about the class that it truly shows: a wrong prediction's heat would speak of another
    class. Alarms are for the ``trained`` sources alone: in others a network finds what it can. ``model`` is (body,
    head) on the device of ``normalize``, and is left in evaluation mode.
    """
    found = []
    for (label, source), numbers in _chosen(rows, seed):
        labels = [classes.index(label)] * len(numbers)
        heat = heat_of_rows(model, cache, normalize, numbers, labels)
        if min(heat.shape[1:]) >= COARSEST:
            found.append(_mean(label, source, heat))
    looked = with_alarms([each for each in found if each is not None], trained)
    shortcuts = find_shortcuts(model, cache, normalize, rows, classes, trained=trained, seed=seed)
    alarms = [*looked.alarms, *(sentence(each) for each in shortcuts if each.alarm)]
    return looked.model_copy(update={"shortcuts": shortcuts, "alarms": alarms})


def heat_of_rows(
    model: nn.Sequential,
    cache: PictureCache,
    normalize: Normalize,
    numbers: Sequence[int],
    labels: Sequence[int],
) -> Heats:
    """Return raw Grad-CAM (pictures, h, w) of pictures in ``cache``, each asked about its own of ``labels``."""
    model.eval()
    device = normalize.mean.device
    parts = []
    for start in range(0, len(numbers), BATCH):
        some = numbers[start : start + BATCH]
        x = normalize(torch.from_numpy(cache.squares(some)).to(device))
        asked = torch.tensor(labels[start : start + BATCH], device=device)
        heat = heat_of_each(run_head(model[1], run_body(model[0], x)), asked)
        parts.append(heat.float().cpu().numpy())
    return np.concatenate(parts)


def with_alarms(found: Sequence[ClassAttention], trained: Collection[Source] = tuple(Source)) -> Attention:
    """Judge each class against the others of its source, if that is one of ``trained``.

    It fires when its ``ring_ratio`` is above EDGE_LEVEL and EDGE_MARGIN above the median of the others: a network
    whose classes all look at the edge has large subjects, and one class alone cannot be compared.
    """
    judged, alarms = [], []
    for each in found:
        others = [one.ring_ratio for one in found if one.source == each.source and one.label != each.label]
        fires = bool(
            each.source in trained
            and others
            and each.ring_ratio > EDGE_LEVEL
            and each.ring_ratio > median(others) + EDGE_MARGIN
        )
        judged.append(each.model_copy(update={"alarm": fires}))
        if fires:
            alarms.append(_sentence(each, median(others)))
    return Attention(classes=judged, alarms=alarms)


def _chosen(rows: Sequence[ManifestImage], seed: int) -> Iterator[tuple[tuple[str, Source], list[int]]]:
    """Yield the numbers of at most MOST_PICTURES rows of each class and source, always the same ones."""
    members: dict[tuple[str, Source], list[int]] = {}
    for number, row in enumerate(rows):
        members.setdefault((row.label, row.source), []).append(number)
    rng = np.random.default_rng(seed)
    for cell, numbers in sorted(members.items()):
        yield cell, sorted(rng.permutation(numbers)[:MOST_PICTURES].tolist())


def _mean(label: str, source: Source, heat: Heats) -> ClassAttention | None:
    """Return the mean of maps (pictures, h, w), each made to sum to 1; None with too few that have any heat."""
    mass = heat.sum(axis=(1, 2), dtype=np.float64)
    hot = mass > 0
    if hot.sum() < FEWEST_PICTURES:
        return None
    mean = (heat[hot] / mass[hot, None, None]).mean(axis=0)
    share = border_share(mean)
    assert share is not None
    return ClassAttention(
        label=label,
        source=source,
        images=int(hot.sum()),
        heat=[[round(float(cell), 6) for cell in row] for row in mean],
        ring_share=share,
        ring_ratio=share / EVEN_SHARE,
    )


def _sentence(each: ClassAttention, others: float) -> str:
    where = "film frames" if each.source == Source.MOVIE else "web pictures"
    return (
        f"Attention: {each.label} looks at the edge of its {where}: {each.ring_share:.0%} of its heat lies in the "
        f"outer tenth, {each.ring_ratio:.1f} times as much as even heat, other classes {others:.1f} times. Look for "
        "borders, logos or captions."
    )
