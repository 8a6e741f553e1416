"""Token buckets in Redis and alone: the same answers, all or none, one round trip, and Redis may go away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
import redis
from structlog.testing import capture_logs

from reel_shared import buckets as module
from reel_shared import quick_redis
from reel_shared.buckets import Buckets, Charge, Policy
from reel_shared.embedded import Valkey

pytestmark = pytest.mark.servers
MINUTE = Policy("reads", 6, 60)
DAY = Policy("jobs", 3, 86_400)
NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture(params=["redis", "alone"])
def buckets(request: pytest.FixtureRequest) -> Buckets:
    return Buckets(request.getfixturevalue("redis_url") if request.param == "redis" else NOBODY)


def allowed(buckets: Buckets, *charges: Charge, caller: str = "key_a", tries: int = 50) -> int:
    for number in range(tries):
        if buckets.take(caller, charges).refused:
            return number
    return tries


def test_a_full_bucket_then_its_rate(buckets: Buckets) -> None:
    quick = Policy("writes", 5, 1)
    assert allowed(buckets, Charge(quick)) == 5
    verdict = buckets.take("key_a", [Charge(quick)])
    assert verdict.refused == quick
    assert 0 < verdict.wait_seconds <= 0.2
    assert verdict.standings[0].remaining == 0
    time.sleep(verdict.wait_seconds + 0.01)  # whoever waits as long as told is let in
    assert allowed(buckets, Charge(quick)) == 1


def test_what_is_left_is_told(buckets: Buckets) -> None:
    left = [buckets.take("key_a", [Charge(MINUTE)]).standings[0] for _ in range(6)]
    assert [standing.remaining for standing in left] == [5, 4, 3, 2, 1, 0]
    assert left[0].reset_seconds == pytest.approx(10, abs=0.5)
    assert left[5].reset_seconds == pytest.approx(60, abs=0.5)


def test_all_buckets_or_none(buckets: Buckets) -> None:
    assert allowed(buckets, Charge(MINUTE), Charge(DAY)) == 3
    verdict = buckets.take("key_a", [Charge(MINUTE), Charge(DAY)])
    assert verdict.refused == DAY
    assert [standing.remaining for standing in verdict.standings] == [3, 0]
    assert allowed(buckets, Charge(MINUTE)) == 3, "the refused request took nothing from the other bucket"


def test_callers_do_not_share(buckets: Buckets) -> None:
    assert [allowed(buckets, Charge(DAY), caller=name) for name in ("key_a", "key_b", "key_a")] == [3, 3, 0]


def test_late_counts_are_taken_and_given_back_whatever_is_there(buckets: Buckets) -> None:
    size = Policy("upload-bytes", 1000, 86_400)
    buckets.take("key_a", [Charge(size, 400)])
    buckets.take("key_a", [Charge(size, 1600)], force=True)
    verdict = buckets.take("key_a", [Charge(size, 1)])
    assert verdict.refused == size
    assert verdict.wait_seconds == pytest.approx(1001 / 1000 * 86_400, rel=0.01)
    buckets.take("key_a", [Charge(size, -5000)], force=True)
    assert buckets.take("key_a", [Charge(size, 1000)]).refused is None, "no more than full"


def test_replicas_together_let_through_what_one_would(redis_url: str) -> None:
    policy = Policy("jobs", 40, 86_400)
    passed: list[int] = []

    def replica() -> None:
        mine = Buckets(redis_url)
        passed.append(sum(mine.take("key_a", [Charge(policy)]).refused is None for _ in range(25)))

    threads = [threading.Thread(target=replica) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 40


def test_one_round_trip_for_all_of_a_request(redis_url: str) -> None:
    buckets = Buckets(redis_url)
    buckets.take("key_a", [Charge(MINUTE), Charge(DAY)])  # loads the script
    with redis.Redis.from_url(redis_url) as client:
        before = commands(client)
        for _ in range(10):
            buckets.take("key_b", [Charge(MINUTE), Charge(DAY)])
        after = commands(client)
    assert after["evalsha"] - before["evalsha"] == 10
    assert {name for name in after if name not in before} <= {"info"}


def commands(client: redis.Redis) -> dict[str, int]:
    return {
        name.removeprefix("cmdstat_"): facts["calls"] for name, facts in client.info("commandstats").items()
    }


def test_buckets_vanish_when_they_are_full_again(redis_url: str) -> None:
    Buckets(redis_url).take("key_a", [Charge(Policy("reads", 100, 10)), Charge(DAY)])
    with redis.Redis.from_url(redis_url) as client:
        names = {name.decode(): client.pttl(name) for name in client.keys("*")}
    assert names.keys() == {"reel:quota:key_a:reads", "reel:quota:key_a:jobs"}
    assert 0 < names["reel:quota:key_a:reads"] <= 100
    assert 0 < names["reel:quota:key_a:jobs"] <= 86_400_000 / 3


def test_while_redis_is_away_the_process_counts_and_says_so_once(
    valkey: Valkey, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick_redis, "AWAY_SECONDS", 0.2)
    buckets = Buckets(redis_url)
    assert allowed(buckets, Charge(DAY)) == 3
    valkey.kill()
    try:
        with capture_logs() as told:
            started = time.monotonic()
            assert allowed(buckets, Charge(DAY)) == 3, "this process's own bucket"
            assert time.monotonic() - started < 1
    finally:
        valkey.start()
    assert [line["event"] for line in told] == ["quotas.redis_away"]
    time.sleep(0.25)
    wait_for(lambda: buckets.take("key_b", [Charge(DAY)]).refused is None and not buckets._outage)


def wait_for(true: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_process_alone_forgets_full_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CALLERS", 10)
    buckets = Buckets(NOBODY)
    for number in range(100):
        buckets.take_alone(f"key_{number}", [Charge(Policy("reads", 1000, 1))])
        time.sleep(0.0005)
    assert len(buckets._alone._full_at) <= 11
