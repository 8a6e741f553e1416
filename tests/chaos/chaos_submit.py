"""Submits jobs and is killed on the way: right after the commit, or between a send and its note in the database."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared import contracts, jobs, outbox, sent  # noqa: F401  outbox's listener sends what is submitted here
from reel_shared.db.engine import transaction


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(moment: str, number: int) -> None:
    if moment == "committed":
        sa.event.listen(Session, "after_commit", die)
    else:
        sent.notes.add = die  # type: ignore[method-assign]
    with transaction() as session:
        for _ in range(number):
            jobs.submit(session, contracts.MAKE_VARIANTS, contracts.MakeVariantsRequest())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
