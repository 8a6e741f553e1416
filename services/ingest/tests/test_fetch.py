"""Fetching, against a real server on this machine that misbehaves in every way a stranger's may."""

from __future__ import annotations

import socket
import time
from collections import Counter

import httpcore
import pytest

from reel_ingest.fetch import Fetcher, Refused

AGENT = "Reelsight/0.1 (test)"


@pytest.fixture
def fetcher(server):
    return make(server)


def make(server, **options):
    settings = {
        "seconds": 5.0,
        "per_host_per_second": 1000.0,
        "first_wait": 0.01,
        "allowed_hosts": [server.host],
    }
    return Fetcher(user_agent=AGENT, **{**settings, **options})


def reason_of(fetcher, url, max_bytes=1000):
    with pytest.raises(Refused) as refused:
        fetcher.get(url, max_bytes=max_bytes)
    assert refused.value.extra["reason"] == refused.value.reason
    return refused.value.reason


def test_bytes_arrive_and_the_client_says_who_it_is(server, fetcher):
    server.pages["/a.jpg"] = lambda h: h.answer(body=b"picture", Content_Type="image/jpeg; x=y")
    fetched = fetcher.get(server.url("/a.jpg"), max_bytes=1000)
    assert (fetched.body, fetched.media_type, fetched.url) == (b"picture", "image/jpeg", server.url("/a.jpg"))
    assert server.headers_seen[-1]["User-Agent"] == AGENT
    assert server.headers_seen[-1]["Accept-Encoding"] == "identity"


def test_redirects_are_followed_three_times(server, fetcher):
    for i in range(5):
        server.pages[f"/{i}"] = lambda h, i=i: h.answer(302, Location=f"/{i + 1}")
    server.pages["/5"] = lambda h: h.answer(body=b"end")
    assert fetcher.get(server.url("/2"), max_bytes=10).body == b"end"
    assert reason_of(fetcher, server.url("/1")) == "redirects"


def test_an_endless_redirect_ends(server, fetcher):
    server.pages["/loop"] = lambda h: h.answer(301, Location="/loop")
    assert reason_of(fetcher, server.url("/loop")) == "redirects"
    assert server.asked.count("/loop") == 4


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/", "private-address"),
        ("http://[::ffff:127.0.0.1]/", "private-address"),
        ("http://2130706433/", "private-address"),
        ("http://localhost/", "private-address"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://example.org/", "scheme"),
        ("http://me:secret@example.org/", "credentials"),  # pragma: allowlist secret
        ("http://example.org:22/", "port"),
        ("http://exa mple.org/", "bad-url"),
        ("", "redirects"),
    ],
)
def test_rules_hold_after_a_redirect(server, fetcher, location, reason):
    server.pages["/go"] = lambda h: h.answer(302, Location=location)
    assert reason_of(fetcher, server.url("/go")) == reason


def test_a_redirect_to_another_port_of_this_machine(server, fetcher, new_server):
    with new_server() as other:
        server.pages["/go"] = lambda h: h.answer(302, Location=other.url("/secret"))
        assert reason_of(fetcher, server.url("/go")) == "private-address"
        assert other.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://2130706433/", "http://0x7f.1/",
        "http://127.1/", "http://0/", "http://10.0.0.1/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/",
        "http://100.64.0.1/", "http://169.254.169.254/latest/", "http://localhost/", "https://192.168.0.1/",
    ],
)  # fmt: skip
def test_private_addresses_in_any_spelling(fetcher, url):
    assert reason_of(fetcher, url) == "private-address"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.org/a.jpg", "scheme"),
        ("example.org/a.jpg", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("http://user@example.org/", "credentials"),
        ("http://example.org:8080/", "port"),
        ("http://", "bad-url"),
        ("http://[::1", "bad-url"),
        ("http://a\nb/", "bad-url"),
        ("https://example.org/" + "a" * 5000, "bad-url"),
        ("http://xn--/", "bad-url"),
    ],
)
def test_addresses_that_are_not_fetched(fetcher, url, reason):
    found = reason_of(fetcher, url)
    assert found == reason


class Dial:
    """Stands where the socket is opened: notes the address and goes to the local server instead."""

    def __init__(self, monkeypatch, server):
        self.dialled = []
        real = httpcore.SyncBackend.connect_tcp

        def connect(backend, host, port, timeout=None, local_address=None, socket_options=None):
            self.dialled.append((host, port))
            return real(
                backend, "127.0.0.1", server.server_address[1], timeout, local_address, socket_options
            )

        monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)


def test_the_address_that_was_checked_is_the_one_dialled(server, monkeypatch):
    dial = Dial(monkeypatch, server)
    server.pages["/a"] = lambda h: h.answer(body=b"ok")
    fetcher = make(server, resolver=lambda host, port: ["93.184.216.34"])
    assert fetcher.get("http://pictures.example/a", max_bytes=10).body == b"ok"
    assert set(dial.dialled) == {("93.184.216.34", 80)}
    assert server.headers_seen[-1]["Host"] == "pictures.example"


def test_dns_rebinding_gains_nothing(server, monkeypatch):
    dial = Dial(monkeypatch, server)
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    fetcher = make(server, resolver=lambda host, port: next(answers))
    assert reason_of(fetcher, "http://pictures.example/a") == "private-address"
    assert dial.dialled == [("93.184.216.34", 80)]  # robots.txt, before the name changed its mind
    assert server.asked == ["/robots.txt"]


def test_one_private_address_among_public_ones_is_enough(server, monkeypatch):
    dial = Dial(monkeypatch, server)
    fetcher = make(server, resolver=lambda host, port: ["93.184.216.34", "::1"])
    assert reason_of(fetcher, "http://pictures.example/a") == "private-address"
    assert dial.dialled == []


def test_a_name_without_address(server):
    def nowhere(host, port):
        raise socket.gaierror("no such name")

    assert reason_of(make(server, resolver=nowhere), "http://pictures.example/a") == "unresolvable"


def test_the_exemption_is_for_one_host_and_port_only(server):
    port = server.server_address[1]
    server.pages["/a"] = lambda h: h.answer(body=b"ok")
    named = make(server, allowed_hosts=[f"pictures.test:{port}"], resolver=lambda host, port: ["127.0.0.1"])
    assert named.get(f"http://pictures.test:{port}/a", max_bytes=10).body == b"ok"
    assert server.headers_seen[-1]["Host"] == f"pictures.test:{port}"
    assert reason_of(named, server.url("/a")) == "private-address"
    assert reason_of(named, "http://pictures.test/a") == "private-address"


def test_too_large_by_its_own_account_is_not_read(server, fetcher):
    server.pages["/big"] = lambda h: h.answer(body=b"x" * 2000)
    assert reason_of(fetcher, server.url("/big")) == "too-many-bytes"


def test_too_large_without_saying_so_is_cut_off(server, fetcher):
    sent = Counter()

    def stream(handler):
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        for _ in range(5000):
            handler.wfile.write(b"x" * 10_000)
            sent["bytes"] += 10_000

    server.pages["/stream"] = stream
    assert reason_of(fetcher, server.url("/stream"), max_bytes=50_000) == "too-many-bytes"
    assert sent["bytes"] < 40_000_000


def drip(handler, head):
    if not head:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    else:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for i in range(200):
        time.sleep(0.05)
        handler.wfile.write(f"X-{i}: y\r\n".encode() if head else b"x")


@pytest.mark.parametrize("head", [True, False])
def test_a_slow_drip_ends_at_the_deadline(server, head):
    server.pages["/drip"] = lambda h: drip(h, head)
    begun = time.monotonic()
    assert reason_of(make(server, seconds=0.4), server.url("/drip"), max_bytes=100_000) == "timeout"
    assert time.monotonic() - begun < 2


def test_a_failing_server_is_tried_again(server, fetcher):
    failures = iter([503, 429])

    def page(handler):
        status = next(failures, 200)
        handler.answer(status, b"at last" if status == 200 else b"", Retry_After="0")

    server.pages["/flaky"] = page
    assert fetcher.get(server.url("/flaky"), max_bytes=100).body == b"at last"
    assert server.asked.count("/flaky") == 3


def test_retry_after_is_waited_for(server, fetcher):
    answers = iter([(429, b""), (200, b"ok")])

    def page(handler):
        status, body = next(answers)
        handler.answer(status, body, Retry_After="1")

    server.pages["/busy"] = page
    begun = time.monotonic()
    assert fetcher.get(server.url("/busy"), max_bytes=100).body == b"ok"
    assert time.monotonic() - begun >= 1


@pytest.mark.parametrize(("status", "times"), [(404, 1), (403, 1), (410, 1), (503, 3), (500, 3)])
def test_only_failures_that_may_pass_are_tried_again(server, fetcher, status, times):
    server.pages["/x"] = lambda h: h.answer(status)
    assert reason_of(fetcher, server.url("/x")) == f"http-{status}"
    assert server.asked.count("/x") == times


@pytest.mark.parametrize("wish", ["soon", "Mon, 01 Jan 2024 00:00:00 +99999999999999999999"])
def test_a_retry_after_that_says_nothing_is_no_wish(server, fetcher, wish):
    server.pages["/x"] = lambda h: h.answer(200, b"ok", Retry_After=wish)
    fetched = fetcher.get(server.url("/x"), max_bytes=100)
    assert (fetched.body, fetched.retry_after) == (b"ok", None)


def test_a_wait_of_an_hour_is_not_waited(server, fetcher):
    server.pages["/x"] = lambda h: h.answer(429, Retry_After="3600")
    assert reason_of(fetcher, server.url("/x")) == "http-429"
    assert server.asked.count("/x") == 1


def test_nobody_listens(server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
        fetcher = make(server, allowed_hosts=[host])
        assert reason_of(fetcher, f"http://{host}/a") == "unreachable"


@pytest.mark.parametrize(
    ("send", "reason"),
    [
        (b"garbage\r\n\r\n", "unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", "unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\nabc", "encoded"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "empty"),
        (b"", "unreachable"),
    ],
)
def test_broken_answers(server, fetcher, send, reason):
    def page(handler):
        handler.wfile.write(send)
        handler.close_connection = True

    server.pages["/broken"] = page
    assert reason_of(fetcher, server.url("/broken")) == reason


def test_robots_are_asked_once_and_obeyed(server, fetcher):
    server.pages["/robots.txt"] = lambda h: h.answer(
        body=b"User-agent: Reelsight\nDisallow: /private/\n\nUser-agent: *\nAllow: /\n"
    )
    for path in ("/a", "/b", "/private/c"):
        server.pages[path] = lambda h: h.answer(body=b"ok")
    fetcher.get(server.url("/a"), max_bytes=10)
    fetcher.get(server.url("/b"), max_bytes=10)
    assert reason_of(fetcher, server.url("/private/c")) == "robots"
    assert server.asked == ["/robots.txt", "/a", "/b"]
    assert fetcher.get(server.url("/private/c"), max_bytes=10, crawl=False).body == b"ok"


def test_robots_of_a_server_in_trouble_mean_no(server, fetcher):
    server.pages["/robots.txt"] = lambda h: h.answer(500)
    server.pages["/a"] = lambda h: h.answer(body=b"ok")
    assert reason_of(fetcher, server.url("/a")) == "robots-unreadable"
    assert "/a" not in server.asked


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        ("noai", True),
        ("noindex, NoImageAI", True),
        ("reelsight: noai", True),
        ("otherbot: noai", False),
        ("noindex", False),
        ("unavailable_after: 25 Jun 2030 15:00:00 PST, noai", True),
        ("unavailable_after: Tue, 25 Jun 2030 15:00:00 GMT, noai", True),
        ("noindex, reelsight: noai", True),
        ("otherbot: noai, reelsight: noai", True),
        ("reelsight: noindex, noai", True),
        ("otherbot: noindex, noai", False),
        ("reelsight: noindex, otherbot: noai", False),
        ("otherbot: noindex, *: noai", True),
        ("noai: soon", False),
    ],
)
def test_pictures_that_do_not_want_to_be_trained_on(server, fetcher, value, refused):
    server.pages["/a"] = lambda h: h.answer(body=b"ok", X_Robots_Tag=value)
    if refused:
        assert reason_of(fetcher, server.url("/a")) == "noai"
    else:
        assert fetcher.get(server.url("/a"), max_bytes=10).body == b"ok"


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        (["otherbot: noindex", "noai"], True),
        (["noindex", "otherbot: noai", "reelsight: noimageai"], True),
        (["otherbot: noai", "reelsight: noindex"], False),
    ],
)
def test_the_wish_may_stand_in_any_of_several_headers(server, fetcher, values, refused):
    def page(handler):
        handler.send_response(200)
        for value in values:
            handler.send_header("X-Robots-Tag", value)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"ok")

    server.pages["/a"] = page
    if refused:
        assert reason_of(fetcher, server.url("/a")) == "noai"
    else:
        assert fetcher.get(server.url("/a"), max_bytes=10).body == b"ok"


def test_requests_to_one_host_keep_their_pace(server):
    server.pages["/a"] = lambda h: h.answer(body=b"ok")
    fetcher = make(server, per_host_per_second=20)
    begun = time.monotonic()
    for _ in range(5):
        fetcher.get(server.url("/a"), max_bytes=10)
    assert time.monotonic() - begun >= 5 / 20  # five pages and robots.txt: five gaps


def test_the_environments_proxy_is_ignored(server, fetcher, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    server.pages["/a"] = lambda h: h.answer(body=b"ok")
    assert fetcher.get(server.url("/a"), max_bytes=10).body == b"ok"


def test_a_token_does_not_follow_a_redirect_to_another_site(server, new_server):
    with new_server() as other:
        server.pages["/go"] = lambda h: h.answer(302, Location=other.url("/b"))
        other.pages["/b"] = lambda h: h.answer(body=b"ok")
        fetcher = make(server, allowed_hosts=[server.host, other.host])
        fetcher.get(server.url("/go"), max_bytes=10, crawl=False, headers={"Authorization": "Bearer x"})
        assert server.headers_seen[-1]["Authorization"] == "Bearer x"
        assert "Authorization" not in other.headers_seen[-1]
