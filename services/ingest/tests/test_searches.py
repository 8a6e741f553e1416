"""Which searches a request means, each candidate once, dates that a provider can and cannot keep to; the engine."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest
from ddgs.http_client import HttpClient
from pydantic import ValidationError

from reel_ingest.fetch import Fetcher
from reel_ingest.web_sources import providers
from reel_ingest.web_sources.provider import Candidate, Capabilities, Query
from reel_ingest.web_sources.search_engine import SearchEngine
from reel_ingest.web_sources.searches import Searches, check_dates, plan, preset, windows
from reel_shared import errors
from reel_shared.contracts import CollectPicturesRequest
from reel_shared.contracts.web_pictures import ARTICLE_STYLES
from reel_shared.settings import Ingest


def wanted(**fields):
    return CollectPicturesRequest(**{"label": "kiki", "query": "kiki", **fields})


def test_the_articles_searches():
    assert [query.words for query in plan(wanted(styles=list(ARTICLE_STYLES), limit=50))] == [
        "kiki",
        "kiki fanart",
        "kiki sketches",
        "kiki drawing",
        "kiki cosplay",
    ]
    assert {query.limit for query in plan(wanted(styles=["fanart"], limit=50))} == {50}
    assert [query.words for query in plan(wanted(style="sketch"))] == ["kiki sketch"]


def test_windows_touch_and_do_not_overlap():
    found = windows(date(2020, 1, 1), date(2021, 1, 1), 7)
    assert (found[0][0], found[-1][1]) == (date(2020, 1, 1), date(2021, 1, 1))
    assert all(before[1] == after[0] for before, after in itertools.pairwise(found))
    lengths = {(until - since).days for since, until in found}
    assert lengths <= {52, 53}
    request = wanted(styles=["", "fanart"], since="2020-01-01", until="2020-01-05", windows=4)
    assert [(q.style, q.since.day, q.until.day) for q in plan(request)] == [
        (style, day, day + 1) for style in ("", "fanart") for day in range(1, 5)
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"windows": 2}, "both since and until"),
        ({"windows": 9, "since": "2020-01-01", "until": "2020-01-05"}, "more windows than days"),
        ({"since": "2020-01-05", "until": "2020-01-05"}, "before until"),
        ({"style": "a", "styles": ["b"]}, "not both"),
        ({"styles": ["a", "b"], "provider": "urls", "urls": ["http://x/"]}, "one style only"),
        ({"styles": list("abcde"), "limit": 50_000}, "lower the limit"),
        ({"min_side": 10, "max_side": 5}, "smaller than min_side"),
        ({"provider": "wikimedia", "query": ""}, "needs 'query'"),
        ({"probe": "Not a name"}, "lower-case"),
    ],
)
def test_requests_that_do_not_fit(fields, words):
    with pytest.raises(ValidationError, match=words):
        wanted(**fields)


def test_cosplay_is_held_out_unless_said():
    assert wanted().probe_of("Cosplay") == "cosplay"
    assert wanted().probe_of("fanart") == ""
    assert wanted(probe="").probe_of("cosplay") == ""
    assert wanted(probe="by-hand").probe_of("fanart") == "by-hand"


class Catalogue:
    """A provider with a fixed answer to every search."""

    name = "catalogue"

    def __init__(self, answers, time_window="exact"):
        self.capabilities = Capabilities(time_window=time_window, licence=True)
        self.answers = answers

    def search(self, query):
        yield from self.answers[query.words]


def candidate(url, provider_id="", taken_at=None):
    return Candidate(url, "catalogue", provider_id=provider_id, taken_at=taken_at)


def test_what_two_searches_find_is_taken_once_for_the_first():
    answers = {
        "kiki": [candidate("a"), candidate("a"), candidate("b", "1")],
        "kiki fanart": [candidate("b2", "1"), candidate("b2", "2"), candidate("c")],
    }
    searches = Searches(Catalogue(answers), plan(wanted(styles=["", "fanart"])))
    assert [(c.url, c.style) for c in searches.candidates()] == [("a", ""), ("b", ""), ("c", "fanart")]
    assert [(one.words, one.candidates) for one in searches.found] == [("kiki", 2), ("kiki fanart", 1)]


def test_where_only_the_answers_have_dates_the_others_are_dropped():
    days = [datetime(2020, 1, day, 12, tzinfo=UTC) for day in (1, 2, 3)]
    answers = {"kiki": [*(candidate(f"{day.day}", taken_at=day) for day in days), candidate("undated")]}
    request = wanted(since="2020-01-02", until="2020-01-03")
    found = Searches(Catalogue(answers, "filter"), plan(request)).candidates()
    assert [c.url for c in found] == ["2"]
    assert len(list(Searches(Catalogue(answers, "filter"), plan(wanted())).candidates())) == 4


@pytest.mark.parametrize(
    ("time_window", "fields", "refused"),
    [
        ("none", {}, None),
        ("none", {"since": "2020-01-01"}, "knows no dates"),
        ("none", {"until": "2020-01-01"}, "knows no dates"),
        ("preset", {"since": "2020-01-01"}, None),
        ("preset", {"until": "2020-01-01"}, "since alone"),
        ("preset", {"since": datetime.now(UTC).date().isoformat()}, "a day at least"),
        ("filter", {"since": "2020-01-01"}, None),
        ("filter", {"since": "2020-01-01", "until": "2020-02-01", "windows": 2}, "windows"),
        ("exact", {"since": "2020-01-01", "until": "2020-02-01", "windows": 2}, None),
    ],
)
def test_dates_are_never_silently_ignored(time_window, fields, refused):
    capabilities = Capabilities(time_window=time_window, licence=False)
    if refused is None:
        check_dates("x", capabilities, wanted(**fields))
    else:
        with pytest.raises(errors.Unprocessable, match=refused):
            check_dates("x", capabilities, wanted(**fields))


@pytest.mark.parametrize(("days", "name"), [(1, "d"), (6, "d"), (7, "w"), (40, "m"), (365, "y"), (3000, "y")])
def test_the_longest_span_that_does_not_reach_too_far_back(days, name):
    today = date(2024, 5, 1)
    assert preset(today - timedelta(days=days), today) == name


def test_what_settings_do_not_allow():
    with pytest.raises(errors.Unprocessable, match="REEL_INGEST__CONTACT"):
        providers.check(wanted(provider="wikimedia"), Ingest())
    with pytest.raises(errors.Unprocessable, match="REEL_INGEST__DDGS"):
        providers.check(wanted(provider="ddgs"), Ingest())
    providers.check(wanted(provider="wikimedia"), Ingest(contact="me@example.org"))
    providers.check(wanted(provider="ddgs"), Ingest(ddgs=True))
    assert providers.CAPABILITIES["wikimedia"].time_window == "exact"
    assert not providers.CAPABILITIES["ddgs"].licence


# --- the search engine, by its real library ---------------------------------------------------------------------


@pytest.fixture
def wire(monkeypatch):
    """The engine's answers in place of the internet; lists what the library asked for."""
    asked = []

    class Answer:
        status_code = 200

        def __init__(self, content):
            self.content, self.text = content, content.decode()

    def request(_client, method, url, params=None, **_options):
        asked.append((url, dict(params or {})))
        if url == "https://duckduckgo.com":
            return Answer(b'vqd="4-123456"&')
        start = int((params or {}).get("s", 0))
        rows = [
            f'{{"title": "<b>Kiki</b> {i}", "image": "https://a.example/{i}.jpg", "thumbnail": "", '
            f'"url": "https://a.example/{i}", "height": 300, "width": 400, "source": "x"}}'
            for i in range(start, min(start + 100, 130))
        ]
        return Answer(f'{{"results": [{", ".join(rows)}]}}'.encode())

    monkeypatch.setattr(HttpClient, "request", request)
    return asked


def engine():
    return SearchEngine(Fetcher(user_agent="Reelsight/0.1"), picture_bytes=1000)


def test_the_engine_alone_is_asked_page_by_page(wire):
    found = list(engine().search(Query("kiki", "fanart", limit=500)))
    assert {c.url for c in found} == {f"https://a.example/{i}.jpg" for i in range(130)}
    first = next(c for c in found if c.url.endswith("/0.jpg"))
    assert (first.title, first.page_url, first.width, first.height) == (
        "Kiki 0",
        "https://a.example/0",
        400,
        300,
    )
    assert (first.licence, first.provider) == ("", "ddgs")
    assert {url for url, _ in wire} == {"https://duckduckgo.com", "https://duckduckgo.com/i.js"}
    searches = [params for url, params in wire if url.endswith("i.js")]
    assert {params["q"] for params in searches} == {"kiki fanart"}
    assert [params.get("s") for params in searches] == [None, "100", "200"]


def test_the_engine_looks_back_and_stops_at_the_limit(wire):
    since = datetime.now(UTC).date() - timedelta(days=10)
    assert len(list(engine().search(Query("kiki", limit=7, since=since)))) == 7
    assert "time:Week" in wire[-1][1]["f"]
    assert len(wire) == 2


def test_an_engine_that_cannot_be_reached(monkeypatch):
    from ddgs.exceptions import DDGSException

    def request(*_args, **_options):
        raise DDGSException("ConnectError")

    monkeypatch.setattr(HttpClient, "request", request)
    with pytest.raises(errors.Unavailable, match="search engine"):
        next(engine().search(Query("kiki")))
