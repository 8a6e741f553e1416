"""The leak certificate says what a naive loop over all pairs says, and stands and falls with its manifest."""

from __future__ import annotations

import json
import random
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reel_shared.certificate import LeakCertificate, to_bytes, verify, why_uncertified
from reel_shared.contracts import BuildDatasetVersionRequest
from reel_shared.errors import Corrupt
from reel_shared.manifest import Manifest, ManifestImage, Side, identity
from reel_trainer.leaks import WORST, certify

ALL_BUT_THE_HIGHEST = 2**63 - 1


def picture(name: str, side: Side = Side.TRAIN, **changes: Any) -> ManifestImage:
    code = random.Random(name).getrandbits(64)
    facts = {
        "id": name, "key": f"images/{name}", "sha256": f"{code:064x}", "label": "kiki", "source": "web",
        "phash": f"{code:016x}", "width": 64, "height": 64, "split": side,
    }  # fmt: skip
    return ManifestImage.model_validate(facts | changes)


def manifest(*images: ManifestImage, **request: Any) -> Manifest:
    wanted = BuildDatasetVersionRequest(**request)
    return Manifest(dataset="d", classes=["kiki"], request=wanted, images=list(images))


def bits(one: ManifestImage, other: ManifestImage, *, negative: bool = False) -> int:
    """The definition: all bits but the highest turned over and one forgiven; the nearer with bars or without."""
    found = []
    for a, b in product((one.phash, one.phash_with_bars), (other.phash, other.phash_with_bars)):
        if a and b:
            apart = int(a, 16) ^ int(b, 16)
            found.append(
                max(0, (apart ^ ALL_BUT_THE_HIGHEST).bit_count() - 1) if negative else apart.bit_count()
            )
    return min(found)


def seconds(one: ManifestImage, other: ManifestImage) -> float | None:
    if one.movie_id is None or one.movie_id != other.movie_id:
        return None
    assert one.time_seconds is not None
    assert other.time_seconds is not None
    return abs(one.time_seconds - other.time_seconds)


@st.composite
def divided(draw: st.DrawFn) -> Manifest:
    """Pictures on any side, leaks too; few codes around each other and around a negative, some with bars."""
    images = []
    codes = st.builds(
        lambda centre, turned, noise: (
            f"{centre * 0x0123456789ABCDEF ^ turned * ALL_BUT_THE_HIGHEST ^ noise:016x}"
        ),
        st.integers(0, 3),
        st.booleans(),
        st.integers(0, 2**12) | st.just(2**63),
    )
    for number in range(draw(st.integers(2, 24))):
        side = draw(st.sampled_from([Side.TRAIN, Side.TRAIN, Side.VALID, Side.PROBE, Side.EXCLUDED]))
        film = draw(st.sampled_from([None, "mov_1", "mov_2"]))
        facts: dict[str, Any] = {"phash": draw(codes), "probe": "apart" if side == Side.PROBE else ""}
        if film is None:
            facts["phash_with_bars"] = draw(st.none() | codes)
        else:
            facts |= {"movie_id": film, "time_seconds": draw(st.integers(0, 400)) / 10, "source": "movie"}
        images.append(picture(f"i{number}", side, **facts))
    return manifest(*images, near_distance=draw(st.integers(0, 8)))


@settings(max_examples=80, deadline=None)
@given(divided())
def test_neighbours_and_counts_equal_the_naive_loop(made: Manifest) -> None:
    found = certify(made)
    train, held = made.on(Side.TRAIN), [*made.on(Side.VALID), *made.on(Side.PROBE)]
    by_id = {image.id: image for image in made.images}
    assert [row.id for row in found.neighbours] == sorted(image.id for image in held)
    for row in found.neighbours:
        one = by_id[row.id]
        assert row.side == ("valid" if one.split == Side.VALID else "probe:apart")
        for near, negative in ((row.hash, False), (row.inverted, True)):
            least = min((bits(one, other, negative=negative) for other in train), default=None)
            assert (near and near.bits) == least
            assert near is None or bits(one, by_id[near.id], negative=negative) == least
        times = [apart for other in train if (apart := seconds(one, other)) is not None]
        assert (row.time and row.time.seconds) == min(times, default=None)
        assert row.time is None or seconds(one, by_id[row.time.id]) == min(times)
    pairs = list(product(held, train))
    limit, summary = made.request.near_distance, found.summary
    assert summary.near_duplicates_across == sum(bits(*pair) <= limit for pair in pairs)
    assert summary.inverted_near_duplicates_across == sum(
        bits(*pair, negative=True) <= limit for pair in pairs
    )
    too_near = {one.id for one, other in pairs if (apart := seconds(one, other)) is not None and apart < 2}
    assert summary.too_near_in_time == len(too_near)
    if summary.near_duplicates_across or summary.inverted_near_duplicates_across:
        assert summary.groups_across > 0


@settings(max_examples=40, deadline=None)
@given(divided())
def test_the_worst_pairs_are_the_worst(made: Manifest) -> None:
    found = certify(made)
    by_id = {image.id: image for image in made.images}
    near = [row.hash.bits for row in found.neighbours if row.hash]
    near += [row.inverted.bits for row in found.neighbours if row.inverted]
    assert [pair.bits for pair in found.worst_by_hash] == sorted(near)[:WORST]
    times = sorted(row.time.seconds for row in found.neighbours if row.time)
    assert [pair.seconds for pair in found.worst_by_time] == times[:WORST]
    for pair in (*found.worst_by_hash, *found.worst_by_time):
        one, other = by_id[pair.held_out], by_id[pair.train]
        assert pair.bits == bits(one, other, negative=pair.inverted)
        assert pair.seconds == seconds(one, other)
        assert other.split == Side.TRAIN


def test_the_lists_of_worst_pairs_end() -> None:
    images = [picture(f"v{n}", Side.VALID, movie_id="m", time_seconds=n * 10.0) for n in range(40)]
    images += [picture(f"t{n}", movie_id="m", time_seconds=n * 10.0 + 5 - n / 100) for n in range(40)]
    found = certify(manifest(*images))
    assert len(found.neighbours) == 40
    assert len(found.worst_by_hash) == len(found.worst_by_time) == WORST
    assert found.worst_by_time[0].held_out == "v39"


def test_a_group_that_meets_through_an_excluded_picture_is_found() -> None:
    """Neither pair across is near, but both hang together with a picture that takes no part."""
    code = 0x0123456789ABCDEF
    ends = [
        picture("a", phash=f"{code:016x}"),
        picture("c", Side.VALID, phash=f"{code ^ 0b111111_111111:016x}"),
    ]
    assert certify(manifest(*ends)).certified
    between = picture("b", Side.EXCLUDED, phash=f"{code ^ 0b111111:016x}", reason="near-in-time")
    found = certify(manifest(*ends, between)).summary
    assert (found.groups_across, found.near_duplicates_across, found.certified) == (1, 0, False)
    assert "share 1 connected group(s)" in why_uncertified(found)


def test_what_ingest_calls_a_negative_is_a_leak() -> None:
    """The 63 lower bits turned over, one more of them forgiven: further away for whoever turns all 64."""
    one = picture("a")
    for changed, leaks in ((0, True), (7, True), (8, False)):
        code = int(one.phash, 16) ^ ALL_BUT_THE_HIGHEST ^ (2**changed - 1)
        found = certify(manifest(one, picture("b", Side.VALID, phash=f"{code:016x}"))).summary
        assert (found.inverted_near_duplicates_across, found.certified) == (int(leaks), not leaks)
        assert found.nearest_inverted_across == max(0, changed - 1)


def test_a_copy_with_bars_is_a_leak() -> None:
    one = picture("a")
    barred = picture("b", Side.VALID, phash_with_bars=f"{int(one.phash, 16) ^ 1:016x}")
    found = certify(manifest(one, barred))
    assert (found.summary.near_duplicates_across, found.summary.groups_across) == (1, 1)
    assert found.neighbours[0].hash is not None
    assert found.neighbours[0].hash.bits == found.worst_by_hash[0].bits == 1
    assert certify(manifest(one, barred.model_copy(update={"phash_with_bars": None}))).certified


@pytest.fixture
def certified() -> tuple[LeakCertificate, Manifest]:
    made = manifest(*(picture(f"i{n}", Side.VALID if n % 3 else Side.TRAIN) for n in range(9)))
    return certify(made), made


def test_a_certificate_comes_back_as_it_was(certified) -> None:
    found, made = certified
    data = to_bytes(found)
    assert verify(data, manifest_sha256=identity(made)) == found
    assert to_bytes(verify(data, manifest_sha256=identity(made))) == data


def test_every_changed_byte_is_noticed(certified) -> None:
    found, made = certified
    data = to_bytes(found)
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(Corrupt):
            verify(changed, manifest_sha256=identity(made))


def test_a_certificate_is_of_one_manifest_alone(certified) -> None:
    found, made = certified
    other = made.model_copy(update={"dataset": "other"})
    with pytest.raises(Corrupt, match="is of another manifest"):
        verify(to_bytes(found), manifest_sha256=identity(other))


def test_what_is_signed_by_somebody_else_must_still_be_a_certificate(certified) -> None:
    found, made = certified
    content = json.loads(to_bytes(found))
    for broken in (b"", b"[]", b"\xff", json.dumps({"sha256": content["sha256"]}).encode()):
        with pytest.raises(Corrupt):
            verify(broken, manifest_sha256=identity(made))
