"""Real Valkey, SeaweedFS and PostgreSQL servers out of PyPI wheels, for ``reel up`` and the tests."""

from __future__ import annotations

from reel_shared.embedded.process import Process, spawn
from reel_shared.embedded.seaweed import Seaweed
from reel_shared.embedded.server import Server, ServerFailed
from reel_shared.embedded.valkey import Valkey

__all__ = ["Process", "Seaweed", "Server", "ServerFailed", "Valkey", "spawn"]
