"""The commit of a checkout, read without git and held against git's own word."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from reel_shared import software
from reel_shared.software import UNKNOWN, commit_of


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    made = tmp_path / "checkout"
    made.mkdir()
    git(made, "init", "-b", "main")
    git(made, "commit", "--allow-empty", "-m", "one")
    return made


def test_every_way_git_keeps_it_is_read(checkout: Path) -> None:
    wanted = git(checkout, "rev-parse", "HEAD")
    assert commit_of(checkout) == wanted
    git(checkout, "pack-refs", "--all")
    assert not (checkout / ".git/refs/heads/main").exists()
    assert commit_of(checkout) == wanted
    git(checkout, "checkout", "--detach")
    assert commit_of(checkout) == wanted


def test_a_work_tree_beside_the_first_is_read(checkout: Path) -> None:
    beside = checkout.parent / "beside"
    git(checkout, "worktree", "add", "-b", "other", str(beside))
    git(beside, "commit", "--allow-empty", "-m", "two")
    assert commit_of(beside) == git(beside, "rev-parse", "HEAD") != commit_of(checkout)


def test_what_cannot_be_told_is_unknown(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == UNKNOWN
    (tmp_path / ".git").mkdir()
    for head in ("", "ref: refs/heads/none", "../../etc/passwd", "ref: HEAD"):
        (tmp_path / ".git/HEAD").write_text(head)
        assert commit_of(tmp_path) == UNKNOWN
    assert software.software("no-such-package").version == UNKNOWN


def test_this_checkout_is_told() -> None:
    root = Path(__file__).resolve().parents[2]
    assert software.software().commit == commit_of(root)
    assert software.software("reel-shared").version != UNKNOWN
