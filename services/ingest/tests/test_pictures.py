"""Collecting: every candidate is kept, a duplicate or refused for a reason, and the sums agree."""

from __future__ import annotations

import io
import threading
import time
from collections import Counter

import cv2
import numpy as np
import pytest
from PIL import Image

from reel_ingest.connection import Refused
from reel_ingest.duplicates import phash
from reel_ingest.fetch import Fetcher
from reel_ingest.pictures import LANES, collect_pictures
from reel_ingest.sieve import Sieve
from reel_ingest.web_sources.provider import Candidate, Query
from reel_ingest.web_sources.urls import Urls
from reel_shared import errors


def pixels(seed, size=(200, 300)):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form, **options)
    return buffer.getvalue()


def collect(contents, sieve=None, **options):
    """Collect from a dictionary of URL to bytes, or to an error that fetching raises."""
    sieve = sieve or Sieve(near_distance=6)

    def fetch(candidate):
        content = contents[candidate.url]
        if isinstance(content, Exception):
            raise content
        return content

    candidates = [Candidate(url, "urls", creator="someone") for url in contents]
    kept = list(collect_pictures(candidates, fetch=fetch, sieve=sieve, **options))
    counts = sieve.counts
    assert counts.kept == len(kept)
    assert counts.seen == counts.kept + counts.exact_duplicates + counts.near_duplicates + sum(
        counts.refused.values()
    )
    return kept, counts


def test_every_candidate_is_accounted_for():
    original = pixels(1)
    smaller = cv2.resize(original, (240, 160), interpolation=cv2.INTER_AREA)
    kept, counts = collect(
        {
            "a": encoded(original),
            "same bytes": encoded(original),
            "smaller copy": encoded(smaller, "JPEG", quality=60),
            "another": encoded(pixels(2), "WEBP"),
            "html": b"<!doctype html><html>not a picture</html>",
            "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "cut": encoded(pixels(3))[:2000],
            "tiny": encoded(pixels(4)[:40, :40]),
            "black": encoded(np.zeros((200, 300, 3), np.uint8)),
            "black again": encoded(np.zeros((100, 300, 3), np.uint8)),
            "bomb": encoded(np.zeros((1200, 1200, 3), np.uint8)),
            "gone": Refused("http-404", "The server answered 404."),
        },
        max_pixels=1_000_000,
    )
    assert [p.candidate.url for p in kept] == ["a", "another"]
    assert counts.model_dump() == {
        "seen": 12,
        "kept": 2,
        "exact_duplicates": 1,
        "near_duplicates": 1,
        "refused": {
            "not-a-picture": 2, "truncated": 1, "too-small": 1, "dark": 2, "too-many-pixels": 1, "http-404": 1
        },
    }  # fmt: skip


def test_what_is_kept_is_described_and_unchanged():
    data = encoded(pixels(1), "WEBP")
    [picture], _ = collect({"a": data})
    assert (picture.data, picture.media_type) == (data, "image/webp")
    assert (picture.width, picture.height) == (300, 200)
    assert picture.candidate.creator == "someone"
    assert bin(picture.phash ^ phash(pixels(1))).count("1") <= 4


def test_pictures_that_stand_already_are_duplicates():
    [first], _ = collect({"a": encoded(pixels(1))})
    sieve = Sieve(near_distance=6, known=[(first.sha256, first.phash)])
    _, counts = collect({"same": encoded(pixels(1)), "near": encoded(pixels(1), "JPEG")}, sieve)
    assert (counts.exact_duplicates, counts.near_duplicates, counts.kept) == (1, 1, 0)


def test_near_distance_is_the_callers():
    near = pixels(1).copy()
    near[:60, :60] = 255
    contents = {"a": encoded(pixels(1)), "changed": encoded(near)}
    bits = bin(phash(pixels(1)) ^ phash(near)).count("1")
    assert bits > 1
    assert collect(contents, Sieve(near_distance=bits))[1].near_duplicates == 1
    assert collect(contents, Sieve(near_distance=bits - 1))[1].kept == 2


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
    kept = list(collect_pictures(candidates, fetch=fetch, sieve=Sieve(near_distance=0)))
    assert [p.candidate.url for p in kept] == list(contents)
    assert 1 < max(most) <= LANES


def test_candidates_are_not_drawn_far_ahead_and_stopping_stops_fetching():
    asked = []

    def endless():
        for i in range(10_000):
            asked.append(i)
            yield Candidate(str(i), "urls")

    def stop(done):
        if done == 5:
            raise errors.JobTimeout

    pictures = collect_pictures(
        endless(), fetch=lambda c: encoded(pixels(int(c.url))), sieve=Sieve(near_distance=0), on_progress=stop
    )
    with pytest.raises(errors.JobTimeout):
        list(pictures)
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
    sieve = Sieve(near_distance=6)
    kept = list(collect_pictures(provider.search(Query("")), fetch=provider.fetch, sieve=sieve))
    assert [p.media_type for p in kept] == ["image/jpeg", "image/png"]
    assert sieve.counts.refused == {
        "not-a-picture": 1, "too-many-bytes": 1, "noai": 1, "private-address": 1, "http-404": 1
    }  # fmt: skip
