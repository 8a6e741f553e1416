"""Puts this folder's modules in reach of its tests, and gives each test a stage with real servers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reel_shared.embedded import Valkey
from reel_shared.testing.stack import Reel

sys.path.insert(0, str(Path(__file__).parent))

from chaos_stage import Stage


@pytest.fixture
def stage(reel_database: Reel, valkey: Valkey, redis_url: str) -> Iterator[Stage]:
    """A fresh database and queue with short leases, and the processes that the test starts on them."""
    reel_database.configure(
        redis__url=redis_url,
        jobs__lease_seconds=2,
        jobs__heartbeat_seconds=0.4,
        jobs__reaper_seconds=0.3,
        jobs__resend_seconds=1,
        jobs__retry_base_seconds=0.2,
        jobs__drain_seconds=1,
        database__patience_seconds=60,
    )
    made = Stage(reel_database, valkey)
    yield made
    made.close()
