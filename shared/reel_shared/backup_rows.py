"""The rows of the database as lines of JSON, a file a table, read at one moment; for ``backup``.

A dump belongs to no kind of database: what was SQLite may become PostgreSQL.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import BaseModel

from reel_shared.db.engine import engine
from reel_shared.db.migrate import config, migrate
from reel_shared.db.models import Base
from reel_shared.db.models.base import UtcDateTime
from reel_shared.errors import Conflict

LEFT_OUT = frozenset({"locks"})
"""Who does what right now; nobody holds it after a restore."""
BATCH = 1000


class Table(BaseModel):
    name: str
    columns: list[str]
    rows: int
    sha256: str


def dump(folder: Path) -> tuple[str, list[Table], set[str]]:
    """Write every table as it stands at one moment; returns the schema's revision and the files' keys that rows name.

    Raises:
        Conflict: the schema is not this release's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named: set[str] = set()
    with _snapshot() as connection:
        revision = revision_of(connection)
        if revision != head():
            raise Conflict(f"The database's schema is {revision}, this release's {head()}; migrate it first.")
        tables = [
            _dump_table(connection, table, folder / f"{table.name}.jsonl", named)
            for table in Base.metadata.sorted_tables
            if table.name not in LEFT_OUT
        ]
    return revision, tables, named


def load(folder: Path, revision: str, tables: list[Table], *, check_only: bool = False) -> None:
    """Bring an empty database to the dump's schema, write all rows in one transaction, and go on to the newest schema.

    Raises:
        Conflict: the database holds rows, or the dump's schema is newer than this release.
    """
    script = ScriptDirectory.from_config(config())
    if revision not in {known.revision for known in script.walk_revisions()}:
        raise Conflict(
            f"This release does not know the backup's schema {revision}; restore with a newer one."
        )
    with engine().connect() as connection:
        _check_empty(connection)
    if check_only:
        return
    made = config()
    with engine().execution_options(reel_write=True).connect() as connection:
        made.attributes["connection"] = connection
        command.upgrade(made, revision)
    with engine().execution_options(reel_write=True).begin() as connection:
        for table in tables:
            _load_table(connection, table, folder / f"{table.name}.jsonl")
    migrate()


def revision_of(connection: sa.Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or "none"


def head() -> str:
    return ScriptDirectory.from_config(config()).get_current_head() or "none"


def _snapshot() -> Any:
    """Return a connection to which the database stands still."""
    made = engine()
    if made.dialect.name == "postgresql":
        made = made.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return made.connect()


def _dump_table(connection: sa.Connection, table: sa.Table, path: Path, named: set[str]) -> Table:
    # parents before their children: a row names only what stands already when it is written again
    first = [table.c.parent_id.is_not(None)] if "parent_id" in table.c else []
    query = sa.select(table).order_by(*first, *table.primary_key.columns)
    digest, rows = hashlib.sha256(), 0
    with path.open("wb") as file:
        for row in connection.execution_options(yield_per=BATCH).execute(query):
            named.update(_keys(dict(row._mapping)))
            line = json.dumps(list(row), default=_plain, separators=(",", ":")).encode() + b"\n"
            digest.update(line)
            file.write(line)
            rows += 1
    return Table(name=table.name, columns=[c.name for c in table.c], rows=rows, sha256=digest.hexdigest())


def _load_table(connection: sa.Connection, table: Table, path: Path) -> None:
    known = Base.metadata.tables[table.name]
    # No defaults of the models': a column that came later is filled by its migration.
    columns = [known.c[name] for name in table.columns]
    target = sa.table(table.name, *(sa.column(column.name, column.type) for column in columns))
    with path.open() as file:
        while lines := list(islice(file, BATCH)):
            rows = [_typed(columns, json.loads(line)) for line in lines]
            connection.execute(target.insert(), rows)
    counter = known.autoincrement_column
    if connection.dialect.name == "postgresql" and counter is not None and table.rows:
        connection.execute(
            sa.text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)"),
            {
                "table": table.name,
                "column": counter.name,
                "last": connection.scalar(sa.select(sa.func.max(counter))),
            },
        )


def _check_empty(connection: sa.Connection) -> None:
    standing = set(sa.inspect(connection).get_table_names())
    for table in Base.metadata.sorted_tables:
        if table.name not in standing or table.name in LEFT_OUT:
            continue
        if connection.scalar(sa.select(sa.literal(1)).select_from(table).limit(1)):
            raise Conflict(f"The database is not empty: {table.name} has rows; restore into a new one.")


def _typed(columns: list[sa.Column[Any]], values: list[Any]) -> dict[str, Any]:
    return {
        column.name: datetime.fromisoformat(value) if _is_time(column) and value is not None else value
        for column, value in zip(columns, values, strict=True)
    }


def _is_time(column: sa.Column[Any]) -> bool:
    return isinstance(column.type, UtcDateTime)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"a column holds a {type(value).__name__}, which a backup cannot write")


def _keys(value: Any) -> Iterator[str]:
    """Yield the keys of stored files in a row: a ``key`` beside a ``sha256``, however deep."""
    if isinstance(value, dict):
        if isinstance(value.get("key"), str) and "sha256" in value:
            yield value["key"]
        for item in value.values():
            yield from _keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item)
