"""``reel migrate``, ``reel api`` and ``reel worker`` as somebody uses them who splits the platform without compose."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from reel_shared.contracts import QUEUES
from reel_shared.embedded.ports import free_port
from reelsight.commands import parts

REEL = [sys.executable, "-m", "reelsight.main"]
SECONDS = 30


def environment(database: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REEL_")}
    return (
        kept | {"REEL_DATABASE__URL": f"sqlite:///{database}", "REEL_DATA_DIR": str(database.parent)} | more
    )


def migrated(database: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*REEL, "migrate"], env=environment(database), capture_output=True, text=True, timeout=60
    )


def test_a_database_is_brought_to_the_newest_schema_and_a_later_ones_is_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "a.db"
    first, again = json.loads(migrated(database).stdout), json.loads(migrated(database).stdout)
    assert (first["from"], first["to"]) == (None, again["to"])
    assert again["from"] == again["to"] >= "0014"
    with sa.create_engine(f"sqlite:///{database}").begin() as connection:
        assert sa.inspect(connection).has_table("jobs")
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    refused = migrated(database)
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    assert "at revision 9999, which this release does not know" in " ".join(refused.stderr.split())


def test_a_database_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    refused = migrated(tmp_path / "no" / "such" / "folder.db")
    assert (refused.returncode, "REEL_DATABASE__URL" in refused.stderr) == (3, True)
    assert "Traceback" not in refused.stderr


def test_one_services_api_is_served_and_ends_when_told_to(tmp_path: Path) -> None:
    port = free_port()
    migrated(tmp_path / "a.db")
    env = environment(tmp_path / "a.db", REEL_WEB__PORT=str(port))
    served = subprocess.Popen([*REEL, "api", "augment"], env=env, stderr=subprocess.DEVNULL)
    try:
        assert answers(f"http://127.0.0.1:{port}/healthz", served) == {"status": "ok"}
        paths = httpx.get(f"http://127.0.0.1:{port}/openapi.json", trust_env=False).json()["paths"]
        assert [path for path in paths if path.startswith("/v1/")] == ["/v1/variants"]
    finally:
        served.send_signal(signal.SIGTERM)
        assert served.wait(SECONDS) in (0, -signal.SIGTERM)


def answers(url: str, process: subprocess.Popen[bytes]) -> dict[str, str]:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            found: dict[str, str] = httpx.get(url, trust_env=False).json()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return found
    pytest.fail(f"nothing answered at {url}; the process has ended with {process.poll()}")


@pytest.mark.parametrize(
    ("words", "module"),
    [
        (["worker", "trainer"], "reel_trainer.worker"),
        (["reaper"], "reel_shared.outbox"),
        (["api", "all"], "reelsight.platform.server"),
    ],
)
def test_a_part_becomes_the_module_that_the_services_image_runs(
    monkeypatch: pytest.MonkeyPatch, words: list[str], module: str
) -> None:
    from typer.testing import CliRunner

    from reelsight.main import app

    became: list[list[str]] = []
    monkeypatch.setattr(parts.os, "execv", lambda _path, command: became.append(command))
    assert CliRunner().invoke(app, words).exit_code == 0
    assert became == [[sys.executable, "-m", module]]


def test_every_queue_has_its_worker_and_its_api() -> None:
    assert set(parts.Worker) == set(QUEUES)
    assert set(parts.Api) == {*QUEUES, "web", "all"}
