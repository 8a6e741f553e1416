"""A network that looks at a border is found out; one that looks at what is shown is left in peace."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from reel_networks import InputStats
from reel_networks.attention import EVEN_SHARE
from reel_shared.contracts import ClassAttention, Source
from reel_shared.manifest import ManifestImage
from reel_trainer import attention
from reel_trainer.attention import heat_of_rows, look, with_alarms
from reel_trainer.cache import PictureCache
from reel_trainer.data import Normalize

SIDE, BAR = 70, 6
PLAIN = InputStats((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def pictures(labels: list[str], *, bordered: str) -> tuple[PictureCache, list[ManifestImage]]:
    """Film frames with a green subject in the middle, ten a class; those of one class have red bars above and below."""
    rng = np.random.default_rng(1)
    squares, rows = [], []
    for label in labels:
        for number in range(10):
            square = np.zeros((SIDE, SIDE, 3), np.uint8)
            top, left = rng.integers(20, 30, 2)
            square[top : top + 24, left : left + 24, 1] = 200
            if label == bordered:
                square[:BAR, :, 0] = square[-BAR:, :, 0] = 255
            squares.append(square)
            rows.append(row(label, number))
    pixels = np.stack(squares)
    offsets = np.arange(len(pixels)) * pixels[0].size
    return PictureCache(pixels.reshape(-1), offsets, np.full((len(pixels), 2), SIDE), SIDE), rows


def row(label: str, number: int, source: str = "movie") -> ManifestImage:
    return ManifestImage(
        id=f"img_{label}{source}{number}", key="images/x", sha256="0" * 64, label=label, source=source,
        phash="0" * 16, width=SIDE, height=SIDE,
    )  # fmt: skip


def network(classes: list[str], *, leaking: str | None, cells: int = 7) -> nn.Sequential:
    """Sees red and green in a map of ``cells`` x ``cells``; ``leaking`` is told by its red, the others by green."""
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, len(classes), bias=False))
    with torch.no_grad():
        head[2].weight.zero_()
        for place, label in enumerate(classes):
            head[2].weight[place, 0 if label == leaking else 1] = 1.0
    return nn.Sequential(nn.AdaptiveAvgPool2d(cells), head)


def looked(classes: list[str], *, leaking: str | None, cells: int = 7) -> attention.Attention:
    cache, rows = pictures(classes, bordered="castle")
    normalize = Normalize.of(PLAIN, torch.device("cpu"))
    return look(
        network(classes, leaking=leaking, cells=cells),
        cache,
        normalize,
        rows,
        classes,
        trained={Source.MOVIE},
        seed=0,
    )


@pytest.mark.parametrize("classes", [["castle", "howl"], ["castle", "howl", "kiki", "mulan"]])
@pytest.mark.parametrize("cells", [5, 7, 10])
def test_a_network_that_looks_at_the_border_of_one_class_fires(classes: list[str], cells: int) -> None:
    found = looked(classes, leaking="castle", cells=cells)
    assert [each.label for each in found.classes if each.alarm] == ["castle"]
    sentence = found.alarms[0]
    assert "castle looks at the edge of its film frames" in sentence
    assert "borders, logos or captions" in sentence
    castle = found.classes[0]
    assert castle.images == 10
    assert castle.ring_ratio == pytest.approx(castle.ring_share / EVEN_SHARE)
    heat = np.array(castle.heat)
    assert heat.shape == (cells, cells)
    assert heat.sum() == pytest.approx(1, abs=1e-3)
    assert heat[[0, -1]].sum() > 0.8


@pytest.mark.parametrize("classes", [["castle", "howl"], ["castle", "howl", "kiki", "mulan"]])
def test_one_that_looks_at_the_subject_is_silent_though_the_border_is_there(classes: list[str]) -> None:
    found = looked(classes, leaking=None)
    assert len(found.classes) == len(classes)
    assert found.alarms == []
    assert not any(each.alarm for each in found.classes)
    assert max(each.ring_ratio for each in found.classes) < 0.1


def seen(label: str, ratio: float, source: Source = Source.MOVIE) -> ClassAttention:
    share = ratio * EVEN_SHARE
    return ClassAttention(
        label=label, source=source, images=9, heat=[[1.0]], ring_share=share, ring_ratio=ratio
    )


@pytest.mark.parametrize(
    ("ratios", "fires"),
    [
        ([1.5, 0.7, 0.8], ["a"]),
        ([1.5, 1.4, 1.45], []),  # all of them: large subjects
        ([1.0, 0.4, 0.5], []),  # not more than even heat
        ([1.2, 1.0, 1.05], []),  # hardly more than the others
        ([1.5, 1.4, 0.6, 0.7, 0.6], ["a", "b"]),  # two leak
        ([1.6], []),  # nothing to compare with
    ],
)
def test_the_rule_needs_a_level_and_a_distance_from_the_others(ratios: list[float], fires: list[str]) -> None:
    found = with_alarms([seen(label, ratio) for label, ratio in zip("abcde", ratios, strict=False)])
    assert [each.label for each in found.classes if each.alarm] == fires
    assert len(found.alarms) == len(fires)


def test_each_source_is_judged_by_itself() -> None:
    found = with_alarms(
        [seen("a", 0.7), seen("b", 0.7), seen("a", 1.5, Source.WEB), seen("b", 0.7, Source.WEB)]
    )
    assert [(each.label, each.source) for each in found.classes if each.alarm] == [("a", "web")]
    assert "its web pictures" in found.alarms[0]


def test_a_source_that_was_not_trained_on_is_silent() -> None:
    classes = [seen("a", 1.5, Source.WEB), seen("b", 0.7, Source.WEB)]
    assert with_alarms(classes, {Source.MOVIE}).alarms == []
    assert len(with_alarms(classes, {Source.MOVIE, Source.WEB}).alarms) == 1


def test_maps_without_a_middle_and_too_few_pictures_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked(["castle", "howl"], leaking="castle", cells=2).classes == []
    monkeypatch.setattr(attention, "FEWEST_PICTURES", 11)
    assert looked(["castle", "howl"], leaking="castle").classes == []


def test_pictures_without_heat_do_not_count_and_large_classes_are_sampled_alike_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache, rows = pictures(["castle", "howl"], bordered="castle")
    model = network(["castle", "howl"], leaking="howl")  # howl's pictures have no red at all
    normalize = Normalize.of(PLAIN, torch.device("cpu"))
    found = look(model, cache, normalize, rows, ["castle", "howl"], trained={Source.MOVIE}, seed=0)
    assert [each.label for each in found.classes] == ["castle"]
    monkeypatch.setattr(attention, "MOST_PICTURES", 6)
    first, again = (
        look(model, cache, normalize, rows, ["castle", "howl"], trained={Source.MOVIE}, seed=3)
        for _ in range(2)
    )
    assert first == again
    assert first.classes[0].images == 6


def test_heat_of_each_row_is_of_its_own_label() -> None:
    cache, _ = pictures(["castle", "howl"], bordered="castle")
    model = network(["castle", "howl"], leaking="castle")
    heat = heat_of_rows(model, cache, Normalize.of(PLAIN, torch.device("cpu")), [0, 1], [0, 1])
    assert heat[0, [0, -1]].sum() == pytest.approx(heat[0].sum())
    assert heat[1, [0, -1]].sum() == 0
