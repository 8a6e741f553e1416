"""Collecting: every candidate becomes a picture that is described and stored, or is refused for a reason."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections import Counter
from contextlib import closing
from itertools import islice

import cv2
import numpy as np
import pytest
from PIL import Image

from reel_ingest.duplicates import distance
from reel_ingest.fetch import Fetcher
from reel_ingest.hashing import phash
from reel_ingest.pictures import LANES, Picture, Refusal, Sides, collect_pictures
from reel_ingest.web_sources.provider import Candidate, Query
from reel_ingest.web_sources.urls import Urls
from reel_shared import errors
from reel_shared.connection import Refused
from reel_shared.contracts import StoredFile


def pixels(seed, size=(200, 300)):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_NEAREST)


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form, **options)
    return buffer.getvalue()


def in_memory(data, media_type):
    sha256 = hashlib.sha256(data).hexdigest()
    return StoredFile(key=f"pictures/{sha256}", media_type=media_type, size=len(data), sha256=sha256)


def collect(contents, store=in_memory, **options):
    """Collect from a dictionary of URL to bytes, or to an error that fetching raises; gives outcome by URL."""

    def fetch(candidate):
        content = contents[candidate.url]
        if isinstance(content, Exception):
            raise content
        return content

    candidates = [Candidate(url, "urls", creator="someone") for url in contents]
    found = list(collect_pictures(candidates, fetch=fetch, store=store, **options))
    assert [candidate.url for candidate, _ in found] == list(contents)
    return {candidate.url: outcome for candidate, outcome in found}


def test_every_candidate_is_accounted_for():
    found = collect(
        {
            "a": encoded(pixels(1)),
            "webp": encoded(pixels(2), "WEBP"),
            "html": b"<!doctype html><html>not a picture</html>",
            "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "cut": encoded(pixels(3), "JPEG")[:2000],
            "tiny": encoded(pixels(4)[:40, :40]),
            "black": encoded(np.zeros((200, 300, 3), np.uint8)),
            "bomb": encoded(np.zeros((1200, 1200, 3), np.uint8)),
            "gone": Refused("http-404", "The server answered 404."),
            "slow": Refused("timeout", "The server is slow.", transient=True),
        },
        max_pixels=1_000_000,
    )
    refused = {url: one for url, one in found.items() if isinstance(one, Refusal)}
    assert {url: one.reason for url, one in refused.items()} == {
        "html": "not-a-picture", "svg": "not-a-picture", "cut": "truncated", "bomb": "too-many-pixels",
        "gone": "http-404", "slow": "timeout",
    }  # fmt: skip
    assert [url for url, one in refused.items() if one.transient] == ["slow"]
    checks = {url: one.refusal for url, one in found.items() if isinstance(one, Picture)}
    assert checks == {"a": None, "webp": None, "tiny": "too-small", "black": "dark"}


def test_a_picture_is_described_and_its_bytes_are_stored_unchanged():
    data, kept = encoded(pixels(1), "WEBP"), []

    def store(stored, media_type):
        kept.append(stored)
        return in_memory(stored, media_type)

    picture = collect({"a": data}, store)["a"]
    assert kept == [data]
    assert (picture.file.media_type, picture.width, picture.height) == ("image/webp", 300, 200)
    assert distance(picture.phash, phash(pixels(1))) <= 4
    assert picture.phash_with_bars is None
    assert picture.quality["too_small"] == 200


def test_what_has_bars_is_found_inside_them_and_with_them():
    barred = cv2.copyMakeBorder(pixels(1), 40, 40, 0, 0, cv2.BORDER_CONSTANT)
    picture = collect({"a": encoded(barred, "JPEG")})["a"]
    assert distance(picture.phash, phash(pixels(1))) <= 4
    assert distance(picture.phash_with_bars, phash(barred)) <= 4
    assert (picture.width, picture.height) == (300, 280)


@pytest.mark.parametrize(
    ("sides", "allowed"), [(Sides(200, 300), True), (Sides(201), False), (Sides(0, 299), False)]
)
def test_pictures_of_another_size_are_refused(sides, allowed):
    outcome = collect({"a": encoded(pixels(1))}, sides=sides)["a"]
    assert isinstance(outcome, Picture if allowed else Refusal)
    assert allowed or outcome.reason == "outside-size"


def test_storing_may_refuse():
    def store(_data, _media_type):
        raise Refused("taken-down", "It was taken down.")

    assert collect({"a": encoded(pixels(1))}, store) == {"a": Refusal("taken-down")}


def test_order_is_that_of_the_candidates_although_fetched_together():
    contents = {str(i): encoded(pixels(i)) for i in range(20)}
    running, most = Counter(), []
    lock = threading.Lock()

    def fetch(candidate):
        with lock:
            running["now"] += 1
            most.append(running["now"])
        time.sleep(0.02 if int(candidate.url) % 2 else 0.001)
        with lock:
            running["now"] -= 1
        return contents[candidate.url]

    candidates = (Candidate(url, "urls") for url in contents)
    found = collect_pictures(candidates, fetch=fetch, store=in_memory)
    assert [candidate.url for candidate, _ in found] == list(contents)
    assert 1 < max(most) <= LANES


def test_candidates_are_not_drawn_far_ahead_and_stopping_stops_fetching():
    asked = []

    def endless():
        for i in range(10_000):
            asked.append(i)
            yield Candidate(str(i), "urls")

    found = collect_pictures(endless(), fetch=lambda c: encoded(pixels(int(c.url))), store=in_memory)
    with closing(found):
        for _ in islice(found, 5):
            pass
    assert len(asked) < 5 + 2 * LANES + 2


@pytest.mark.parametrize("error", [errors.StorageUnavailable(), errors.TooLarge("the whole archive")])
def test_errors_that_are_no_pictures_fault_are_raised(error):
    with pytest.raises(type(error)):
        collect({"a": encoded(pixels(1)), "b": error})


def test_over_http_with_everything_that_goes_wrong(server):
    data = encoded(pixels(1), "JPEG")
    server.pages["/good.jpg"] = lambda h: h.answer(body=data, Content_Type="image/jpeg")
    server.pages["/named.jpg"] = lambda h: h.answer(body=b"<html>Sign in</html>", Content_Type="image/jpeg")
    server.pages["/untyped"] = lambda h: h.answer(body=encoded(pixels(2)), Content_Type="text/html")
    server.pages["/big.jpg"] = lambda h: h.answer(body=bytes(200_000))
    server.pages["/noai.jpg"] = lambda h: h.answer(body=data, X_Robots_Tag="noai")
    server.pages["/home.jpg"] = lambda h: h.answer(302, Location="http://127.0.0.1:1/")
    names = ["good.jpg", "named.jpg", "untyped", "big.jpg", "noai.jpg", "home.jpg", "gone.jpg"]
    fetcher = Fetcher(user_agent="Reelsight/0.1", allowed_hosts=[server.host], per_host_per_second=1000)
    provider = Urls([server.url(f"/{name}") for name in names], fetcher, picture_bytes=100_000)
    found = [
        outcome
        for _, outcome in collect_pictures(provider.search(Query("")), fetch=provider.fetch, store=in_memory)
    ]
    kept = [one.file.media_type for one in found if isinstance(one, Picture)]
    assert kept == ["image/jpeg", "image/png"]
    assert Counter(one.reason for one in found if isinstance(one, Refusal)) == {
        "not-a-picture": 1, "too-many-bytes": 1, "noai": 1, "private-address": 1, "http-404": 1
    }  # fmt: skip
