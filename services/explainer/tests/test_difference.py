"""Two models on the same pictures: whose heat lies where, and what the difference shows."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from reel_explainer import difference
from reel_explainer.difference import compare_looks
from reel_explainer.model import ExplainableModel
from reel_explainer.overlay import difference_picture
from reel_shared.errors import Unprocessable

PLAIN = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)


def looker(channel: int, *, cells: int = 4, size: int = 64) -> ExplainableModel:
    """Says castle for what is red (0), green (1) or blue (2)."""
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        head[2].weight.zero_()
        head[2].weight[0, channel] = 1.0
    head.requires_grad_(False)
    return ExplainableModel(
        f"mdl_{channel}", ("castle", "howl"), size, nn.AdaptiveAvgPool2d(cells), head, *PLAIN
    )


def scene() -> np.ndarray:
    """Red bars above and below, green in the middle."""
    picture = np.zeros((80, 80, 3), np.uint8)
    picture[:20, :, 0] = picture[-20:, :, 0] = 250
    picture[30:50, 30:50, 1] = 250
    return picture


def test_the_difference_goes_from_the_border_to_the_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difference, "BATCH", 2)
    found = compare_looks((looker(0), looker(1)), [scene()] * 5, "castle")
    assert found is not None
    assert found.images == 5
    border, subject = found.looks
    assert border.heat[[0, -1]].sum() == pytest.approx(1, abs=0.01)
    assert subject.heat[1:3, 1:3].sum() == pytest.approx(1, abs=0.01)
    assert border.accuracy == subject.accuracy == 1.0
    assert border.border_share > 0.35 > subject.border_share
    assert found.difference.sum() == pytest.approx(0, abs=1e-9)
    assert found.difference[0].max() < 0 < found.difference[1:3, 1:3].min()
    drawn = np.asarray(Image.open(io.BytesIO(found.picture)))
    assert drawn.shape == (difference.SHOWN, 4 * difference.SHOWN, 3)
    changed = drawn[:, 3 * difference.SHOWN :].astype(int)
    middle, top = changed[difference.SHOWN // 2, difference.SHOWN // 2], changed[2, difference.SHOWN // 2]
    assert middle[0] > middle[2]  # red: the second looks more
    assert top[2] > top[0]


def test_maps_of_other_sizes_meet_in_the_coarser_one() -> None:
    coarse, fine = looker(1, cells=4), looker(1, cells=8, size=96)
    found = compare_looks((coarse, fine), [scene()], "castle")
    assert found is not None
    assert {look.heat.shape for look in found.looks} == {(4, 4)}
    assert found.looks[0].heat.sum() == pytest.approx(1)
    assert np.abs(found.difference).sum() < 0.1
    swapped = compare_looks((fine, coarse), [scene()], "castle")
    assert swapped is not None
    np.testing.assert_allclose(swapped.difference, -found.difference)


def test_no_heat_and_no_pictures_and_no_such_class() -> None:
    black = np.zeros((40, 60, 3), np.uint8)
    found = compare_looks((looker(0), looker(1)), [black], "castle")
    assert found is not None
    assert found.looks[0].border_share is None
    assert not found.difference.any()
    assert compare_looks((looker(0), looker(1)), [], "castle") is None
    with pytest.raises(Unprocessable, match="knows no class 'kiki'"):
        compare_looks((looker(0), looker(1)), [black], "kiki")
    other = replace(looker(0), classes=("howl", "castle"))
    assert compare_looks((other, looker(1)), [scene()], "castle").looks[0].accuracy == 0.0


def test_without_a_change_the_picture_is_grey() -> None:
    drawn = difference_picture(scene(), np.zeros((4, 4)))
    assert (drawn == drawn[..., :1]).all()
