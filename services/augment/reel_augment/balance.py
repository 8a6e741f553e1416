"""Which picture gets which variants, so that web pictures reach a wanted share; called by ``tasks``.

Numbers and names in and out: no picture is opened here.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from reel_shared.contracts import Variant


@dataclass(slots=True)
class Stock:
    """One original: what stands of it, and what cannot be made of it as far as is known."""

    id: str
    standing: set[Variant]
    impossible: set[Variant] = field(default_factory=set)


def needed(share: float, *, frames: int, web: int) -> int:
    """Return how many web pictures lack beside ``web`` for ``share`` of the whole; 0 when it is reached."""
    # a share such as 0.4 is no binary fraction: what lacks by a rounding error is no picture
    wanted = math.ceil(frames * share / (1 - share) - 1e-9)
    return max(0, wanted - web)


def frames_wanted(share: float, *, frames: int, standing: int) -> int:
    """Return how many gray copies lack for ``share`` of the frames to have one."""
    return max(0, round(share * frames) - standing)


def spread(
    stocks: Iterable[Stock], kinds: Sequence[Variant], count: int | None, *, seed: int
) -> dict[str, list[Variant]]:
    """Return picture -> kinds to make: ``count`` in all, or whatever is missing.

    The picture with the fewest variants is always next, among equals in an order shuffled by the seed; each begins
    with another kind. So neither pictures nor kinds are preferred, and the same stocks and seed give the same plan.
    """
    shuffled = sorted(stocks, key=lambda stock: _shuffled(seed, stock.id))
    waiting = []
    for place, stock in enumerate(shuffled):
        turned = [kinds[(place + step) % len(kinds)] for step in range(len(kinds))]
        missing = [kind for kind in turned if kind not in stock.standing and kind not in stock.impossible]
        if missing:
            waiting.append((len(stock.standing), place, stock.id, missing))
    heapq.heapify(waiting)
    plan: dict[str, list[Variant]] = {}
    left = sum(len(missing) for *_, missing in waiting) if count is None else count
    while waiting and left:
        has, place, name, missing = heapq.heappop(waiting)
        plan.setdefault(name, []).append(missing[0])
        left -= 1
        if missing[1:]:
            heapq.heappush(waiting, (has + 1, place, name, missing[1:]))
    return plan


def _shuffled(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"variants:{seed}:{name}".encode()).digest()
