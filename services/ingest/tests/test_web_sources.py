"""Providers: the Openverse API's answers, zip files made to hurt, plain lists and folders."""

from __future__ import annotations

import json
import stat
import struct
import zipfile
from urllib.parse import parse_qs, urlsplit

import pytest

from reel_ingest.fetch import Fetcher, Refused
from reel_ingest.web_sources.archive import Archive
from reel_ingest.web_sources.folder import Folder
from reel_ingest.web_sources.openverse import Openverse, licence_name
from reel_ingest.web_sources.provider import Candidate, Query
from reel_ingest.web_sources.urls import Urls
from reel_shared import errors

RESULT = {
    "id": "b5a9b2f0-6b1e-4c7a-9d38-1f5d6f8f2f10",
    "title": "Kiki on her broom",
    "foreign_landing_url": "https://www.flickr.com/photos/x/1",
    "url": "https://live.staticflickr.com/1.jpg",
    "creator": "A. Painter",
    "creator_url": "https://www.flickr.com/photos/x",
    "license": "by-sa",
    "license_version": "2.0",
    "license_url": "https://creativecommons.org/licenses/by-sa/2.0/",
    "provider": "flickr",
    "attribution": '"Kiki on her broom" by A. Painter is licensed under CC BY-SA 2.0.',
    "height": 768,
    "width": 1024,
}


@pytest.fixture
def fetcher(server):
    return Fetcher(
        user_agent="Reelsight/0.1", allowed_hosts=[server.host], per_host_per_second=1000, first_wait=0.01
    )


@pytest.fixture
def openverse(server, fetcher):
    """An API with 45 pictures, which answers as the real one does."""

    def images(handler):
        asked = parse_qs(urlsplit(handler.path).query)
        page, size = int(asked["page"][0]), int(asked["page_size"][0])
        if size > 20 and "Authorization" not in handler.headers:
            return handler.answer(401, b'{"detail": "page_size must be 20 or less"}')
        found = [{**RESULT, "url": f"https://example.org/{i}.jpg"} for i in range(45)][(page - 1) * size :][
            :size
        ]
        answer = {
            "result_count": 45,
            "page_count": -(-45 // size),
            "page_size": size,
            "page": page,
            "results": found,
        }
        return handler.answer(body=json.dumps(answer).encode(), Content_Type="application/json")

    server.pages["/v1/images/"] = images
    return Openverse(server.url("/"), fetcher, picture_bytes=1000)


def test_openverse_pages_through_everything(openverse, server):
    found = list(openverse.search(Query("kiki", "fanart", limit=200)))
    assert [c.url for c in found] == [f"https://example.org/{i}.jpg" for i in range(45)]
    asked = [parse_qs(urlsplit(path).query) for path in server.asked]
    assert [a["page"] for a in asked] == [["1"], ["2"], ["3"]]
    assert {a["q"][0] for a in asked} == {"kiki fanart"}
    assert "/robots.txt" not in server.asked


def test_openverse_stops_at_the_limit(openverse, server):
    assert len(list(openverse.search(Query("kiki", limit=25)))) == 25
    assert len(server.asked) == 2
    assert len(list(openverse.search(Query("kiki", limit=5)))) == 5
    assert parse_qs(urlsplit(server.asked[-1]).query)["page_size"] == ["5"]


def test_openverse_keeps_licence_and_maker(openverse):
    first = next(openverse.search(Query("kiki")))
    assert first == Candidate(
        url="https://example.org/0.jpg",
        provider="openverse",
        title="Kiki on her broom",
        creator="A. Painter",
        licence="CC BY-SA 2.0",
        licence_url="https://creativecommons.org/licenses/by-sa/2.0/",
        attribution='"Kiki on her broom" by A. Painter is licensed under CC BY-SA 2.0.',
        page_url="https://www.flickr.com/photos/x/1",
        width=1024,
        height=768,
        provider_id="b5a9b2f0-6b1e-4c7a-9d38-1f5d6f8f2f10",
    )


def test_openverse_token_is_sent_and_pages_are_larger(openverse, server, fetcher):
    known = Openverse(server.url("/"), fetcher, picture_bytes=1000, token="secret")
    assert len(list(known.search(Query("kiki")))) == 45
    assert server.headers_seen[-1]["Authorization"] == "Bearer secret"
    assert len(server.asked) == 1


def test_openverse_fields_may_be_null(server, fetcher):
    results = [
        {"url": "https://example.org/a.jpg", "title": None, "license": None, "width": None},
        {"url": ""},
        "?",
    ]
    server.pages["/v1/images/"] = lambda h: h.answer(
        body=json.dumps({"page_count": 1, "results": results}).encode()
    )
    assert list(Openverse(server.url(""), fetcher, picture_bytes=1).search(Query("x"))) == [
        Candidate("https://example.org/a.jpg", "openverse")
    ]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b"{}", errors.BadRequest),
        (400, b"{}", errors.BadRequest),
        (429, b"{}", errors.Unavailable),
        (503, b"{}", errors.Unavailable),
        (200, b"<html>", errors.Unavailable),
        (200, b'{"results": 3}', errors.Unavailable),
    ],
)
def test_openverse_troubles_are_told_apart(server, fetcher, status, body, error):
    server.pages["/v1/images/"] = lambda h: h.answer(status, body)
    with pytest.raises(error, match="Openverse"):
        next(Openverse(server.url(""), fetcher, picture_bytes=1).search(Query("x")))


def test_openverse_waits_when_told_to(openverse, server):
    pages, refusals = server.pages["/v1/images/"], iter([429, 429])

    def busy(handler):
        status = next(refusals, None)
        return handler.answer(status, Retry_After="0") if status else pages(handler)

    server.pages["/v1/images/"] = busy
    assert len(list(openverse.search(Query("kiki", limit=3)))) == 3


@pytest.mark.parametrize(
    ("slug", "version", "name"),
    [
        ("by", "4.0", "CC BY 4.0"),
        ("by-nc-nd", "2.0", "CC BY-NC-ND 2.0"),
        ("cc0", "1.0", "CC0 1.0"),
        ("", "", ""),
    ],
)
def test_licence_name(slug, version, name):
    assert licence_name(slug, version) == name


def test_query_words():
    assert Query("disney tarzan", "sketch").words == "disney tarzan sketch"
    assert Query("tarzan Sketches", "sketch").words == "tarzan Sketches"
    assert Query("tarzan").words == "tarzan"


def test_urls(server, fetcher):
    server.pages["/a.png"] = lambda h: h.answer(body=b"bytes")
    urls = Urls(
        [server.url("/a.png"), "x", "y"], fetcher, picture_bytes=10, licence="CC0 1.0", attribution="me"
    )
    found = list(urls.search(Query("", limit=2)))
    assert [c.url for c in found] == [server.url("/a.png"), "x", "y"]
    assert (found[0].licence, found[0].attribution) == ("CC0 1.0", "me")
    assert urls.fetch(found[0]) == b"bytes"


def test_folder_reads_only_what_is_asked_for():
    read = []
    folder = Folder(iter(["p/1.png", "p/2.png", "p/3.png"]), lambda key: read.append(key) or key.encode())
    found = list(folder.search(Query("", limit=2)))
    assert [c.title for c in found] == ["1.png", "2.png", "3.png"]
    assert folder.fetch(found[1]) == b"p/2.png"
    assert read == ["p/2.png"]


# --- zip ------------------------------------------------------------------------------------------------------


def archive(tmp_path, write, **limits):
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        write(file)
    return Archive(path, **{"picture_bytes": 50_000_000, **limits})


def reasons(source, limit=100):
    found = {}
    for candidate in source.search(Query("", limit=limit)):
        try:
            found[candidate.url] = source.fetch(candidate)
        except Refused as refused:
            found[candidate.url] = refused.reason
    return found


def test_zip_members_come_in_order_without_litter(tmp_path):
    def write(file):
        file.writestr("kiki/1.png", b"one")
        file.writestr("__MACOSX/kiki/._1.png", b"litter")
        file.mkdir("empty")
        file.writestr("kiki/.DS_Store", b"litter")
        file.writestr("kiki/2.png", b"two")

    assert reasons(archive(tmp_path, write)) == {"kiki/1.png": b"one", "kiki/2.png": b"two"}


def test_zip_members_that_reach_out_are_refused(tmp_path):
    def write(file):
        for name in ("../../etc/passwd", "/etc/passwd", "a/../../b.png", "C:/x.png", "..\\x.png"):
            file.writestr(name, b"x")
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
        file.writestr("10:30.png", b"a time, not a drive")

    found = reasons(archive(tmp_path, write))
    assert found.pop("10:30.png") == b"a time, not a drive"
    assert found.pop("link.png") == "link"
    assert len(found) == 5
    assert set(found.values()) == {"unsafe-path"}


def test_zip_bombs(tmp_path):
    def write(file):
        file.writestr("bomb.png", bytes(30_000_000))
        file.writestr("big.png", bytes(60_000_000))
        file.writestr("flat.bmp", bytes(500_000))

    found = reasons(archive(tmp_path, write))
    assert (found["bomb.png"], found["big.png"]) == ("bomb", "too-many-bytes")
    assert len(found["flat.bmp"]) == 500_000


def test_a_zip_that_lies_about_its_sizes(tmp_path):
    path = tmp_path / "liar.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", bytes(5_000_000))
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = data.index(signature) + offset
        data[at : at + 4] = struct.pack("<I", 100)
    path.write_bytes(data)
    assert reasons(Archive(path, picture_bytes=1000)) == {"a.png": "damaged"}


def test_a_zip_with_too_many_members_or_bytes(tmp_path):
    def write(file):
        for i in range(10):
            file.writestr(f"{i}.png", bytes(1000))

    with pytest.raises(errors.TooLarge, match="more than 9 files"):
        archive(tmp_path, write, members=9)
    with pytest.raises(errors.TooLarge, match="unpacks to more"):
        reasons(archive(tmp_path, write, total_bytes=5000))


@pytest.fixture
def no_table_is_read(monkeypatch):
    def read(*args, **kwargs):
        raise AssertionError("the table of contents was read before it was judged")

    monkeypatch.setattr(zipfile.ZipFile, "_RealGetContents", read)


def with_ten_members(tmp_path, *, comment=b""):
    path = tmp_path / "ten.zip"
    with zipfile.ZipFile(path, "w") as file:
        for i in range(10):
            file.writestr(f"{i}.png", b"x")
        file.comment = comment
    return path


def as_zip64(path, *, entries, gap=b""):
    """Move the end record's facts into a 64-bit one, as for more than 65,535 members."""
    data = path.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    size, offset = struct.unpack("<LL", data[end + 12 : end + 20])
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, size, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    last = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
    path.write_bytes(data[:end] + record + gap + locator + last)


@pytest.mark.parametrize("comment", [b"", b"with a comment"])
@pytest.mark.usefixtures("no_table_is_read")
def test_members_are_counted_before_the_table_is_read(tmp_path, comment):
    path = with_ten_members(tmp_path, comment=comment)
    with pytest.raises(errors.TooLarge, match="more than 9 files"):
        Archive(path, picture_bytes=10, members=9)
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    data[end + 8 : end + 12] = struct.pack("<HH", 1, 1)
    path.write_bytes(data)
    with pytest.raises(errors.TooLarge, match="more than 9 files"):
        Archive(path, picture_bytes=10, members=9)


@pytest.mark.parametrize(("entries", "gap"), [(70_000, b""), (10, b""), (1, b""), (1, b"extensible")])
@pytest.mark.usefixtures("no_table_is_read")
def test_members_of_a_large_zip_are_counted_too(tmp_path, entries, gap):
    path = with_ten_members(tmp_path)
    as_zip64(path, entries=entries, gap=gap)
    with pytest.raises(errors.TooLarge, match="more than 9 files"):
        Archive(path, picture_bytes=10, members=9)


@pytest.mark.usefixtures("no_table_is_read")
def test_a_table_of_few_but_huge_entries_is_refused(tmp_path):
    path = tmp_path / "wide.zip"
    with zipfile.ZipFile(path, "w") as file:
        info = zipfile.ZipInfo("1.png")
        info.comment = bytes(60_000)
        file.writestr(info, b"x")
    with pytest.raises(errors.TooLarge, match="table of contents"):
        Archive(path, picture_bytes=10, members=9)


def test_as_many_members_as_are_allowed_pass(tmp_path):
    path = with_ten_members(tmp_path, comment=b"exactly")
    path.write_bytes(b"#!/bin/sh something before" + path.read_bytes())
    assert Archive(path, picture_bytes=10, members=10).count() == 10
    path = with_ten_members(tmp_path)
    as_zip64(path, entries=10)
    assert Archive(path, picture_bytes=10, members=10).count() == 10


def test_damaged_and_encrypted_members_do_not_spoil_the_rest(tmp_path):
    path = tmp_path / "mixed.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("good.png", "damaged.png", "secret.png"):
            file.writestr(name, b"content of " + name.encode())
    data = bytearray(path.read_bytes())
    data[data.index(b"content of damaged")] ^= 0xFF
    entry = data.index(b"secret.png", data.index(b"PK\x01\x02")) - 46
    data[entry + 8] |= 1
    path.write_bytes(data)
    found = reasons(Archive(path, picture_bytes=1000))
    assert found == {"good.png": b"content of good.png", "damaged.png": "damaged", "secret.png": "encrypted"}


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut"])
def test_what_is_no_zip(tmp_path, content):
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    with pytest.raises(errors.BadRequest, match="not a zip"):
        Archive(path, picture_bytes=10)
