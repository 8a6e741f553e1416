"""The surroundings that benchmarks of services need: real servers, a migrated database, a bucket, a key, a model.

`with Surroundings(folder) as here:` changes this process's settings too; children get `here.env`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Self

import httpx

from reel_shared.db.engine import dispose, transaction
from reel_shared.db.migrate import migrate
from reel_shared.embedded import Seaweed, Valkey
from reel_shared.embedded.postgres import Postgres
from reel_shared.security import create_key
from reel_shared.settings import settings
from reel_shared.storage import storage
from reel_shared.testing.registry import add_model

PYTHON = sys.executable


class Surroundings:
    """Valkey, SeaweedFS and SQLite (or PostgreSQL) in a folder that every user may enter."""

    def __init__(self, folder: Path, *, postgresql: bool = False) -> None:
        self.folder = folder
        self.valkey = Valkey(folder / "valkey")
        self.s3 = Seaweed(folder / "s3")
        self.postgres = Postgres(folder / "postgres") if postgresql else None
        self.env: dict[str, str] = {}
        self.key = ""

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        for server in self._servers():
            server.start()
        self.configure(f"sqlite:///{self.folder / 'reelsight.sqlite'}")
        if self.postgres is not None:
            self.configure(self.postgres.create_database("reelsight"))
        return self

    def __exit__(self, *_: object) -> None:
        dispose()
        for server in self._servers():
            server.close()

    def _servers(self) -> list[Valkey | Seaweed | Postgres]:
        return [self.valkey, self.s3, *([self.postgres] if self.postgres else [])]

    def configure(self, database: str) -> None:
        """Use this database from here on; it gets its schema, and a key."""
        s3 = self.s3.settings()
        ours = {
            "REEL_DATA_DIR": str(self.folder / "data"),
            "REEL_DATABASE__URL": database,
            "REEL_REDIS__URL": self.valkey.url,
            "REEL_S3__ENDPOINT": s3.endpoint,
            "REEL_S3__ACCESS_KEY": s3.access_key,
            "REEL_S3__SECRET_KEY": s3.secret_key.get_secret_value(),
            "REEL_S3__BUCKET": s3.bucket,
            # one key asks as fast as it can
            "REEL_RATES__KEY__READS_PER_MINUTE": "0",
            "REEL_RATES__KEY__WRITES_PER_MINUTE": "0",
        }
        for name in [name for name in os.environ if name.startswith("REEL_")]:
            del os.environ[name]
        os.environ.update(ours)
        settings.cache_clear()
        storage.cache_clear()
        dispose()
        self.env = dict(os.environ)
        migrate()
        storage().ensure_bucket()
        with transaction() as session:
            _, self.key = create_key(session, "benchmark", ["submit", "read"])

    def publish(self, folder: Path) -> None:
        """Register the model of a folder and let it be the active one, as the trainer does."""
        card = json.loads((folder / "model.json").read_text())
        files = {
            file.name: storage().put_file("models", file, "application/octet-stream").model_dump()
            for file in sorted(folder.iterdir())
        }
        with transaction() as session:
            add_model(session, card, files, version_id=card["dataset_version_id"])


class Child:
    """A process with all that it starts; its output goes to a file. It ends when the block does."""

    def __init__(
        self,
        command: list[str],
        *,
        env: dict[str, str],
        log: Path,
        core: int | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        pinned = ["taskset", "-c", str(core)] if core is not None else []
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [*pinned, *command], env=env, stdout=out, stderr=out, start_new_session=True, cwd=cwd
            )

    def wait_ready(self, url: str, seconds: float = 90.0) -> float:
        """Return the seconds until ``url`` answers 200. Raises RuntimeError with the log's end."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if self.process.poll() is not None:
                break
            try:
                if httpx.get(url, timeout=2).status_code == 200:
                    return time.monotonic() - began
            except httpx.HTTPError:
                pass
            time.sleep(0.02)
        raise RuntimeError(f"{url} did not answer: {self.tail()}")

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:])[-400:]

    def pause(self) -> None:
        """Freeze it and all that it started, so that what it does while nobody asks costs its neighbours nothing."""
        self._tell(signal.SIGSTOP)

    def go_on(self) -> None:
        self._tell(signal.SIGCONT)

    def _tell(self, number: signal.Signals) -> None:
        for pid in _family(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        self.go_on()
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                return
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                continue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _family(pid: int) -> list[int]:
    """Return a process and its descendants, also those in sessions of their own."""
    children: dict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            _, parent = stat.read_text().rpartition(")")[2].split()[:2]
            children[int(parent)].append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += children[one]
    return found


def end_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does, so that nothing it started stays behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
