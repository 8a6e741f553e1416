"""Turns at a host: those of one process, and those that workers share through Redis."""

from __future__ import annotations

import json
import threading
import time

import pytest
import redis
from structlog.testing import capture_logs

from reel_ingest.politeness import OwnTurns, Pace
from reel_ingest.tasks import shared_turns, sources
from reel_ingest.tasks.shared_turns import SharedTurns


def seconds_of(paces, times):
    """How long it takes until all paces, each in a thread of its own, have had so many turns at one host."""

    def ask(pace):
        for _ in range(times):
            pace.wait("pictures.example")

    begun = time.monotonic()
    threads = [threading.Thread(target=ask, args=[pace]) for pace in paces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - begun


@pytest.mark.servers
def test_two_workers_together_are_not_faster_than_one(redis_url):
    assert seconds_of([Pace(20, turns=SharedTurns(redis_url)) for _ in range(2)], 6) >= 11 / 20 - 0.01


@pytest.mark.servers
def test_a_host_leaves_nothing_behind_in_redis(redis_url):
    Pace(0.01, turns=SharedTurns(redis_url)).wait("a")
    Pace(0, turns=SharedTurns(redis_url)).wait("b")
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys() == [b"reel:turn:a"]
        assert 90_000 < client.pttl("reel:turn:a") <= 100_000


@pytest.mark.servers
def test_a_host_that_asks_for_time_gets_it_from_every_worker(redis_url):
    waited = []
    one, other = (Pace(1000, turns=SharedTurns(redis_url), sleep=waited.append) for _ in range(2))
    one.hold("busy", 30)
    one.hold("busy", 2)
    other.wait("busy")
    other.wait("idle")
    assert len(waited) == 1
    assert 29 < waited[0] <= 30


@pytest.mark.servers
def test_a_redis_that_was_wiped_begins_anew(redis_url):
    waited = []
    pace = Pace(0.1, turns=SharedTurns(redis_url), sleep=waited.append)
    pace.wait("a")
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        client.script_flush()
    pace.wait("a")
    assert waited == []
    pace.wait("a")
    assert [round(seconds) for seconds in waited] == [10]


@pytest.mark.servers
def test_a_redis_that_is_away_is_said_once_and_the_process_keeps_its_own_pace(valkey, redis_url, monkeypatch):
    monkeypatch.setattr(shared_turns, "_AWAY_SECONDS", 0.0)
    waited = []
    pace = Pace(0.1, turns=SharedTurns(redis_url), sleep=waited.append)
    pace.wait("a")
    valkey.kill()
    try:
        with capture_logs() as logs:
            for _ in range(3):
                pace.wait("b")
            pace.hold("c", 30)
            pace.wait("c")
        assert [(line["log_level"], line["event"]) for line in logs] == [("warning", "pace.alone")]
        assert [round(seconds) for seconds in waited] == [10, 20, 30]
    finally:
        valkey.start()
    with capture_logs() as logs:
        pace.wait("d")
    assert [line["event"] for line in logs] == ["pace.shared"]


def test_own_turns_do_not_grow_with_the_hosts():
    turns = OwnTurns()
    turns.hold("busy", 60)
    for number in range(5000):
        turns.take(f"{number}.example", 0.0)
    assert len(turns._next) <= 1001
    assert turns.take("busy", 0.0) > 50


@pytest.mark.servers
def test_the_workers_client_takes_shared_turns(reel, server):
    reel.configure(ingest__allowed_hosts=json.dumps([server.host]), ingest__fetches_per_host_per_second=0.01)
    server.pages["/a.png"] = lambda h: h.answer(body=b"ok")
    sources.fetcher().get(server.url("/a.png"), max_bytes=10, crawl=False)
    with redis.Redis.from_url(reel.settings.redis.url.get_secret_value()) as client:
        assert client.keys("reel:turn:*") == [b"reel:turn:127.0.0.1"]
