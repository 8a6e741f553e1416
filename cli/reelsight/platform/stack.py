"""The embedded platform in one data folder: servers, secrets, schema, bucket, first key, processes.

``reel up``, ``reel demo`` and the end-to-end tests enter a ``Stack``; a watcher thread keeps its processes alive.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from reel_shared import settings as settings_module
from reel_shared.contracts import QUEUES
from reel_shared.db.engine import dispose, transaction
from reel_shared.db.migrate import migrate
from reel_shared.embedded.ports import free_port, is_free
from reel_shared.embedded.seaweed import API, Seaweed
from reel_shared.embedded.server import Server, ServerFailed, write_secretly
from reel_shared.embedded.valkey import Valkey
from reel_shared.security import create_key
from reel_shared.storage import storage
from reelsight.platform.memory import family_bytes
from reelsight.platform.standing import DATABASE
from reelsight.platform.supervisor import Program, Supervisor

CLIENT_FILE = "client.json"
START_SECONDS = 60.0
WATCH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Access:
    """Where the platform answers, and the key that opens it; kept in the data folder for ``reel`` commands."""

    url: str
    token: str


class Stack:
    """``with Stack(path) as stack: stack.run()``. A second start continues with the same data."""

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        say: Callable[[str], None] = lambda _line: None,
        extra_env: dict[str, str] | None = None,
    ) -> None:
        self.data = data.resolve()
        self.wanted_port = port
        self._say = say
        self._extra_env = extra_env or {}
        self.valkey = Valkey(self.data / "valkey")
        self.s3 = Seaweed(self.data / "s3")
        self.access = Access("", "")
        self.env: dict[str, str] = {}
        self.supervisor: Supervisor | None = None
        self.peak_bytes = 0
        """The most memory that this process and all its descendants held at once, sampled."""
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds keys and everybody's pictures
        self.valkey.start()
        self.s3.start()
        port = self._port()
        self.env = {**os.environ, **self._settings(port), **self._extra_env}
        self._adopt_settings()
        migrate()
        storage().ensure_bucket()
        self.access = Access(f"http://127.0.0.1:{port}", self._token())
        write_secretly(
            self.data / CLIENT_FILE, json.dumps({"url": self.access.url, "token": self.access.token})
        )
        metrics = settings_module.settings().metrics_port
        self.supervisor = Supervisor(
            programs(self.s3, metrics_port=metrics), env=self.env, logs=self.data / "logs", say=self._say
        )
        self.supervisor.start()
        self._watcher.start()
        self._wait_for_api()

    def close(self) -> None:
        self._closing.set()
        if self._watcher.is_alive():
            self._watcher.join()
        if self.supervisor is not None:
            self.supervisor.stop()
            self.supervisor = None
        dispose()
        self.s3.close()
        self.valkey.close()

    def _watch(self) -> None:
        assert self.supervisor is not None
        while not self._closing.wait(WATCH_SECONDS):
            self.peak_bytes = max(self.peak_bytes, family_bytes())
            for look in (
                self.supervisor.watch,
                lambda: self._revive(self.valkey),
                lambda: self._revive(self.s3),
            ):
                try:
                    look()
                except (OSError, ServerFailed) as error:
                    self._say(f"{error} Trying again.")  # whatever happens, the watching goes on

    def _revive(self, server: Server) -> None:
        if not server.running:
            self._say(f"{server.name} has ended; starting it again (log: {server.log})")
            server.restart()

    # --- parts --------------------------------------------------------------------------------------------

    def _settings(self, port: int) -> dict[str, str]:
        s3 = self.s3.settings()
        return {
            "REEL_DATA_DIR": str(self.data),
            "REEL_DATABASE__URL": f"sqlite:///{self.data / DATABASE}",
            "REEL_REDIS__URL": self.valkey.url,
            "REEL_S3__ENDPOINT": s3.endpoint,
            "REEL_S3__ACCESS_KEY": s3.access_key,
            "REEL_S3__SECRET_KEY": s3.secret_key.get_secret_value(),
            "REEL_S3__BUCKET": s3.bucket,
            "REEL_WEB__PORT": str(port),
            "REEL_WEB__SECRET": self._secret("web-secret"),
        }

    def _adopt_settings(self) -> None:
        os.environ.update(self.env)
        settings_module.settings.cache_clear()
        storage.cache_clear()
        dispose()

    def _port(self) -> int:
        """The port asked for, or that of the last time, or the standard one, or any free one."""
        if self.wanted_port is not None:
            if not is_free(self.wanted_port):
                raise OSError(f"Port {self.wanted_port} is taken; name another one with --port.")
            return self.wanted_port
        last = self._last_access()
        wishes = [int(last.url.rpartition(":")[2])] if last else []
        wishes.append(settings_module.settings().web.port)
        return next((port for port in wishes if is_free(port)), None) or free_port()

    def _last_access(self) -> Access | None:
        path = self.data / CLIENT_FILE
        return Access(**json.loads(path.read_text())) if path.exists() else None

    def _secret(self, name: str) -> str:
        path = self.data / name
        if not path.exists():
            write_secretly(path, secrets.token_urlsafe(32))
        return path.read_text()

    def _token(self) -> str:
        last = self._last_access()
        if last is not None:
            return last.token
        with transaction() as session:
            _, token = create_key(session, name="reel up", scopes=["read", "submit", "admin"])
        return token

    def _wait_for_api(self) -> None:
        """Wait until the API knows our key: another platform may have been quicker at the port."""
        deadline = time.monotonic() + START_SECONDS
        key = {"Authorization": f"Bearer {self.access.token}"}
        while time.monotonic() < deadline:
            try:
                answer = httpx.get(
                    f"{self.access.url}/v1/jobs?limit=1", headers=key, timeout=2, trust_env=False
                )
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if answer.is_success:
                return
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                raise OSError(
                    f"{self.access.url} is another platform's by now; start again, or name a --port."
                )
            time.sleep(0.1)
        raise TimeoutError(
            f"The API does not answer after {START_SECONDS:g} s; see {self.data / 'logs' / 'api.log'}."
        )


def programs(s3: Seaweed, *, metrics_port: int = 0) -> list[Program]:
    """Every process of the platform besides the servers: the API, the reaper, one worker a service.

    Args:
        s3: the server whose users they are.
        metrics_port: the reaper's; the workers take the ones after it. 0 serves none.
    """
    python = [sys.executable, "-m"]
    made = [Program("reaper", [*python, "reel_shared.outbox"], stop_seconds=10.0)]
    made[0].env.update(s3.access("web"))
    for queue in QUEUES:
        made.append(Program(f"{queue}-worker", [*python, f"reel_{queue}.worker"], env=dict(s3.access(queue))))
    for offset, program in enumerate(made):
        program.env["REEL_METRICS_PORT"] = str(metrics_port + offset) if metrics_port else "0"
    api = Program("api", [*python, "reelsight.platform.server"], stop_seconds=15.0, env=dict(s3.access(API)))
    return [api, *made]
