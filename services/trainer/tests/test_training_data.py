"""What reaches the network: the chosen pictures, decoded as serving does, augmented, normalised, balanced."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reel_networks import InputStats
from reel_shared.errors import Corrupt, Unavailable, Unprocessable
from reel_shared.images import open_picture, preprocess
from reel_shared.manifest import Side
from reel_trainer import cache
from reel_trainer.cache import build_cache
from reel_trainer.data import Normalize, PictureLoader, augmentation, balanced_order
from reel_trainer.recipe import Transforms
from reel_trainer.rows import choose_rows

CPU = torch.device("cpu")
HALF = InputStats((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def without(manifest, side):
    images = [
        i.model_copy(update={"split": Side.EXCLUDED}) if i.split == side else i for i in manifest.images
    ]
    return manifest.model_copy(update={"images": images})


def test_trainings_on_nothing_are_refused(shapes, recipe) -> None:
    manifest = shapes.manifest()
    assert choose_rows(manifest, recipe()).valid == manifest.on(Side.VALID)
    with pytest.raises(Unprocessable, match="no training picture"):
        choose_rows(without(manifest, Side.TRAIN), recipe())
    with pytest.raises(Unprocessable, match="no validation picture"):
        choose_rows(without(manifest, Side.VALID), recipe())
    few = manifest.model_copy(update={"classes": [*manifest.classes, "ghost"]})
    with pytest.raises(Unprocessable, match="No training picture shows ghost"):
        choose_rows(few, recipe())


def test_fewer_pictures_than_a_batch_are_refused(shapes, recipe) -> None:
    stages = [{"name": "big", "size": 64, "batch_size": 4096, "frozen": True, "epochs": 1, "lr_max": 1}]
    with pytest.raises(Unprocessable, match="fewer than one batch of stage big"):
        choose_rows(shapes.manifest(), recipe(stages=stages))


def test_refitting_takes_the_held_out_pictures_too(shapes, recipe) -> None:
    manifest = shapes.manifest()
    honest, refit = choose_rows(manifest, recipe()), choose_rows(manifest, recipe(train_on_validation=True))
    assert {row.id for row in refit.train} - {row.id for row in honest.train} == {r.id for r in honest.valid}
    films = choose_rows(shapes.manifest(train_sources=["movie"]), recipe(train_on_validation=True))
    assert {row.source for row in films.train} == {"movie"}


def test_validation_pixels_are_those_of_serving(shapes, tmp_path) -> None:
    rows = shapes.images[:20]
    made = build_cache(rows, shapes.folder, tmp_path / "v.u8", side=48, roomy=False)
    squares = made.squares(range(20))
    for row, square in zip(rows, squares, strict=True):
        served = preprocess(open_picture((shapes.folder / row.sha256).read_bytes()), 48)
        assert np.array_equal(square, served)


def test_training_pictures_leave_room_for_crops(shapes, tmp_path) -> None:
    made = build_cache(shapes.images[:20], shapes.folder, tmp_path / "t.u8", side=48, roomy=True)
    assert made.picture(3).shape == (48, 67, 3)  # 112 x 72 cut to 1.4 times its height
    crops = {made.squares([3], np.random.default_rng(seed)).tobytes() for seed in range(30)}
    assert len(crops) > 10
    assert made.squares([3]).shape == (1, 48, 48, 3)


def test_damaged_and_missing_pictures_are_named(shapes, tmp_path) -> None:
    row = shapes.images[0]
    with pytest.raises(Corrupt, match=r"img_disc00 .* is missing"):
        build_cache([row], tmp_path, tmp_path / "c.u8", side=48, roomy=False)
    (tmp_path / row.sha256).write_bytes((shapes.folder / row.sha256).read_bytes()[:400])
    with pytest.raises(Corrupt, match=r"img_disc00 .* cannot be decoded"):
        build_cache([row], tmp_path, tmp_path / "c.u8", side=48, roomy=True)


def test_pictures_may_have_the_pixels_that_were_recorded_and_no_more(shapes, tmp_path) -> None:
    row = shapes.images[0].model_copy(update={"width": 7000, "height": 6000})
    Image.new("L", (7000, 6000), 90).save(tmp_path / row.sha256, "JPEG")
    made = build_cache([row], tmp_path, tmp_path / "c.u8", side=48, roomy=True)
    assert made.squares([0]).mean() == 90
    smaller = row.model_copy(update={"height": 5999})
    with pytest.raises(Corrupt, match=r"cannot be decoded: .*too many pixels \(7000 x 6000\)"):
        build_cache([smaller], tmp_path, tmp_path / "d.u8", side=48, roomy=True)


def test_a_disk_too_small_is_told_before_it_fills(shapes, tmp_path, monkeypatch) -> None:
    usage = cache.shutil._ntuple_diskusage(10**6, 10**6 - 1000, 1000)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(Unavailable, match="scratch space"):
        build_cache(shapes.images, shapes.folder, tmp_path / "c.u8", side=48, roomy=True)


def test_normalisation_is_explicit_and_exact() -> None:
    pictures = torch.tensor([0, 255], dtype=torch.uint8).repeat_interleave(48).view(2, 4, 4, 3)
    x = Normalize.of(HALF, CPU)(pictures)
    assert x.shape == (2, 3, 4, 4)
    assert x[0].unique().tolist() == [-2.0]
    assert x[1].unique().tolist() == [2.0]


@pytest.mark.parametrize("none", [True, False])
def test_augmentation_gives_the_stage_size_and_valid_colours(none) -> None:
    off = Transforms(flip=False, max_rotate=0, max_zoom=1, max_lighting=0, max_warp=0)
    change = augmentation(off if none else Transforms(), 40)
    torch.manual_seed(0)
    x = torch.rand(6, 3, 44, 44)
    y = change(x.clone())
    assert type(y) is torch.Tensor
    assert y.shape == (6, 3, 40, 40)
    assert y.min() >= 0
    assert y.max() <= 1
    assert torch.equal(y, change(x.clone())) == none


def test_loader_covers_everything_once_and_drops_only_partial_training_batches(shapes, tmp_path) -> None:
    made = build_cache(shapes.images[:21], shapes.folder, tmp_path / "c.u8", side=32, roomy=False)
    labels = np.arange(21)
    valid = PictureLoader(made, labels, Normalize.of(HALF, CPU), batch_size=8, device=CPU)
    assert [y.tolist() for _, y in valid] == [list(range(8)), list(range(8, 16)), list(range(16, 21))]
    rng = np.random.default_rng(0)
    train = PictureLoader(made, labels, Normalize.of(HALF, CPU), batch_size=8, device=CPU, rng=rng)
    first, second = ([int(n) for _, y in train for n in y] for _ in range(2))
    assert len(train) == 2
    assert len(first) == len(set(first)) == train.images == 16
    assert first != second


def test_balanced_order_gives_every_class_and_source_its_share() -> None:
    cells = [("a", "movie")] * 300 + [("a", "web")] * 10 + [("b", "movie")] * 50
    order = balanced_order(cells, np.random.default_rng(1))
    assert len(order) == 360
    drawn = Counter(cells[index] for index in order)
    assert drawn == {("a", "movie"): 90, ("a", "web"): 90, ("b", "movie"): 180}
    assert {index for index in order if cells[index] == ("a", "web")} == set(range(300, 310))


def old_balance(cells, rng):
    """Source-balanced draws without a share, as recipes of before know them."""
    members = {}
    for index, cell in enumerate(cells):
        members.setdefault(cell, []).append(index)
    labels = sorted({label for label, _ in members})
    drawn = []
    for label in labels:
        sources = sorted(source for of, source in members if of == label)
        for source in sources:
            share = -(-len(cells) // (len(labels) * len(sources)))
            rounds = -(-share // len(members[label, source]))
            drawn.append(
                np.concatenate([rng.permutation(members[label, source]) for _ in range(rounds)])[:share]
            )
    return rng.permutation(np.concatenate(drawn))[: len(cells)]


STOCKS = st.dictionaries(
    st.sampled_from(["castle", "kiki", "mulan", "tarzan"]),
    st.tuples(st.integers(0, 60), st.integers(0, 60)).filter(any),
    min_size=1,
)


def cells_of(stocks):
    """Film frames and web pictures by class, in an order that says nothing."""
    cells = [
        (label, source)
        for label, counts in stocks.items()
        for source, count in zip(("movie", "web"), counts, strict=True)
        for _ in range(count)
    ]
    return [cells[n] for n in np.random.default_rng(0).permutation(len(cells))]


@given(STOCKS, st.integers(0, 2**32))
def test_without_a_share_the_order_is_what_it_was(stocks, seed) -> None:
    cells = cells_of(stocks)
    order = balanced_order(cells, np.random.default_rng(seed))
    assert order.tolist() == old_balance(cells, np.random.default_rng(seed)).tolist()


@given(STOCKS, st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_a_web_share_is_kept_to_the_picture(stocks, share, seed) -> None:
    cells = cells_of(stocks)
    order = balanced_order(cells, np.random.default_rng(seed), web_share=share)
    assert order.tolist() == balanced_order(cells, np.random.default_rng(seed), web_share=share).tolist()
    assert len(order) == len(cells)
    drawn = Counter(cells[index] for index in order)
    for label, (movie, web) in stocks.items():
        of_class = drawn[label, "movie"] + drawn[label, "web"]
        assert abs(of_class - len(cells) / len(stocks)) < 1
        wanted = share if movie and web else float(web > 0)
        assert abs(drawn[label, "web"] - wanted * of_class) < 1


@given(STOCKS, st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_plentiful_pictures_come_once_at_most_and_scarce_ones_equally_often(stocks, share, seed) -> None:
    cells = cells_of(stocks)
    times = Counter(balanced_order(cells, np.random.default_rng(seed), web_share=share).tolist())
    for cell in set(cells):
        uses = [times[index] for index, one in enumerate(cells) if one == cell]
        assert max(uses) - min(uses) <= 1
        assert max(uses) <= 1 or sum(uses) > len(uses)


def test_a_share_of_less_than_a_picture_is_right_in_the_mean() -> None:
    cells = [("kiki", "movie")] * 5 + [("kiki", "web")]
    rng = np.random.default_rng(3)
    drawn = sum(5 in balanced_order(cells, rng, web_share=0.05) for _ in range(2000))
    assert 520 < drawn < 680, "0.3 of 2000, and 4 standard deviations on either side"


def test_the_loader_draws_the_share_epoch_after_epoch(shapes, tmp_path) -> None:
    images = shapes.images[:24]
    made = build_cache(images, shapes.folder, tmp_path / "c.u8", side=32, roomy=False)
    cells = [("disc", "movie")] * 20 + [("disc", "web")] * 4
    loader = PictureLoader(
        made,
        np.arange(24),
        Normalize.of(HALF, CPU),
        batch_size=8,
        device=CPU,
        rng=np.random.default_rng(0),
        cells=cells,
        web_share=0.5,
    )
    first, second = ([int(n) for _, y in loader for n in y] for _ in range(2))
    for epoch in (first, second):
        assert Counter(n >= 20 for n in epoch) == {True: 12, False: 12}
        assert set(Counter(n for n in epoch if n >= 20).values()) == {3}
    assert first != second
