"""Figures about where a heat map looks; called by the explainer and by the trainer's checks.

A model that looks at the rim of its pictures has learnt borders or logos, not characters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RING = 0.1
"""Width of the rim on each side, as a part of the picture's side."""
EVEN_SHARE = 1 - (1 - 2 * RING) ** 2
"""``border_share`` of heat that lies evenly, however fine the map is."""


def border_share(heat: NDArray[np.floating], *, ring: float = RING) -> float | None:
    """Return the share of a nonnegative heat map (h, w) that lies in the outer ring; None where there is no heat.

    Cells that the ring's edge cuts count in part, so that even heat has ``EVEN_SHARE``, 0.36, in a map of any size.
    """
    total = float(heat.sum())
    if total <= 0:
        return None
    rows, columns = (_inner_part(cells, ring) for cells in heat.shape)
    inner = float(rows @ heat.astype(np.float64) @ columns)
    return min(max(1.0 - inner / total, 0.0), 1.0)


def _inner_part(cells: int, ring: float) -> NDArray[np.float64]:
    """Return for each cell along one side which part of it lies inside the ring."""
    edges = np.linspace(0.0, 1.0, cells + 1)
    overlap = np.minimum(edges[1:], 1.0 - ring) - np.maximum(edges[:-1], ring)
    inner: NDArray[np.float64] = overlap.clip(0.0) * cells
    return inner
