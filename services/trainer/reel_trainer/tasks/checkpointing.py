"""A training's checkpoints in storage, and where its row says the last one lies; called by ``trainings``.

The files come first and the row last, under the job's fencing token: a worker that lost the job moves nothing.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from reel_shared import jobs
from reel_shared.contracts import StoredFile, TrainingCheckpoint
from reel_shared.db.engine import reading, transact
from reel_shared.db.models import TrainingState, utcnow
from reel_shared.leftovers import delete_folder, delete_unneeded
from reel_shared.runner import Context
from reel_shared.storage import storage
from reel_trainer import catalogue
from reel_trainer.tasks.fetching import attentive

PREFIX = "checkpoints"
MEDIA_TYPES = {".json": "application/json", ".safetensors": "application/vnd.safetensors"}


def bring_last(context: Context, resume_from: str | None, folder: Path) -> Path | None:
    """Download this job's last checkpoint, or else that of the training it goes on from; None when it begins.

    Raises Conflict when the training that it is to go on from has none.
    """
    with reading() as session:
        found = catalogue.last_checkpoint(session, context.job_id)
        if found is None and resume_from is not None:
            found = catalogue.resumable(session, resume_from)
    if found is None:
        return None
    for name, file in found.files.items():
        storage().get_file(file.key, folder / name, sha256=file.sha256)
    return folder


def keep(context: Context, data: dict[str, Any]) -> None:
    """Store the checkpoint that the child has just written, unless a newer one lies beside it."""
    folder = Path(data["folder"])
    newest = max(path for path in folder.parent.iterdir() if not path.name.startswith("."))
    if folder == newest:
        files = {path.name: _put(context.job_id, path) for path in sorted(folder.iterdir())}
        found = TrainingCheckpoint(stage=data["stage"], epoch=data["epoch"], at=utcnow(), files=files)
        transact(lambda session: _point(session, context, found))
    shutil.rmtree(folder)


def forget(session: Session, job_id: str) -> None:
    """Drop a training's checkpoint, and once the transaction is committed all files in the training's folder.

    A worker that was killed between storing files and pointing to them has left some that no row names.
    """
    row = session.get(TrainingState, job_id)
    if row is not None:
        session.delete(row)
    delete_folder(session, f"{PREFIX}/{job_id}/")


def attentive_to_stop(context: Context) -> Callable[[], signal.Signals | None]:
    """Look for a cancel wish, and for the wish to stop after the epoch: SIGUSR1 tells it to the child."""
    look = attentive(context, ask=lambda: _stop_wished(context.job_id))

    def asked() -> signal.Signals | None:
        return signal.SIGUSR1 if look() else None

    return asked


def _stop_wished(job_id: str) -> bool:
    with reading() as session:
        row = session.get(TrainingState, job_id)
        return row is not None and row.stop_after_epoch


def _put(job_id: str, path: Path) -> StoredFile:
    return storage().put_file(f"{PREFIX}/{job_id}", path, MEDIA_TYPES[path.suffix], path.suffix)


def _point(session: Session, context: Context, found: TrainingCheckpoint) -> None:
    jobs.heartbeat(session, context.lease)
    row = session.get(TrainingState, context.job_id)
    if row is None:
        row = TrainingState(job_id=context.job_id, stop_after_epoch=False)
        session.add(row)
    outdated = _keys(row) - {file.key for file in found.files.values()}
    row.checkpoint = found.model_dump(mode="json", exclude={"files": {"__all__": {"url"}}})
    delete_unneeded(session, outdated)


def _keys(row: TrainingState) -> set[str]:
    held = TrainingCheckpoint.model_validate(row.checkpoint) if row.checkpoint else None
    return {file.key for file in held.files.values()} if held else set()
