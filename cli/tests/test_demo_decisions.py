"""What the demo says of versions, probe sets, shares, windows and round trips must tell good from bad."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from reel_shared import contracts
from reel_shared.contracts.web_pictures import SearchFound
from reel_shared.manifest import Manifest, ManifestImage, Side
from reelsight.demo import collecting, decisions, splitting
from reelsight.demo.facts import Decisions, Facts, Pinned, TakenDown
from reelsight.demo.round_trip import compare
from reelsight.demo.shares import in_use, shares
from reelsight.studio.gallery import Offer


def picture(name: str, side: Side = Side.TRAIN, **fields: object) -> ManifestImage:
    facts = {
        "key": f"images/{name}.jpg", "sha256": name[-1] * 64, "label": "a", "source": "web", "phash": "0" * 16,
        "width": 9, "height": 9, "split": side, **fields,
    }  # fmt: skip
    return ManifestImage.model_validate({"id": name, **facts})


def manifest(*images: ManifestImage) -> Manifest:
    request = contracts.BuildDatasetVersionRequest(dataset="demo")
    return Manifest(dataset="demo", classes=["a", "b"], request=request, images=list(images))


def diff(**lists: list[str]) -> contracts.VersionDiff:
    moved = [contracts.MovedImage(id=name, before="train", after="valid") for name in lists.pop("moved", [])]
    parts = {"added": [], "removed": [], **lists}
    counts = {name: len(found) for name, found in parts.items()} | {"moved": len(moved), "relabelled": 0}
    return contracts.VersionDiff(
        base="dsv_0", version="dsv_1", classes_added=[], classes_removed=[], counts=counts, by_class={},
        moved=moved, relabelled=[], **parts,
    )  # fmt: skip


AFTER = manifest(
    picture("kept1"),
    picture("scene2", Side.VALID),
    picture("aside3", Side.EXCLUDED, reason="near-in-time"),
    picture("other4", Side.VALID),
)
DECIDED = Decisions(
    kept={"kept1"},
    taken_down=TakenDown("gone5", 6, 0, set(), set()),
    pinned=Pinned("a", 2, {"scene2"}),
)
AS_DECIDED = {"added": ["kept1"], "removed": ["gone5"], "moved": ["scene2", "aside3"]}


@pytest.mark.parametrize(
    ("other", "strays"),
    [
        ({}, []),
        ({"added": ["kept1", "new6"]}, ["new6"]),
        ({"added": []}, ["kept1"]),
        ({"removed": []}, ["gone5"]),
        ({"moved": ["scene2", "other4"]}, ["other4"]),
        ({"moved": []}, ["scene2"]),
    ],
)
def test_a_change_that_nobody_decided_shows_and_so_does_one_that_did_not_happen(other, strays):
    found = splitting.changes(diff(**AS_DECIDED | other), AFTER, DECIDED)
    assert found.strays == strays
    if not other:
        assert found.explained == 4


def test_a_probe_picture_or_its_variant_that_is_trained_on_is_counted():
    good = [picture("p1", Side.PROBE, probe="cosplay", style="cosplay"), picture("t2")]
    found = splitting.probe(manifest(*good), "cosplay", 1)
    assert (found.judged, found.trained_on) == (1, 0)
    variant = picture("v3", variant="invert", parent_id="p1")
    stray = picture("p4", style="cosplay")
    assert splitting.probe(manifest(*good, variant, stray), "cosplay", 2).trained_on == 2


def test_a_round_trip_names_what_came_back_otherwise():
    first = manifest(
        picture("a1", licence="CC BY 4.0"), picture("a2", Side.VALID), picture("a3", Side.EXCLUDED)
    )
    same = manifest(picture("b1", licence="CC BY 4.0"), picture("b2", Side.VALID))
    found = compare(first, same)
    assert (found.pictures, found.same, found.differing) == (2, 2, Counter())
    other = manifest(picture("b1", licence="CC0 1.0"), picture("b2", Side.TRAIN), picture("b5"))
    assert compare(first, other).differing == {"licence": 1, "split": 1, "extra": 1}
    assert compare(first, manifest(picture("b2", Side.VALID))).differing == {"missing": 1}


def row(name: str, source: str = "web", **fields: object) -> dict[str, object]:
    return {
        "id": name, "label": "a", "source": source, "parent_id": None, "state": "active", "probe": "", **fields,
    }  # fmt: skip


def test_a_share_counts_variants_of_what_stands_and_no_probes():
    rows = [
        row("f", "movie"),
        row("g", "movie", state="rejected"),
        row("w"),
        row("v", parent_id="w"),
        row("x", parent_id="w", state="removed"),
        row("r", state="rejected"),
        row("y", parent_id="r"),
        row("p", probe="cosplay"),
    ]
    assert shares(rows) == {"a": pytest.approx(2 / 3)}
    assert in_use(rows) == {"a": 1}


def offer(day: str, style: str = "drawing") -> Offer:
    return Offer(
        id=day, label="a", truth="a", of="", style=style, title="t", characters=(), creator="c", made_on=day,
        licence="by", licence_version="4.0", file=day, filetype="jpg", filesize=1, width=9, height=9, fate="kept",
    )  # fmt: skip


def test_windows_are_held_against_the_days_of_what_is_on_offer():
    days = date(2019, 1, 1), date(2022, 1, 1), date(2025, 1, 1)
    searches = [
        SearchFound(words="w", since=days[0], until=days[1], candidates=1),
        SearchFound(words="w", since=days[1], until=days[2], candidates=2),
    ]
    result = contracts.CollectPicturesResult(
        collection_id="col_1", provider="wikimedia", counts=contracts.Counts(seen=3), searches=searches
    )
    facts = Facts("demo", {}, collections=[("a", "drawing", result), ("b", "drawing", result)])
    offers = [offer("2019-01-01"), offer("2022-01-01"), offer("2024-12-31"), offer("2020-05-05", "sketch")]
    found = collecting.windows(facts, offers)
    assert [(window.given, window.planted) for window in found] == [(2, 1), (4, 2)]


def test_the_scene_that_is_pinned_was_trained_on_and_hangs_together_with_nothing():
    def frame(name: str, scene: int, side: Side = Side.TRAIN, group: str = "") -> ManifestImage:
        fields = {"source": "movie", "movie_id": "mov_1", "scene": f"mov_1:{scene}", "time_seconds": 1.0}
        return picture(name, side, group=group or f"group{scene}", **fields)

    asked = []

    class Recorder:
        def pin_split(self, request):
            asked.append(request)

    images = [frame(f"f{scene}{number}", scene) for scene in (1, 2) for number in range(4 - scene)]
    linked = [
        frame("f30", 3, group="with-4"),
        frame("f31", 3, group="with-4"),
        frame("f40", 4, group="with-4"),
    ]
    held = [frame("f50", 5, Side.VALID), frame("f51", 5, Side.VALID)]
    pinned = decisions.pin(Recorder(), manifest(*images, *linked, *held), "a")
    assert (pinned.scene, pinned.frames) == (2, {"f20", "f21"})
    assert (asked[0].side, asked[0].movie_id, asked[0].scene) == ("valid", "mov_1", 2)
