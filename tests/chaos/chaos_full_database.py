"""SQLite, a service's uploads and a job, on a disk that gets full: run by ``test_full_disk`` on a small one.

Its argument is the folder where the disk is. It ends with 0 and prints what it saw when everything held.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from chaos_small_disk import fill
from starlette.testclient import TestClient

from reel_shared import contracts, jobs
from reel_shared.db.engine import reading, transact, transaction
from reel_shared.db.migrate import migrate
from reel_shared.db.models import ApiKey, Job, JobEvent
from reel_shared.errors import DatabaseUnavailable
from reel_shared.outbox import Reaper
from reel_shared.runner import Context, run_job
from reel_shared.security import create_key
from reel_shared.web.app import create_app
from reel_web.api import router

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(3 * 2**20)


def main(disk: Path) -> None:
    (disk / "uploads").mkdir()
    os.environ |= {
        "REEL_DATABASE__URL": f"sqlite:///{disk / 'reelsight.db'}",
        "REEL_DATA_DIR": str(disk),
        "REEL_REDIS__URL": "redis://127.0.0.1:1/0",
    }
    tempfile.tempdir = str(disk / "uploads")  # as TMPDIR says it to a process that starts
    migrate()
    token = transact(lambda session: create_key(session, "ops", ["read", "submit", "admin"]))[1]
    job_id = transact(
        lambda session: jobs.submit(session, contracts.MAKE_VARIANTS, contracts.MakeVariantsRequest()).id
    )
    full, ended = threading.Event(), threading.Event()

    def fill_the_disk(_context: Context, _request: Any) -> jobs.Outcome:
        with reading() as session:  # else the log of writes has room from before
            session.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
        fill(disk)
        full.set()
        return jobs.Outcome(
            contracts.MakeVariantsResult(sources=1, made={}, already=0, skipped_low_contrast={})
        )

    def work() -> None:
        run_job(contracts.MAKE_VARIANTS, fill_the_disk, job_id)
        ended.set()

    threading.Thread(target=work, daemon=True).start()
    assert full.wait(30)
    with TestClient(create_app("Web", [router]), headers={"Authorization": f"Bearer {token}"}) as client:
        wish = {"name": "another", "scopes": ["read"]}
        refused = client.post("/v1/keys", json=wish)
        assert refused.status_code == 503, refused.text
        assert "database's disk is full" in refused.json()["detail"], refused.text
        assert refused.headers["retry-after"]
        upload = client.post("/v1/uploads", content=PICTURE, headers={"Content-Type": "image/png"})
        assert upload.status_code == 503, upload.text
        assert "disk of this service is full" in upload.json()["detail"], upload.text
        assert list((disk / "uploads").iterdir()) == [], "half an upload stays on the disk"
        assert client.get(f"/v1/jobs/{job_id}").json()["state"] == "running", "what is there can be read"
        with pytest.raises(DatabaseUnavailable, match="full"):
            Reaper()._lead()
        assert not ended.wait(1), "the end of a job was believed that could not be written"
        (disk / "filler").unlink()
        assert ended.wait(30), "the job ends when there is room"
        assert client.post("/v1/keys", json=wish).status_code == 201
    Reaper()._lead()
    with transaction() as session:
        job = session.get_one(Job, job_id)
        assert (job.state, job.attempt) == ("succeeded", 1), job.error
        ends = session.scalar(sa.select(sa.func.count()).where(JobEvent.job_id == job_id, JobEvent.terminal))
        assert ends == 1
        assert session.scalar(sa.select(sa.func.count()).select_from(ApiKey)) == 2, "none of what was refused"
        checked = session.execute(sa.text("PRAGMA integrity_check")).scalar()
    assert checked == "ok", checked
    print(json.dumps({"job": job.state, "integrity": checked}))  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main(Path(sys.argv[1]))
