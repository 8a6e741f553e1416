"""``reel films add``: which class a film's folder gives it, and what is said of jobs that are not waited for."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelsight.commands import console
from reelsight.commands.films import class_of
from reelsight.commands.following import announce


def test_a_films_class_is_the_folder_that_it_is_named_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, kiki = tmp_path / "store", tmp_path / "films" / "kiki"
    store.mkdir()
    kiki.mkdir(parents=True)
    (store / "a.mp4").touch()
    (kiki / "a.mp4").symlink_to(store / "a.mp4")
    (tmp_path / "mulan").symlink_to(store)
    assert class_of(kiki / "a.mp4") == "kiki"
    assert class_of(tmp_path / "mulan" / "a.mp4") == "mulan"
    assert class_of(kiki / ".." / ".." / "store" / "a.mp4") == "store"
    monkeypatch.chdir(kiki)
    assert class_of(Path("a.mp4")) == "kiki"


def test_what_is_not_waited_for_says_how_to_watch_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "wants_json", lambda _as_json: False)
    announce({"kiki/a.mp4": {"id": "job_1"}, "mulan/b.mp4": {"id": "job_2"}}, as_json=False)
    said = capsys.readouterr()
    assert said.out.split() == ["kiki/a.mp4", "job_1", "mulan/b.mp4", "job_2"]
    assert "reel jobs watch job_1" in said.err
    announce({}, as_json=False)
    assert capsys.readouterr() == ("", "")
