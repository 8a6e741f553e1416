"""Planted copies of every kind are found and different pictures are not; odd files are skipped by their reason."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from reel_ingest import copies
from reel_ingest.copies import Seen, Skipped, grouped, look, places


def scene(seed: int, size: tuple[int, int] = (360, 240)) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(40, 216, (6, 9, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))


def save(path: Path, image: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path


def found(*folders: Path, threads: int = 2) -> tuple[list[Seen], list[Skipped]]:
    looked = list(look(places(folders), threads=threads))
    return [e for e in looked if isinstance(e, Seen)], [e for e in looked if isinstance(e, Skipped)]


def names(group: copies.Group) -> dict[str, str]:
    return {member.seen.place.path.name: member.kind for member in group.members}


@pytest.fixture
def kiki(tmp_path: Path) -> Path:
    """A class of twelve different pictures and four copies of the first."""
    folder = tmp_path / "drawings" / "kiki"
    for seed in range(12):
        save(folder / f"{seed:02}.jpg", scene(seed), quality=92)
    (folder / "exact.jpg").write_bytes((folder / "00.jpg").read_bytes())
    save(folder / "near.png", scene(0, (180, 120)))
    save(folder / "negative.jpg", 255 - scene(0))
    barred = cv2.copyMakeBorder(scene(0), 50, 50, 0, 0, cv2.BORDER_CONSTANT)
    save(folder / "bars.jpg", barred, quality=80)
    return folder


@pytest.mark.parametrize("threads", [1, 3])
def test_every_kind_of_copy_is_found_and_nothing_else(kiki: Path, threads: int) -> None:
    pictures, skipped = found(kiki.parent, threads=threads)
    assert len(pictures) == 16
    assert not skipped
    [group] = grouped(pictures, distance=6)
    assert names(group) == {
        "00.jpg": "kept", "exact.jpg": "exact", "near.png": "near", "negative.jpg": "negative", "bars.jpg": "near",
    }  # fmt: skip
    assert not group.conflict
    assert all(member.bits <= 6 for member in group.members)
    assert [member.seen.place.path.name for member in group.members if member.seen.phash_with_bars] == [
        "bars.jpg"
    ]


def test_the_picture_with_most_pixels_is_kept_and_bars_are_none(tmp_path: Path) -> None:
    save(tmp_path / "small.png", scene(1, (180, 120)))
    save(tmp_path / "large.png", scene(1, (720, 480)))
    save(tmp_path / "barred.png", cv2.copyMakeBorder(scene(1), 200, 200, 0, 0, cv2.BORDER_CONSTANT))
    [group] = grouped(found(tmp_path)[0], distance=6)
    assert [member.seen.place.path.name for member in group.members] == [
        "large.png",
        "barred.png",
        "small.png",
    ]


def test_copies_across_classes_come_first(kiki: Path) -> None:
    save(kiki.parent / "mulan" / "deeper" / "other.jpg", scene(5, (300, 200)))
    groups = grouped(found(kiki.parent)[0], distance=6)
    assert [group.conflict for group in groups] == [True, False]
    assert groups[0].labels == ["kiki", "mulan"]
    assert names(groups[0]) == {"05.jpg": "kept", "other.jpg": "near"}


def test_folders_given_one_by_one_are_classes_and_a_file_counts_once(kiki: Path) -> None:
    save(kiki.parent / "mulan" / "other.jpg", scene(5, (300, 200)))
    pictures, _ = found(kiki, kiki.parent / "mulan", kiki.parent)
    assert len(pictures) == 17
    assert {picture.place.label for picture in pictures} == {"kiki", "mulan"}


def test_with_no_distance_only_equal_hashes_are_copies(kiki: Path) -> None:
    (kiki / "near.png").unlink()
    (kiki / "bars.jpg").unlink()
    (kiki / "negative.jpg").unlink()
    [group] = grouped(found(kiki)[0], distance=0)
    assert names(group) == {"00.jpg": "kept", "exact.jpg": "exact"}


def test_what_is_no_picture_is_skipped_by_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "good.jpg", scene(1))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "good.jpg").read_bytes()[:2000])
    (tmp_path / "words.jpg").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    save(tmp_path / "huge.png", np.zeros((7000, 7000), np.uint8))
    (tmp_path / "heavy.jpg").write_bytes(bytes(300_000))
    monkeypatch.setattr(copies, "MAX_BYTES", 250_000)
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "circle").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    pictures, skipped = found(tmp_path)
    assert [picture.place.path.name for picture in pictures] == ["good.jpg"]
    assert {each.path.name: each.reason for each in skipped} == {
        "cut.jpg": "truncated", "words.jpg": "not-a-picture", "empty.jpg": "empty", "huge.png": "too-many-pixels",
        "heavy.jpg": "too-many-bytes", "loop.jpg": "unreadable", "gone.jpg": "unreadable", "circle": "linked-folder",
        "pipe.jpg": "not-a-file",
    }  # fmt: skip


def test_what_may_not_be_read_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.jpg", scene(1))
    save(tmp_path / "shut" / "b.jpg", scene(2))
    # Who runs the tests as root may read everything.
    reads, scans = Path.read_bytes, os.scandir

    def deny(path, *arguments, of, name):
        if Path(path).name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return of(path, *arguments)

    monkeypatch.setattr(Path, "read_bytes", lambda path: deny(path, of=reads, name="a.jpg"))
    monkeypatch.setattr(os, "scandir", lambda path: deny(path, of=scans, name="shut"))
    pictures, skipped = found(tmp_path)
    assert not pictures
    assert {each.path.name: each.reason for each in skipped} == {"a.jpg": "unreadable", "shut": "unreadable"}


def test_a_linked_file_is_a_copy_of_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to(save(tmp_path / "a.jpg", scene(1)))
    [group] = grouped(found(tmp_path)[0], distance=6)
    assert sorted(names(group).values()) == ["exact", "kept"]
