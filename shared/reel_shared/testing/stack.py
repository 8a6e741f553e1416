"""Pytest fixtures: settings for one test, in this process (``reel``) and for the processes it starts (``env``)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reel_shared.db.engine import dispose
from reel_shared.embedded import Seaweed, Valkey
from reel_shared.object_storage import Storage
from reel_shared.sent import notes
from reel_shared.settings import Settings, settings
from reel_shared.storage import storage

_OURS = ("reel_", "reelsight")


@dataclass
class Reel:
    """The platform's surroundings for one test. ``valkey`` and ``s3`` may be killed and restarted."""

    monkeypatch: pytest.MonkeyPatch
    data_dir: Path
    valkey: Valkey | None = None
    s3: Seaweed | None = None

    @property
    def settings(self) -> Settings:
        return settings()

    @property
    def storage(self) -> Storage:
        return storage()

    @property
    def env(self) -> dict[str, str]:
        """The whole environment for a subprocess."""
        return dict(os.environ)

    def configure(self, **values: object) -> None:
        """Change settings as the environment would: ``configure(jobs__lease_seconds=1)``."""
        for name, value in values.items():
            self.monkeypatch.setenv(f"REEL_{name.upper()}", str(value))
        forget()


@pytest.fixture
def reel_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str) -> Iterator[Reel]:
    """A fresh, migrated database; Redis and storage are addresses where nobody answers."""
    for name in [name for name in os.environ if name.startswith("REEL_")]:
        monkeypatch.delenv(name)
    made = Reel(monkeypatch, tmp_path / "data")
    made.data_dir.mkdir()
    made.configure(
        data_dir=made.data_dir,
        database__url=database_url,
        redis__url="redis://127.0.0.1:1/0",
        s3__endpoint="127.0.0.1:1",
    )
    yield made
    forget()


@pytest.fixture
def reel(reel_database: Reel, valkey: Valkey, redis_url: str, s3: Seaweed, bucket: str) -> Reel:
    """Everything real: database (``databases`` for both kinds), Redis, storage, each empty for this test."""
    reel_database.valkey, reel_database.s3 = valkey, s3
    reel_database.configure(
        redis__url=redis_url,
        s3__endpoint=s3.endpoint,
        s3__access_key=s3.access_key,
        s3__secret_key=s3.secret_key,
        s3__bucket=bucket,
    )
    return reel_database


@pytest.fixture
def env(reel: Reel) -> dict[str, str]:
    """The environment that makes a subprocess use what this test uses."""
    return reel.env


def forget() -> None:
    """Clear every cached accessor of ours (settings, engine, storage, Celery), so that it reads settings anew."""
    notes.write()  # while the settings are those of the database that it is about
    dispose()
    for name, module in list(sys.modules.items()):
        if not name.startswith(_OURS) or module is None:
            continue
        for value in list(vars(module).values()):
            clear = getattr(value, "cache_clear", None)
            if callable(clear) and getattr(value, "__module__", "").startswith(_OURS):
                clear()
