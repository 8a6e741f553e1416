"""Wikimedia Commons, as its API answers: pages, licences in HTML, days, and its wish to be asked later."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from reel_ingest.fetch import Fetcher
from reel_ingest.web_sources.plain_text import plain_text
from reel_ingest.web_sources.provider import Query
from reel_ingest.web_sources.wikimedia import PAGE_SIZE, Wikimedia, candidate_of, phrase
from reel_shared import errors


def page(index, **changes):
    info = {
        "timestamp": "2021-05-06T07:08:09Z",
        "url": f"https://upload.wikimedia.org/{index}.jpg",
        "descriptionurl": f"https://commons.wikimedia.org/wiki/File:{index}.jpg",
        "mime": "image/jpeg",
        "sha1": f"{index:040x}",
        "width": 800,
        "height": 600,
        "extmetadata": {
            "LicenseShortName": {"value": "CC BY-SA 4.0"},
            "LicenseUrl": {"value": "https://creativecommons.org/licenses/by-sa/4.0"},
            "Artist": {
                "value": '<a href="//x" onclick="steal()">A. <b>Painter</b></a><script>bad()</script>'
            },
            "Credit": {"value": '<span class="int-own-work">Own work</span>'},
        },
        **changes,
    }
    return {"pageid": 100 + index, "title": f"File:Kiki {index}.jpg", "index": index, "imageinfo": [info]}


@pytest.fixture
def commons(server):
    """An API with 120 files, its pages out of order as the real one's are."""

    def answer(handler):
        asked = parse_qs(urlsplit(handler.path).query)
        start, size = int(asked.get("gsroffset", ["0"])[0]), int(asked["gsrlimit"][0])
        pages = [page(index) for index in range(start + 1, min(120, start + size) + 1)]
        found = {"query": {"pages": pages[::-1]}}
        if start + size < 120:
            found["continue"] = {"gsroffset": start + size, "continue": "gsroffset||"}
        handler.answer(body=json.dumps(found).encode())

    server.pages["/w/api.php"] = answer
    return server


@pytest.fixture
def wikimedia(server):
    fetcher = Fetcher(
        user_agent="Reelsight/0.1 (me@example.org)",
        allowed_hosts=[server.host],
        per_host_per_second=1000,
        first_wait=0.01,
    )
    slept = []
    provider = Wikimedia(server.url("/w/api.php"), fetcher, picture_bytes=1000, sleep=slept.append)
    provider.slept = slept
    return provider


def test_all_pages_in_the_engines_order(commons, wikimedia):
    found = list(wikimedia.search(Query("kiki", "fanart", limit=200)))
    assert [c.url for c in found] == [f"https://upload.wikimedia.org/{i}.jpg" for i in range(1, 121)]
    asked = [parse_qs(urlsplit(path).query) for path in commons.asked]
    assert {a["gsrsearch"][0] for a in asked} == {"kiki fanart filetype:bitmap|drawing"}
    assert {(a["gsrnamespace"][0], a["maxlag"][0]) for a in asked} == {("6", "5")}
    assert len(asked) == 3
    assert commons.headers_seen[-1]["User-Agent"] == "Reelsight/0.1 (me@example.org)"
    assert "/robots.txt" not in commons.asked


def test_no_more_is_asked_for_than_is_wanted(commons, wikimedia):
    assert len(list(wikimedia.search(Query("kiki", limit=PAGE_SIZE + 3)))) == PAGE_SIZE + 3
    assert parse_qs(urlsplit(commons.asked[-1]).query)["gsrlimit"] == ["3"]


def test_days_are_said_in_the_engines_terms():
    query = Query("kiki", since=date(2020, 1, 1), until=date(2020, 2, 1))
    assert phrase(query) == (
        "kiki filetype:bitmap|drawing creationdate:>=2020-01-01 creationdate:<2020-02-01"
    )
    assert phrase(Query("insource:kiki")) == "insource kiki filetype:bitmap|drawing"


def test_licence_and_maker_are_kept_as_text():
    found = candidate_of(page(1))
    assert found.creator == "A. Painter"
    assert (found.licence, found.licence_url) == (
        "CC BY-SA 4.0",
        "https://creativecommons.org/licenses/by-sa/4.0",
    )
    assert found.page_url == "https://commons.wikimedia.org/wiki/File:1.jpg"
    assert found.attribution == '"Kiki 1" by A. Painter (Own work), via Wikimedia Commons, CC BY-SA 4.0'
    assert found.taken_at == datetime(2021, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert (found.title, found.width, found.height, found.provider_id) == ("Kiki 1", 800, 600, f"{1:040x}")


def test_huge_files_and_vector_drawings_are_taken_as_the_sites_own_previews():
    smaller = {"thumburl": "https://upload.wikimedia.org/1280px.png", "thumbwidth": 1280, "thumbheight": 960}
    huge = candidate_of(page(1, width=20_000, height=15_000, **smaller))
    drawing = candidate_of(page(1, mime="image/svg+xml", **smaller))
    for found in (huge, drawing):
        assert (found.url, found.width, found.height) == (smaller["thumburl"], 1280, 960)
    assert candidate_of(page(1, **smaller)).url.endswith("/1.jpg")


def test_sounds_and_missing_fields():
    assert candidate_of(page(1, mime="audio/ogg")) is None
    assert candidate_of({"title": "File:x.jpg"}) is None
    bare = candidate_of(page(1, extmetadata=None, timestamp="yesterday", width=None, sha1=None))
    assert (bare.creator, bare.licence, bare.taken_at, bare.width) == ("", "", None, None)
    assert bare.provider_id == "101"


def test_lagging_servers_are_given_the_time_they_ask_for(commons, wikimedia):
    answer, refusals = commons.pages["/w/api.php"], iter([1, 2])

    def lagging(handler):
        if next(refusals, None):
            body = json.dumps({"error": {"code": "maxlag", "info": "Waiting: 7 seconds lagged"}}).encode()
            return handler.answer(body=body, Retry_After="7")
        return answer(handler)

    commons.pages["/w/api.php"] = lagging
    assert len(list(wikimedia.search(Query("kiki", limit=3)))) == 3
    assert wikimedia.slept == [7.0, 7.0]


def test_servers_that_lag_on_and_on_are_left_alone(server, wikimedia):
    body = json.dumps({"error": {"code": "maxlag"}}).encode()
    server.pages["/w/api.php"] = lambda h: h.answer(body=body, Retry_After="9999")
    with pytest.raises(errors.Unavailable, match="busy"):
        next(wikimedia.search(Query("kiki")))
    assert max(wikimedia.slept) <= 60


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (403, b"", errors.Unprocessable, "REEL_INGEST__CONTACT"),
        (429, b"", errors.Unavailable, "now"),
        (500, b"", errors.Unavailable, "now"),
        (200, b"<html>", errors.Unavailable, "cannot be read"),
        (200, b'{"error": {"code": "cirrussearch-too-busy"}}', errors.Unprocessable, "cirrussearch-too-busy"),
    ],
)
def test_troubles_are_told_apart(server, wikimedia, status, body, error, words):
    server.pages["/w/api.php"] = lambda h: h.answer(status, body)
    with pytest.raises(error, match=words):
        next(wikimedia.search(Query("kiki")))


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("A &amp; B", "A & B"),
        ("<p>one</p><p>two</p>", "one two"),
        ("<style>p{}</style>x<!-- no -->", "x"),
        ("&lt;script&gt;", "<script>"),
        ("</script>after", "after"),
        ("", ""),
    ],
)
def test_plain_text(html, text):
    assert plain_text(html) == text
