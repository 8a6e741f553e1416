"""``reel pictures copies``: JSON for scripts, a table for people, and no platform."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from reelsight.commands import console
from reelsight.main import app


def copies(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["pictures", "copies", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes that share a picture, one copy within a class, and a file that is none."""
    for path, seed, side in (("kiki/a.png", 1, 300), ("mulan/[b].png", 1, 200), ("mulan/c.png", 2, 300)):
        coarse = np.random.default_rng(seed).integers(40, 216, (6, 6, 3), dtype=np.uint8)
        place = tmp_path / path
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)).save(place)
    (tmp_path / "mulan" / "d.png").write_bytes((tmp_path / "mulan" / "c.png").read_bytes())
    (tmp_path / "mulan" / "notes.jpg").write_text("words")
    return tmp_path


def test_json(folder: Path) -> None:
    done = copies(folder, "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    bits = answer["groups"][0]["files"][1]["bits"]
    assert 0 <= bits <= 6

    def file(path: str, kind: str, side: int, bits: int = 0) -> dict[str, object]:
        place = folder / path
        return {
            "path": str(place), "class": place.parent.name, "width": side, "height": side,
            "bytes": place.stat().st_size, "kind": kind, "bits": bits, "bars": False,
        }  # fmt: skip

    assert answer == {
        "pictures": 4,
        "distance": 6,
        "exact_copies": 1,
        "near_copies": 1,
        "conflicts": 1,
        "groups": [
            {
                "conflict": True,
                "classes": ["kiki", "mulan"],
                "keep": str(folder / "kiki/a.png"),
                "files": [file("kiki/a.png", "kept", 300), file("mulan/[b].png", "near", 200, bits)],
            },
            {
                "conflict": False,
                "classes": ["mulan"],
                "keep": str(folder / "mulan/c.png"),
                "files": [file("mulan/c.png", "kept", 300), file("mulan/d.png", "exact", 300)],
            },
        ],
        "skipped": {"not-a-picture": 1},
        "skipped_files": [{"path": str(folder / "mulan/notes.jpg"), "reason": "not-a-picture"}],
    }


def test_people_read_a_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "wants_json", lambda flag: flag)
    done = copies(folder)
    assert done.exit_code == 0, done.output
    words = " ".join(done.stdout.split())
    assert "1 conflict kept kiki 300 x 300" in words
    assert "[b].png" in "".join(done.stdout.split())
    assert "Skipped, not-a-picture: 1" in words
    assert "4 pictures: 1 exact and 1 near copies in 2 groups, 1 of them across classes." in words


def test_an_empty_folder_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "wants_json", lambda flag: flag)
    done = copies(tmp_path)
    assert done.exit_code == 0
    assert " ".join(done.stdout.split()).startswith("Nothing to look at: no file lies in")


def test_a_folder_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    assert copies(tmp_path / "nowhere").exit_code == 2
