"""The manifest: equal content gives equal bytes, and nothing altered or incomplete is accepted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from reel_shared.contracts import BuildDatasetVersionRequest
from reel_shared.errors import Corrupt
from reel_shared.manifest import Manifest, ManifestImage, Side, identity, load, to_bytes


def picture(number: int, **changes: Any) -> ManifestImage:
    facts = {
        "id": f"img_{number}",
        "key": f"images/aa/{number:064x}.jpg",
        "sha256": f"{number:064x}",
        "label": "tarzan",
        "source": "movie",
        "phash": f"{number:016x}",
        "width": 700,
        "height": 400,
        "split": "train",
    }
    return ManifestImage.model_validate(facts | changes)


def manifest(*images: ManifestImage) -> Manifest:
    return Manifest(
        dataset="d", classes=["tarzan"], request=BuildDatasetVersionRequest(), images=list(images)
    )


def test_identity_is_of_the_content_not_of_the_order() -> None:
    one, two = picture(1), picture(2, split="valid", scene="mov_1:4")
    assert identity(manifest(one, two)) == identity(manifest(two, one))
    assert identity(manifest(one, two)) != identity(manifest(one, picture(2, split="train", scene="mov_1:4")))


def test_round_trip_and_tampering() -> None:
    whole = manifest(picture(1), picture(2, split="valid"))
    data = to_bytes(whole)
    assert load(data, sha256=identity(whole)) == whole
    with pytest.raises(Corrupt, match="does not match its hash"):
        load(data.replace(b'"valid"', b'"train"'), sha256=identity(whole))
    with pytest.raises(Corrupt, match="not the canonical"):
        load(json.dumps(json.loads(data)).encode())
    with pytest.raises(Corrupt, match="cannot be read"):
        load(b"{}")


def test_a_manifest_from_before_a_field_keeps_its_bytes_and_its_hash() -> None:
    """Dates, time stamps and hashes with bars came later; without them nothing is written in their place."""
    old = manifest(picture(1), picture(2, source="web", page_url="https://example.org/", licence="CC0"))
    data = to_bytes(old)
    assert not {b"pts", b"taken_at", b"phash_with_bars"} & set(data.replace(b'"', b" ").split())
    read = load(data, sha256=identity(old))
    assert (read, identity(read), to_bytes(read)) == (old, identity(old), data)
    new = {"pts": -1024, "taken_at": "2020-05-06T09:08:09.5+02:00", "phash_with_bars": "f" * 16}
    whole = manifest(picture(1, **new), picture(2))
    again = load(to_bytes(whole), sha256=identity(whole))
    assert again == whole
    assert again.images[0].taken_at == datetime(2020, 5, 6, 7, 8, 9, 500_000, tzinfo=UTC)


def test_counts_by_split_source_class() -> None:
    whole = manifest(picture(1), picture(2, source="web"), picture(3, split="valid"), picture(4))
    assert whole.counts() == {
        "train": {"movie": {"tarzan": 2}, "web": {"tarzan": 1}},
        "valid": {"movie": {"tarzan": 1}},
    }
    assert [image.id for image in whole.on(Side.VALID)] == ["img_3"]


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        ([picture(1), picture(1)], "same id"),
        ([picture(1, label="mulan")], "no class"),
        ([picture(1), picture(2, variant="log", parent_id="img_9")], "not listed"),
    ],
)
def test_incomplete_manifests_are_refused(images: list[ManifestImage], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        manifest(*images)


def test_exactly_variants_have_parents() -> None:
    with pytest.raises(ValidationError, match="exactly the variants"):
        picture(1, variant="log")
    with pytest.raises(ValidationError, match="exactly the variants"):
        picture(1, parent_id="img_2")
