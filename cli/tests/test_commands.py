"""The commands as a shell sees them: what is printed where, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reel_shared.contracts import Counts, ImportDatasetResult
from reelsight.commands import datasets

REEL = [sys.executable, "-m", "reelsight.main"]


def reel(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*REEL, *arguments], cwd=folder, capture_output=True, text=True, timeout=60)


def test_without_a_platform_a_command_says_how_to_start_one(tmp_path: Path) -> None:
    done = reel("jobs", "list", folder=tmp_path)
    assert done.returncode == 3
    assert "reel up" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_platform_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"x")
    done = reel("predict", str(picture), "--url", "http://127.0.0.1:1", "--token", "x", folder=tmp_path)
    assert done.returncode == 3
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_picture_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    done = reel("predict", "nowhere.jpg", folder=tmp_path)
    assert done.returncode == 2
    assert "nowhere.jpg" in done.stderr


def test_doctor_prints_json_when_piped_and_names_each_part(tmp_path: Path) -> None:
    done = reel("doctor", folder=tmp_path)
    findings = {finding["part"]: finding for finding in json.loads(done.stdout)}
    assert {"python", "disk", "memory", "torch", "av", "platform"} <= findings.keys()
    assert (done.returncode == 0) == all(finding["good"] for finding in findings.values())


def test_the_light_commands_import_neither_torch_nor_the_servers() -> None:
    code = "import sys, reelsight.main; print([m for m in ('torch', 'cv2', 'av', 'sqlalchemy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_what_is_neither_zip_nor_folder_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    done = reel(
        "dataset",
        "import",
        "a.txt",
        "--dataset",
        "d",
        "--url",
        "http://127.0.0.1:1",
        "--token",
        "x",
        folder=tmp_path,
    )
    assert (done.returncode, done.stderr.strip()) == (
        2,
        "reel: a.txt is no zip archive; give a zip or a folder.",
    )


def test_an_import_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    counts = Counts(seen=9, kept=6, near_duplicates=1, rejected={"dark": 1}, refused={"not-a-picture": 1})
    result = ImportDatasetResult(
        own_export=True, collection_id="col_1", movie_ids=[], counts=counts, classes={"kiki": 4, "mulan": 2},
        sides={"": 1, "train": 3, "valid": 2}, pins=5, variants_left_out=12, renamed={"kiki": "Kiki"},
        notes=["[x] was left out."],
    )  # fmt: skip
    datasets.show_import(result.model_dump(mode="json"))
    lines = " ".join(capsys.readouterr().out.split())
    assert "kiki 4 mulan 2" in lines
    assert "9 seen, 6 kept, 1 copies, 0 conflicts; rejected: 1 dark; refused: 1 not-a-picture." in lines
    assert "Sides: 1 on no side, 3 train, 2 valid, held by 5 pins." in lines
    assert "12 variants were left out" in lines
    assert "The class 'Kiki' is called kiki here. [x] was left out." in lines
