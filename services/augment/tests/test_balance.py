"""Which picture gets which variants: the share is reached, nobody is preferred, nothing stands twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reel_augment.balance import Stock, frames_wanted, needed, spread
from reel_augment.transforms import KINDS

STOCKS = st.dictionaries(
    st.text("abcdef0123456789", min_size=1, max_size=6),
    st.tuples(st.sets(st.sampled_from(KINDS)), st.sets(st.sampled_from(KINDS))),
    max_size=12,
)


def stocks_of(drawn) -> list[Stock]:
    return [Stock(name, set(standing), set(impossible)) for name, (standing, impossible) in drawn.items()]


@given(st.integers(0, 99), st.integers(0, 5000), st.integers(0, 5000))
def test_needed_is_the_fewest_that_reach_the_share(percent: int, frames: int, web: int) -> None:
    share = max(percent, 1) / 100
    count = needed(share, frames=frames, web=web)
    reached = lambda more: (web + more) * (100 - max(percent, 1)) >= max(percent, 1) * frames  # noqa: E731
    assert reached(count)
    assert count == 0 or not reached(count - 1)


@given(STOCKS, st.none() | st.integers(0, 40), st.integers(0, 99))
def test_a_plan_makes_what_is_missing_and_no_more(drawn, count, seed) -> None:
    plan = spread(stocks_of(drawn), KINDS, count, seed=seed)
    missing = {name: set(KINDS) - standing - impossible for name, (standing, impossible) in drawn.items()}
    for name, kinds in plan.items():
        assert len(kinds) == len(set(kinds))
        assert set(kinds) <= missing[name]
    most = sum(map(len, missing.values()))
    assert sum(map(len, plan.values())) == (most if count is None else min(count, most))
    assert plan == spread(reversed(stocks_of(drawn)), KINDS, count, seed=seed)


@given(st.integers(1, 12), st.integers(0, 60), st.integers(0, 99))
def test_fresh_pictures_get_equally_many(pictures: int, count: int, seed: int) -> None:
    stocks = [Stock(f"img_{n}", set()) for n in range(pictures)]
    plan = spread(stocks, KINDS, count, seed=seed)
    many = [len(plan.get(stock.id, [])) for stock in stocks]
    assert max(many) - min(many) <= 1


def test_half_the_frames_less_those_that_stand() -> None:
    assert frames_wanted(0.5, frames=9, standing=0) == 4
    assert frames_wanted(0.5, frames=9, standing=3) == 1
    assert frames_wanted(0.5, frames=9, standing=8) == 0
