"""``reel films add``: which class a film's folder gives it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelsight.commands.films import class_of


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
