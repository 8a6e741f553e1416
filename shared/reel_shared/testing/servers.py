"""Pytest fixtures: the real servers, started once per run, and a fresh corner of each for every test."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from reel_shared.db.engine import dispose
from reel_shared.db.migrate import migrate
from reel_shared.embedded import Seaweed, Valkey
from reel_shared.embedded.postgres import Postgres
from reel_shared.embedded.valkey import DATABASES
from reel_shared.s3 import connect
from reel_shared.settings import settings

_TEMPLATE = "reel_template"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """A folder that every user may enter: PostgreSQL runs as nobody when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="reel-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _valkey(servers_dir: Path) -> Iterator[Valkey]:
    with Valkey(servers_dir / "valkey") as server:
        yield server


@pytest.fixture(scope="session")
def _s3(servers_dir: Path) -> Iterator[Seaweed]:
    with Seaweed(servers_dir / "s3", bucket="reel-test-*") as server:
        yield server


@pytest.fixture(scope="session")
def _postgres(servers_dir: Path) -> Iterator[Postgres]:
    with Postgres(servers_dir / "postgres") as server:
        server.create_database(_TEMPLATE)
        _migrate(server.url_of(_TEMPLATE))
        yield server


@pytest.fixture(scope="session")
def _migrated_sqlite(servers_dir: Path) -> Path:
    path = servers_dir / "migrated.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def valkey(_valkey: Valkey) -> Valkey:
    """The run's Valkey, running; a test may kill and restart it."""
    _valkey.start()
    return _valkey


@pytest.fixture
def s3(_s3: Seaweed) -> Seaweed:
    """The run's S3 server, running; a test may kill and restart it."""
    _s3.start()
    return _s3


@pytest.fixture
def postgres(_postgres: Postgres) -> Postgres:
    """The run's PostgreSQL, running; a test may kill and restart it."""
    _postgres.start()
    return _postgres


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """One numbered database of the Valkey server, empty."""
    url = valkey.url_of(next(_numbers) % DATABASES)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def bucket(s3: Seaweed) -> Iterator[str]:
    """An empty bucket, deleted with its content after the test."""
    name = f"reel-test-{next(_numbers)}"
    connect(s3.settings(name), s3.endpoint).make_bucket(name)
    yield name
    s3.start()
    connect(s3.settings(name), s3.endpoint).remove_bucket(name)


@pytest.fixture
def sqlite_url(_migrated_sqlite: Path, tmp_path: Path) -> str:
    """A fresh SQLite database with the newest schema."""
    path = tmp_path / "reelsight.db"
    shutil.copyfile(_migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """A fresh PostgreSQL database with the newest schema, dropped after the test."""
    name = f"test_{next(_numbers)}"
    yield postgres.create_database(name, template=_TEMPLATE)
    postgres.start()
    postgres.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest) -> str:
    """Run the test twice: the URL of a fresh SQLite, then of a fresh PostgreSQL database."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """What ``reel`` uses: the URL of ``databases`` where the test asks for that, else a fresh SQLite."""
    url: str = request.getfixturevalue("databases" if "databases" in request.fixturenames else "sqlite_url")
    return url


def _migrate(url: str) -> None:
    with_environment({"REEL_DATABASE__URL": url}, migrate)


def with_environment(changes: dict[str, str], action: Callable[[], object]) -> None:
    """Run ``action`` under changed settings and put everything back."""
    before = dict(os.environ)
    os.environ.update(changes)
    settings.cache_clear()
    try:
        action()
    finally:
        dispose()
        os.environ.clear()
        os.environ.update(before)
        settings.cache_clear()
