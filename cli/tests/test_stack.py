"""A platform that starts knows its own API from another one's."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from reelsight.platform.stack import Access, Stack


class _Api(BaseHTTPRequestHandler):
    """Knows one key, and is not ready when first asked."""

    asked = 0

    def do_GET(self):
        type(self).asked += 1
        known = self.headers["Authorization"] == "Bearer ours"
        self.send_response(503 if self.asked == 1 else 200 if known else 401)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Api", (_Api,), {"asked": 0}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_waits_for_its_own_api(tmp_path, url):
    stack = Stack(tmp_path)
    stack.access = Access(url, "ours")
    stack._wait_for_api()


def test_another_platform_at_the_port_is_not_taken_for_its_own(tmp_path, url):
    stack = Stack(tmp_path)
    stack.access = Access(url, "another's")
    with pytest.raises(OSError, match="is another platform's by now"):
        stack._wait_for_api()
