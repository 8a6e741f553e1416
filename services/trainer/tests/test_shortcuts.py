"""What is the same in every picture of a class is found, and counts as an alarm only where the network uses it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from reel_networks import InputStats
from reel_shared.contracts import Shortcut, Source
from reel_shared.manifest import ManifestImage
from reel_trainer.attention import look
from reel_trainer.cache import PictureCache
from reel_trainer.data import Normalize
from reel_trainer.shortcuts import find_shortcuts, fixed_pixels, sentence

SIDE, BAR = 70, 5
CLASSES = ["castle", "howl", "kiki"]
NORMALIZE = Normalize.of(InputStats((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), torch.device("cpu"))
MOVIE = {Source.MOVIE}


def pictures(
    *, bordered: tuple[str, ...] = ("castle",), scenes: int = 12, noise: int = 6
) -> tuple[PictureCache, list[ManifestImage]]:
    """Twelve frames a class, whatever colours in them; those of ``bordered`` have red bars above and below."""
    rng = np.random.default_rng(1)
    squares, rows = [], []
    for label in CLASSES:
        for number in range(12):
            square = rng.integers(0, 200, (7, 7, 3)).repeat(10, 0).repeat(10, 1).astype(np.uint8)
            if label in bordered:
                for bar in (square[:BAR], square[-BAR:]):
                    bar[...] = (220, 0, 0)
                    bar += rng.integers(0, noise, bar.shape).astype(np.uint8)
            squares.append(square)
            rows.append(
                ManifestImage(
                    id=f"img_{label}{number}", key="images/x", sha256="0" * 64, label=label, source="movie",
                    phash="0" * 16, width=SIDE, height=SIDE, group=f"{label}{number % scenes}",
                )
            )  # fmt: skip
    pixels = np.stack(squares)
    offsets = np.arange(len(pixels)) * pixels[0].size
    return PictureCache(pixels.reshape(-1), offsets, np.full((len(pixels), 2), SIDE), SIDE), rows


class Reads(nn.Module):
    """Logits from what lies in the top bar's middle, or from what lies in the middle of the picture."""

    def __init__(self, *, bar: bool) -> None:
        super().__init__()
        self.rows = slice(0, BAR) if bar else slice(30, 40)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        red, _, blue = x[:, :, self.rows, 20:50].mean(dim=(2, 3)).unbind(1)
        return 4 * torch.stack([red, blue, torch.full_like(red, 0.4)], 1)


def found(*, uses_bar: bool = True, trained: set[Source] = MOVIE, **kinds: object) -> list[Shortcut]:
    cache, rows = pictures(**kinds)  # type: ignore[arg-type]
    model = nn.Sequential(nn.Identity(), Reads(bar=uses_bar))
    return find_shortcuts(model, cache, NORMALIZE, rows, CLASSES, trained=trained, seed=0)


def test_bars_that_the_network_uses_fire() -> None:
    (castle,) = found()
    assert (castle.label, castle.source, castle.images, castle.others) == ("castle", "movie", 12, 24)
    assert castle.area == pytest.approx(2 * BAR / SIDE, abs=0.01)
    where = np.array(castle.where)
    assert where.shape == (20, 20)
    assert where[[0, -1]].min() == 1
    assert where[3:-3].max() == 0
    assert castle.odds_interval is not None
    assert 1 < castle.odds_interval[0] < castle.odds < castle.odds_interval[1]
    assert castle.alarm
    assert "castle is told by what is always the same in its film frames: 14.3%" in sentence(castle)


def test_the_factor_is_the_mean_change_of_the_odds() -> None:
    cache, rows = pictures()
    model = nn.Sequential(nn.Identity(), Reads(bar=True))
    others = cache.squares([n for n, row in enumerate(rows) if row.label != "castle"])
    common, mask = fixed_pixels(cache.squares(range(12)))
    painted = np.where(mask[:, :, None], common, others)

    def odds(squares: np.ndarray) -> np.ndarray:
        chances = model(NORMALIZE(torch.from_numpy(squares))).double().softmax(1)[:, 0].numpy()
        return np.asarray(chances / (1 - chances))

    (castle,) = found()
    assert castle.odds == pytest.approx(float(np.exp(np.log(odds(painted) / odds(others)).mean())), rel=1e-4)


def test_bars_that_it_does_not_use_are_listed_and_silent() -> None:
    (castle,) = found(uses_bar=False)
    assert castle.odds == pytest.approx(1)
    assert not castle.alarm


def test_without_bars_there_is_nothing_to_use() -> None:
    assert found(bordered=()) == []


def test_bars_of_all_classes_tell_nothing() -> None:
    assert [(each.label, each.alarm) for each in found(bordered=("castle", "howl", "kiki"))] == [
        ("castle", False),
        ("howl", False),
        ("kiki", False),
    ]


def test_a_bar_that_flickers_by_more_than_compression_does_is_none() -> None:
    assert found(noise=35) == []


def test_two_scenes_may_be_alike_by_chance() -> None:
    assert found(scenes=2) == []
    assert found(scenes=3) != []


def test_pictures_that_are_all_the_same_have_nothing_put_upon_them() -> None:
    cache, rows = pictures()
    cache.pixels[:] = 7
    model = nn.Sequential(nn.Identity(), Reads(bar=True))
    assert find_shortcuts(model, cache, NORMALIZE, rows, CLASSES, trained=MOVIE, seed=0) == []


def test_a_source_that_was_not_trained_on_is_left_out() -> None:
    assert found(trained={Source.WEB}) == []


def test_differences_do_not_wrap_around() -> None:
    squares = np.full((10, 2, 2, 3), 5, np.uint8)
    squares[:2] = 250  # a fifth is other
    assert not fixed_pixels(squares)[1].any()
    squares[1] = 5
    common, mask = fixed_pixels(squares)
    assert mask.all()
    assert (common == 5).all()


def test_a_training_hears_of_it() -> None:
    cache, rows = pictures()
    body = nn.AdaptiveAvgPool2d(7)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3, bias=False))
    with torch.no_grad():
        head[2].weight.copy_(torch.tensor([[20.0, -20, -20], [0, 20, 0], [0, 0, 20]]))
    seen = look(nn.Sequential(body, head), cache, NORMALIZE, rows, CLASSES, trained=MOVIE, seed=0)
    assert [each.label for each in seen.shortcuts if each.alarm] == ["castle"]
    assert sum("always the same" in alarm for alarm in seen.alarms) == 1
