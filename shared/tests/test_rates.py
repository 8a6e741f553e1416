"""A caller's rate: bursts, waits that are told, and others who are not held up."""

from __future__ import annotations

import pytest

from reel_shared.errors import TooManyRequests
from reel_shared.web import rates
from reel_shared.web.rates import Rates


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def allowed(limited: Rates, caller: str = "key_a", tries: int = 100) -> int:
    for number in range(tries):
        try:
            limited.take(caller)
        except TooManyRequests:
            return number
    return tries


def test_a_burst_and_then_the_rate(clock: Clock) -> None:
    limited = Rates(2.0, 5, clock=clock)
    assert allowed(limited) == 5
    clock.now += 0.49
    assert allowed(limited) == 0
    clock.now += 0.02
    assert allowed(limited) == 1
    clock.now += 1.5
    assert allowed(limited) == 3
    clock.now += 3600
    assert allowed(limited) == 5, "a long pause saves up no more than the burst"


def test_over_a_long_time_the_rate_holds_and_refusals_cost_nothing(clock: Clock) -> None:
    limited = Rates(4.0, 1, clock=clock)
    taken = 0
    for _ in range(1000):
        taken += allowed(limited, tries=3)
        clock.now += 0.0625
    assert taken == 250


def test_whoever_waits_as_long_as_told_is_let_in(clock: Clock) -> None:
    limited = Rates(0.3, 2, clock=clock)
    assert allowed(limited) == 2
    with pytest.raises(TooManyRequests, match=r"0\.3 times a second; try again in 4 s") as refusal:
        limited.take("key_a")
    assert refusal.value.extra["retry_after"] == 4
    clock.now += 4
    limited.take("key_a")


def test_one_caller_takes_nothing_from_another(clock: Clock) -> None:
    limited = Rates(1.0, 3, clock=clock)
    assert [allowed(limited, caller) for caller in ("key_a", "key_b", "key_a")] == [3, 3, 0]


def test_callers_who_may_ask_in_full_are_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_CALLERS", 10)
    limited = Rates(1.0, 1, clock=clock)
    for number in range(50):
        limited.take(f"key_{number}")
        clock.now += 0.5
    assert len(limited._due) <= 10
    assert allowed(limited, "key_49") == 0


def test_no_rate_is_no_limit(clock: Clock) -> None:
    limited = Rates(0.0, 1, clock=clock)
    assert allowed(limited) == 100
    assert not limited._due
