"""The colours of heat, and how much of it lies on the rim."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

from reel_networks.attention import EVEN_SHARE, border_share
from reel_networks.magma import MAGMA


def test_magma_is_matplotlibs() -> None:
    theirs = (matplotlib.colormaps["magma"](np.arange(256))[:, :3] * 255).round()
    np.testing.assert_array_equal(MAGMA, theirs)


@pytest.mark.parametrize("shape", [(10, 10), (7, 7), (5, 12), (1, 1)])
def test_even_heat_has_its_area_on_the_rim(shape: tuple[int, int]) -> None:
    assert border_share(np.full(shape, 2.5, np.float32)) == pytest.approx(EVEN_SHARE) == pytest.approx(0.36)


def test_border_share_knows_rim_from_middle() -> None:
    heat = np.zeros((10, 10), np.float32)
    assert border_share(heat) is None
    heat[0, 3] = heat[9, 9] = heat[5, 0] = 1.0
    assert border_share(heat) == pytest.approx(1.0)
    heat[4, 4] = 3.0
    assert border_share(heat) == pytest.approx(0.5)
    middle = np.zeros((7, 7), np.float32)
    middle[3, 3] = 1.0
    assert border_share(middle) == pytest.approx(0.0)
    corner = np.zeros((7, 7), np.float32)
    corner[0, 0] = 1.0  # its cell reaches from 0 to 1/7, the ring to 0.1: 0.3 of each side lies inside
    assert border_share(corner) == pytest.approx(1 - 0.3 * 0.3)
