"""What every job writes that nothing disturbs: it is submitted, claimed, and succeeds. Called by ``jobs`` alone.

Each is some statements on SQLite, which is in the process, and one on PostgreSQL, which is a round trip away: there to
wait for the answers to the single ones is most of what an empty job costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, make_transient_to_detached
from sqlalchemy.sql.dml import ReturningUpdate

from reel_shared import job_statements as statements
from reel_shared.db.models import Job, utcnow
from reel_shared.job_statements import EVENTS, JOBS, OUTBOX, run

_ATTRIBUTES = {attribute.key: attribute.columns[0] for attribute in sa.inspect(Job).column_attrs}
_NEW: dict[str, Any] = {
    **dict.fromkeys(_ATTRIBUTES),
    "state": "queued",
    "attempt": 0,
    "version": 1,
    "progress_done": 0,
    "progress_unit": "",
    "progress_message": "",
    "worker": "",
}
"""Every attribute of a job that nobody has touched."""


def new_job(**values: Any) -> Job:
    """Return a job that waits, with every attribute set."""
    return Job(**_NEW | values)


def add(session: Session, job: Job) -> None:
    """Write a new job with its message and its first event, and let the session hold it as one that it has read.

    The session's own way to write it costs more than all else that is done to submit a job.
    """
    session.flush()  # what the caller has added before may be what these rows refer to
    values = vars(job)
    if _far(session):
        run(session, _ADD, {f"the_{name}": values[name] for name in _ATTRIBUTES})
    else:
        run(session, statements.ADD, {column.key: values[name] for name, column in _ATTRIBUTES.items()})
        message = {"job_id": job.id, "kind": job.kind, "created_at": job.created_at}
        run(session, statements.MESSAGE, message)
        _tell(session, job.id, job.created_at, {"state": "queued"})
    make_transient_to_detached(job)
    session.add(job)


def claim(session: Session, values: Mapping[str, Any]) -> sa.Row[Any] | None:
    """Take a job, forget its message and note it; ``values`` are those of ``job_statements.claim``."""
    of_kind = "the_kind" in values
    if _far(session):
        return run(session, _CLAIM_OF_KIND if of_kind else _CLAIM, values).one_or_none()
    statement = statements.CLAIM_OF_KIND if of_kind else statements.CLAIM
    row = run(session, statement, values).one_or_none()
    if row is not None:
        run(session, statements.FORGET_MESSAGE, {"the_job": values["the_job"]})
        _tell(session, values["the_job"], values["now"], {"state": "running", "attempt": row.attempt})
    return row


def succeed(
    session: Session, job_id: str, token: str, result: Mapping[str, Any], *, unheard: bool = False
) -> sa.Row[Any] | None:
    """End a job well and note it; the row of ``job_statements.SUCCEED`` is returned.

    Args:
        unheard: only one whose end nobody is to be told of: ``job_statements.SUCCEED_UNHEARD``.
    """
    now = utcnow()
    values = {"the_job": job_id, "the_token": token, "the_result": result, "now": now}
    if _far(session):
        return run(session, _SUCCEED_UNHEARD if unheard else _SUCCEED, values).one_or_none()
    statement = statements.SUCCEED_UNHEARD if unheard else statements.SUCCEED
    row = run(session, statement, values).one_or_none()
    if row is not None:
        _tell(session, job_id, now, {"state": "succeeded"}, terminal=True)
    return row


def _far(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _tell(
    session: Session, job_id: str, at: datetime, data: dict[str, Any], *, terminal: bool = False
) -> None:
    event = {"job_id": job_id, "at": at, "type": "state", "data": data, "terminal": terminal}
    run(session, statements.TELL, event)


# --- each in one statement ----------------------------------------------------------------------------------

_now = statements.NOW
_EVENT = ("job_id", "at", "type", "data", "terminal")


def _told(
    state: str, job_id: sa.ColumnElement[str], source: sa.FromClause, *more: Any, terminal: bool = False
) -> sa.CTE:
    data = sa.func.json_build_object("state", state, *more)
    row = sa.select(job_id, _now, sa.literal("state"), data, sa.literal(terminal)).select_from(source)
    return EVENTS.insert().from_select(_EVENT, row).cte("told")


def _claim(*, of_kind: bool) -> sa.Executable:
    taken = statements.claim(of_kind=of_kind, more=(JOBS.c.id,)).cte("taken")
    forgotten = OUTBOX.delete().where(OUTBOX.c.job_id.in_(sa.select(taken.c.id))).cte("forgotten")
    told = _told("running", taken.c.id, taken, "attempt", taken.c.attempt)
    fields = [column for column in taken.c if column.key != "id"]
    return sa.select(*fields).add_cte(forgotten, told)


def _add() -> sa.Executable:
    given = {
        column.key: sa.bindparam(f"the_{name}", type_=column.type) for name, column in _ATTRIBUTES.items()
    }
    made = JOBS.insert().values(given).returning(JOBS.c.id, JOBS.c.kind, JOBS.c.created_at).cte("made")
    message = OUTBOX.insert().from_select(
        ["job_id", "kind", "created_at"], sa.select(made.c.id, made.c.kind, made.c.created_at)
    )
    event = sa.select(
        made.c.id,
        made.c.created_at,
        sa.literal("state"),
        sa.func.json_build_object("state", "queued"),
        sa.false(),
    )
    return EVENTS.insert().from_select(_EVENT, event).add_cte(message.cte("message"))


def _succeed(statement: ReturningUpdate[Any]) -> sa.Executable:
    ended = statement.returning(JOBS.c.id).cte("ended")
    return sa.select(ended).add_cte(_told("succeeded", ended.c.id, ended, terminal=True))


_ADD = _add()
_CLAIM, _CLAIM_OF_KIND = _claim(of_kind=False), _claim(of_kind=True)
_SUCCEED, _SUCCEED_UNHEARD = _succeed(statements.SUCCEED), _succeed(statements.SUCCEED_UNHEARD)
