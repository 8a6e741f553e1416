"""Encrypted fetching against an authority of our own, names that never resolve, and what may be tried again."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from http.server import ThreadingHTTPServer

import httpcore
import pytest

from reel_ingest.fetch import Fetcher, Refused, _seconds
from reel_ingest.politeness import Pace, Robots

NAME = "pictures.example"


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """Make a certificate for ``pictures.example``, signed by an authority of our own; gives (authority, pair)."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl(
        "req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test authority", "-days", "2",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",  # Python 3.13 trusts no authority without it
    )  # fmt: skip
    openssl(
        "req", "-x509", *new, "-keyout", "site.key", "-out", "site.pem", "-subj", f"/CN={NAME}", "-days", "2",
        "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", f"subjectAltName=DNS:{NAME}",
        "-addext", "basicConstraints=critical,CA:FALSE",
    )  # fmt: skip
    return folder / "ca.pem", (folder / "site.pem", folder / "site.key")


@pytest.fixture
def encrypted(server, authority, monkeypatch):
    """The local web server behind TLS; every dialled connection goes to it. ``names`` lists the SNI seen."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority[1])
    names = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    secure = ThreadingHTTPServer(("127.0.0.1", 0), server.RequestHandlerClass)
    secure.pages, secure.asked, secure.headers_seen, secure.names = server.pages, [], [], names
    secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    secure.handle_error = lambda *_: None
    real = httpcore.SyncBackend.connect_tcp
    port = secure.server_address[1]
    monkeypatch.setattr(
        httpcore.SyncBackend,
        "connect_tcp",
        lambda self, host, _port, *rest: real(self, "127.0.0.1", port, *rest),
    )
    threading.Thread(target=secure.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield secure
    secure.shutdown()
    secure.server_close()


def make(**options):
    settings = {"seconds": 3.0, "per_host_per_second": 1000.0, "first_wait": 0.01}
    resolver = options.pop("resolver", lambda host, port: ["93.184.216.34"])
    return Fetcher(user_agent="Reelsight/0.1", resolver=resolver, **{**settings, **options})


def make_local(server):
    return make(allowed_hosts=[server.host], resolver=lambda host, port: [host])


def refusal(fetcher, url):
    with pytest.raises(Refused) as refused:
        fetcher.get(url, max_bytes=1000)
    return refused.value


def test_a_trusted_certificate_for_the_name_that_was_asked(encrypted, authority):
    encrypted.pages["/a.jpg"] = lambda h: h.answer(body=b"secret")
    fetcher = make(tls=ssl.create_default_context(cafile=authority[0]))
    assert fetcher.get(f"https://{NAME}/a.jpg", max_bytes=100).body == b"secret"
    assert set(encrypted.names) == {NAME}
    assert encrypted.headers_seen[-1]["Host"] == NAME


@pytest.mark.parametrize("host", [NAME, "other.example"])
def test_certificates_that_are_not_trusted_or_for_another_name(encrypted, authority, host):
    trusted = ssl.create_default_context(cafile=authority[0]) if host != NAME else None
    refused = refusal(make(tls=trusted), f"https://{host}/a.jpg")
    assert (refused.reason, refused.again, refused.transient) == ("tls", False, False)
    assert encrypted.asked == []


def test_a_server_that_speaks_no_tls(server, monkeypatch):
    real = httpcore.SyncBackend.connect_tcp
    port = server.server_address[1]
    monkeypatch.setattr(
        httpcore.SyncBackend,
        "connect_tcp",
        lambda self, host, _port, *rest: real(self, "127.0.0.1", port, *rest),
    )
    assert refusal(make(), f"https://{NAME}/a.jpg").reason == "tls"


def test_a_name_server_that_never_answers_does_not_outlast_the_deadline():
    wake = threading.Event()

    def hang(host, port):
        wake.wait(20)
        return ["93.184.216.34"]

    begun = time.monotonic()
    refused = refusal(make(seconds=0.3, resolver=hang), f"http://{NAME}/a.jpg")
    wake.set()
    assert time.monotonic() - begun < 3
    assert (refused.reason, refused.again, refused.transient) == ("timeout", False, True)


@pytest.mark.parametrize(
    ("code", "transient"), [(socket.EAI_AGAIN, True), (socket.EAI_NONAME, False)], ids=["later", "never"]
)
def test_a_name_that_does_not_resolve_now_or_ever(code, transient):
    asked = []

    def nowhere(host, port):
        asked.append(host)
        raise socket.gaierror(code, "no")

    refused = refusal(make(resolver=nowhere), f"http://{NAME}/a.jpg")
    assert (refused.reason, refused.transient) == ("unresolvable", transient)
    assert len(asked) == (3 if transient else 1)


@pytest.mark.parametrize(
    ("status", "transient"), [(404, False), (403, False), (429, True), (500, True), (503, True), (507, True)]
)
def test_which_answers_may_be_tried_again_some_day(server, status, transient):
    server.pages["/x"] = lambda h: h.answer(status)
    refused = refusal(make_local(server), server.url("/x"))
    assert (refused.reason, refused.transient) == (f"http-{status}", transient)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_site_that_cannot_show_its_rules_is_left_alone_for_a_while(server, status):
    server.pages["/robots.txt"] = lambda h: h.answer(status)
    refused = refusal(make_local(server), server.url("/x"))
    assert (refused.reason, refused.transient) == ("robots-unreadable", True)
    assert "/x" not in server.asked


def test_rules_are_read_again_after_a_day_and_trouble_after_minutes():
    now, texts = [0.0], ["User-agent: *\nDisallow: /", None, ""]
    read = []
    robots = Robots("Reelsight", lambda site: read.append(site) or texts[len(read) - 1], clock=lambda: now[0])
    verdicts = []
    for moment in (1, 3600, 25 * 3600, 25 * 3600 + 60, 25 * 3600 + 600):
        now[0] = float(moment)
        verdicts.append(robots.allow("http://a", "http://a/x"))
    assert verdicts == [False, False, None, None, True]
    assert len(read) == 3


def test_a_host_that_asks_for_time_gets_it_from_everybody():
    waited = []
    pace = Pace(1000, sleep=waited.append)
    pace.wait("busy")
    pace.hold("busy", 30)
    pace.wait("busy")
    pace.wait("other")
    assert len(waited) == 1
    assert 29 < waited[0] <= 30


def test_retry_after_as_a_date():
    assert _seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert 3e8 < _seconds("Wed, 21 Oct 2065 07:28:00 GMT") < 1.5e9
    assert _seconds("120") == 120
    assert _seconds("soon") is None
    assert _seconds("²") is None
