"""Counting what cleaning found against what was planted."""

from __future__ import annotations

import pytest

from reelsight.demo.cleaning import compare, compare_decisions, compare_doubts
from reelsight.studio.gallery import Offer

FACTS = {
    "style": "fanart", "title": "t", "characters": (), "creator": "c", "made_on": "2021-03-04", "licence": "by",
    "licence_version": "4.0", "filetype": "jpg", "filesize": 1, "width": 9, "height": 9,
}  # fmt: skip


def offer(name, fate, *, label="a", of=""):
    return Offer(id=name, label=label, truth="a", of=of, file=f"{label}/{name}.jpg", fate=fate, **FACTS)


OFFERS = [
    offer("one", "kept"),
    offer("copy", "near-duplicate", of="one"),
    offer("two", "kept"),
    offer("also", "conflict", label="b", of="two"),
    offer("soft", "blurred"),
    offer("three", "kept"),
]


def image(name, state="active", *, label="a", reason="", of=None):
    return {
        "id": f"img-{name}",
        "label": label,
        "url": f"http://127.0.0.1:1/media/{label}/{name}.jpg",
        "state": state,
        "state_reason": reason,
        "duplicate_of": of and f"img-{of}",
    }


GOOD = {
    "one": image("one"),
    "copy": image("copy", "duplicate", of="one"),
    "two": image("two", "quarantined", reason="conflict"),
    "also": image("also", "quarantined", label="b", reason="conflict", of="two"),
    "soft": image("soft", "rejected", reason="blurred"),
    "three": image("three"),
}


def test_everything_found_is_all_right():
    found = compare(GOOD.values(), OFFERS)
    for part in (found.duplicates, found.conflicts, found.rejected):
        assert (part.recall, part.precision) == (1.0, 1.0)
    assert [f.planted for f in (found.duplicates, found.conflicts, found.rejected)] == [1, 2, 1]
    assert found.states == {"active": 2, "duplicate": 1, "quarantined": 2, "rejected": 1}


def test_either_of_a_pair_may_stay():
    swapped = GOOD | {"one": image("one", "duplicate", of="copy"), "copy": image("copy")}
    assert compare(swapped.values(), OFFERS).duplicates.right == 1


@pytest.mark.parametrize(
    ("changed", "part", "expected"),
    [
        ({"copy": image("copy")}, "duplicates", (0, 0)),
        ({"three": image("three", "duplicate", of="one")}, "duplicates", (1, 1)),
        ({"copy": image("copy", "duplicate", of="three")}, "duplicates", (0, 1)),
        ({"also": image("also", label="b")}, "conflicts", (1, 0)),
        ({"three": image("three", "quarantined", reason="conflict")}, "conflicts", (2, 1)),
        ({"soft": image("soft", "rejected", reason="dark")}, "rejected", (1, 0)),
        ({"three": image("three", "rejected", reason="blurred")}, "rejected", (1, 1)),
    ],
)
def test_what_is_missed_or_wrong_shows(changed, part, expected):
    found = getattr(compare((GOOD | changed).values(), OFFERS), part)
    assert (found.right, found.wrong) == expected


def test_a_doubt_counts_when_the_picture_is_filed_wrongly():
    offers = [*OFFERS, Offer(id="w", label="b", truth="a", of="", file="b/w.jpg", fate="kept", **FACTS)]
    images = [*GOOD.values(), image("w", label="b")]
    doubts = [{"id": "img-w", "suggested": "a"}, {"id": "img-one", "suggested": "b"}]
    found = compare_doubts(doubts, images, offers)
    assert (found.planted, found.right, found.wrong) == (1, 1, 1)
    assert compare_doubts([{"id": "img-one", "suggested": "a"}], images, offers).right == 0


def test_a_conflict_is_decided_when_the_true_label_stands_alone():
    decided = GOOD | {"two": image("two"), "also": image("also", "duplicate", label="b", of="two")}
    found = compare_decisions(decided.values(), OFFERS)
    assert (found.planted, found.right, found.wrong) == (1, 1, 0)
    other = GOOD | {"two": image("two", "duplicate", of="also"), "also": image("also", label="b")}
    assert (
        compare_decisions(other.values(), OFFERS).right,
        compare_decisions(other.values(), OFFERS).wrong,
    ) == (0, 1)
    assert compare_decisions(GOOD.values(), OFFERS).right == 0
