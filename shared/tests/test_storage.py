"""Storage against a real S3 server: content keys, hashes, limits, faults."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from reel_shared.embedded import Seaweed
from reel_shared.errors import BadRequest, Corrupt, NotFound, StorageUnavailable, TooLarge
from reel_shared.object_storage import Storage
from reel_shared.s3 import connect
from reel_shared.settings import S3
from reel_shared.testing.doubles import InMemoryStorage

pytestmark = pytest.mark.servers


@pytest.fixture
def real(s3: Seaweed, bucket: str) -> Storage:
    return Storage(s3.settings(bucket))


@pytest.fixture(params=["s3", "memory"])
def store(request: pytest.FixtureRequest) -> Storage:
    """The double has to pass what the real one passes."""
    return request.getfixturevalue("real") if request.param == "s3" else InMemoryStorage()


def overwrite(store: Storage, s3: Seaweed | None, key: str, data: bytes, sha: str) -> None:
    if isinstance(store, InMemoryStorage):
        store.objects[key] = data
    else:
        assert s3 is not None
        client = connect(s3.settings(store.bucket), s3.endpoint)
        client.put_object(store.bucket, key, io.BytesIO(data), len(data), metadata={"sha256": sha})


def test_the_same_bytes_have_one_key_and_come_back(store: Storage) -> None:
    data = b"a picture"
    sha = hashlib.sha256(data).hexdigest()
    stored = store.put_bytes("images", data, "image/jpeg", ".jpg")
    assert stored.key == f"images/{sha[:2]}/{sha}.jpg"
    assert (stored.size, stored.sha256, stored.media_type) == (len(data), sha, "image/jpeg")
    assert store.put_bytes("images", data, "image/jpeg", ".jpg") == stored
    assert store.get_bytes(stored.key, max_bytes=100) == data
    info = store.stat(stored.key)
    assert (info.size, info.sha256, info.media_type) == (len(data), sha, "image/jpeg")
    assert [found.key for found in store.list("images/")] == [stored.key]


def test_bytes_that_stand_are_not_sent_again(real: Storage) -> None:
    stored = real.put_bytes("images", b"once", "image/png")
    first = real.stat(stored.key).modified
    time.sleep(1.1)
    real.put_bytes("images", b"once", "image/png")
    assert real.stat(stored.key).modified == first


def test_a_damaged_object_is_sent_again(real: Storage, s3: Seaweed) -> None:
    stored = real.put_bytes("images", b"whole", "image/png")
    overwrite(real, s3, stored.key, b"whol", stored.sha256)
    real.put_bytes("images", b"whole", "image/png")
    assert real.get_bytes(stored.key, max_bytes=10) == b"whole"


def test_a_flipped_byte_is_noticed(store: Storage, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    s3 = request.getfixturevalue("s3") if store.bucket.startswith("reel-test") else None
    stored = store.put_bytes("images", b"pixels", "image/png")
    overwrite(store, s3, stored.key, b"pixelz", stored.sha256)
    with pytest.raises(Corrupt):
        store.get_bytes(stored.key, max_bytes=100)
    with pytest.raises(Corrupt):
        store.get_file(stored.key, tmp_path / "picture.png")
    assert list(tmp_path.iterdir()) == []


def test_the_hash_that_the_caller_knows_wins(store: Storage) -> None:
    stored = store.put_at("jobs/job_1/lease_1/a.json", b"{}", "application/json")
    assert store.get_bytes(stored.key, max_bytes=10, sha256=stored.sha256) == b"{}"
    with pytest.raises(Corrupt):
        store.get_bytes(stored.key, max_bytes=10, sha256="0" * 64)


def test_a_missing_key_is_not_found(store: Storage, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="images/none"):
        store.get_bytes("images/none", max_bytes=10)
    with pytest.raises(NotFound):
        store.get_file("images/none", tmp_path / "x")
    with pytest.raises(NotFound):
        store.stat("images/none")
    assert not store.exists("images/none")
    store.delete("images/none")


def test_deleting_removes(store: Storage) -> None:
    key = store.put_bytes("images", b"x", "image/png").key
    assert store.exists(key)
    store.delete(key)
    assert not store.exists(key)


def test_a_long_object_is_refused_before_it_is_read(store: Storage) -> None:
    key = store.put_bytes("images", b"x" * 1000, "image/png").key
    with pytest.raises(TooLarge):
        store.get_bytes(key, max_bytes=999)
    assert len(store.get_bytes(key, max_bytes=1000)) == 1000


def test_a_large_file_goes_and_comes_in_parts(real: Storage, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(os.urandom(40 * 2**20 + 17))
    stored = real.put_file("movies", film, "video/mp4", ".mp4")
    assert stored.size == film.stat().st_size
    assert real.stat(stored.key).sha256 == stored.sha256
    back = real.get_file(stored.key, tmp_path / "deep" / "back.mp4", sha256=stored.sha256)
    assert back.read_bytes() == film.read_bytes()
    assert [path.name for path in back.parent.iterdir()] == ["back.mp4"]


@pytest.mark.parametrize("as_file", [True, False])
def test_an_upload_of_unknown_length_is_capped(store: Storage, as_file: bool) -> None:
    data = b"0123456789" * 1000
    stream = io.BytesIO(data) if as_file else iter([data[:5000], data[5000:]])
    assert store.put_stream("uploads", stream, "video/mp4", max_bytes=10_000).size == 10_000
    with pytest.raises(TooLarge) as refused:
        store.put_stream("uploads", iter([data, b"x"]), "video/mp4", max_bytes=10_000)
    assert refused.value.extra["reason"] == "too-many-bytes"
    assert len(list(store.list("uploads/"))) == 1


@pytest.mark.parametrize("key", ["", "/etc/passwd", "a/../b", "a//b", "a b", "é", "images/x\n", "a" * 900])
def test_strange_keys_are_refused(store: Storage, key: str) -> None:
    for attempt in (store.stat, store.delete, store.presigned_url):
        with pytest.raises(BadRequest):
            attempt(key)
    with pytest.raises(BadRequest):
        store.put_at(key, b"", "text/plain")


def test_listing_goes_on_past_one_page(real: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = sorted(f"jobs/{number:03}" for number in range(25))
    for key in keys:
        real.put_at(key, b"", "text/plain")
    real.put_at("jobsother", b"", "text/plain")
    for module in ("reel_shared.s3", "reel_shared.object_storage"):
        monkeypatch.setattr(f"{module}.PAGE", 10)
    assert [info.key for info in real.list("jobs/")] == keys


def test_a_link_works_without_credentials_until_it_expires(real: Storage, s3: Seaweed) -> None:
    key = real.put_bytes("images", b"shown", "image/png").key
    with urllib.request.urlopen(real.presigned_url(key, download_name='a "film".png')) as answer:
        assert answer.read() == b"shown"
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["content-disposition"].startswith('attachment; filename="a _film_.png"')
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"http://{s3.endpoint}/{real.bucket}/{key}")
    short = Storage(s3.settings(real.bucket).model_copy(update={"url_lifetime_seconds": 1}))
    url = short.presigned_url(key)
    time.sleep(2.1)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url)


def test_links_name_the_public_endpoint(s3: Seaweed) -> None:
    public = s3.settings("pictures").model_copy(update={"public_endpoint": "files.example.org:9000"})
    url = Storage(public).presigned_url("images/a")
    assert url.startswith("http://files.example.org:9000/pictures/images/a?")


def test_a_server_that_is_away_is_waited_for_and_then_reported() -> None:
    store = Storage(S3(endpoint="127.0.0.1:1"), patience_seconds=0.6)
    begun = time.monotonic()
    with pytest.raises(StorageUnavailable, match=r"127\.0\.0\.1:1 ") as failure:
        store.get_bytes("images/a", max_bytes=1)
    assert 0.2 < time.monotonic() - begun < 5
    assert failure.value.retryable
    begun = time.monotonic()
    with pytest.raises(StorageUnavailable):
        store.ready()
    assert time.monotonic() - begun < 2.5


def test_ready_says_when_the_bucket_is_missing(s3: Seaweed) -> None:
    store = Storage(s3.settings("reel-nowhere"), patience_seconds=1)
    with pytest.raises(StorageUnavailable, match="reel-nowhere"):
        store.ready()
    store.ensure_bucket()
    store.ensure_bucket()
    store.ready()
    connect(s3.settings(), s3.endpoint).remove_bucket("reel-nowhere")


def test_a_wrong_key_is_reported_at_once(s3: Seaweed, bucket: str) -> None:
    wrong = s3.settings(bucket).model_copy(update={"access_key": "stranger"})
    begun = time.monotonic()
    with pytest.raises(StorageUnavailable, match="ACCESS_KEY"):
        Storage(wrong, patience_seconds=20).stat("images/a")
    assert time.monotonic() - begun < 2


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.mark.chaos
def test_work_goes_on_after_the_server_was_killed(s3: Seaweed, real: Storage) -> None:
    """Four threads store and fetch while the server is killed twice: nothing is lost, nothing fails."""
    done: list[tuple[str, bytes]] = []
    failures: list[BaseException] = []
    over = threading.Event()

    def work(worker: int) -> None:
        number = 0
        try:
            while not over.is_set():
                data = f"{worker} {number} ".encode() * 2000
                key = real.put_bytes("images", data, "image/png").key
                assert real.get_bytes(key, max_bytes=10**6) == data
                done.append((key, data))
                number += 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        before = len(done)
        wait_for(lambda before=before: len(done) > before + 20)
        s3.kill()
        time.sleep(1)
        s3.start()
    after = len(done)
    wait_for(lambda: len(done) > after + 20)
    over.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert failures == []
    assert all(real.get_bytes(key, max_bytes=10**6) == data for key, data in done)


@pytest.mark.chaos
def test_a_large_upload_survives_a_kill(s3: Seaweed, real: Storage, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(os.urandom(48 * 2**20))
    killer = threading.Timer(0.15, lambda: (s3.kill(), time.sleep(1), s3.start()))
    killer.start()
    stored = real.put_file("movies", film, "video/mp4", ".mp4")
    killer.join()
    back = real.get_file(stored.key, tmp_path / "back.mp4")
    assert back.read_bytes() == film.read_bytes()
