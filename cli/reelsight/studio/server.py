"""A web server on this machine alone that answers like the APIs of Openverse and of Wikimedia Commons with the gallery.

Called by `reel demo`.
"""

from __future__ import annotations

import hashlib
import html
import json
import threading
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from reelsight.studio import commons
from reelsight.studio.catalogue import film
from reelsight.studio.gallery import PER_STYLE, Expected, Offer, expected, make_gallery
from reelsight.studio.lookup import licence_of, matching

ANONYMOUS_PAGE = 20
DEEPEST = 240  # results an anonymous caller may page through, as the real service allows
_MEDIA = {"jpg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp"}


@dataclass(frozen=True, slots=True)
class Studio:
    """A running gallery: its address, and what it holds."""

    url: str
    host: str  # 127.0.0.1:port
    offers: tuple[Offer, ...]
    directory: Path

    @property
    def commons_url(self) -> str:
        return f"{self.url}/{'/'.join(commons.PATH)}"

    def expected(
        self, *, label: str | None = None, style: str | None = None, gone: Container[str] = ()
    ) -> Expected:
        return expected(self.offers, label=label, style=style, gone=gone)

    def of_bytes(self, hashes: Container[str]) -> set[str]:
        """The offers whose files have these SHA-256 sums."""
        read = {o.id: (self.directory / o.file).read_bytes() for o in self.offers}
        return {name for name, data in read.items() if hashlib.sha256(data).hexdigest() in hashes}


class BadQuery(ValueError):
    """A parameter that the API does not take."""


def search(offers: tuple[Offer, ...], query: Mapping[str, list[str]]) -> dict[str, Any]:
    """Answer `/v1/images/`: result_count, page_count, page_size, page and that page's offers."""
    page, size = _number(query, "page", 1), _number(query, "page_size", ANONYMOUS_PAGE)
    if size > ANONYMOUS_PAGE or page * size > DEEPEST:
        raise BadQuery(f"page_size is at most {ANONYMOUS_PAGE} and page * page_size at most {DEEPEST}.")
    licences = {x for value in query.get("license", []) for x in value.split(",") if x}
    found = [
        offer
        for offer in matching(offers, " ".join(query.get("q", [])))
        if not licences or offer.licence in licences
    ]
    return {
        "result_count": len(found),
        "page_count": ceil(len(found) / size),
        "page_size": size,
        "page": page,
        "results": found[(page - 1) * size : page * size],
    }


def _number(query: Mapping[str, list[str]], name: str, default: int) -> int:
    text = query.get(name, [str(default)])[-1]
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise BadQuery(f"{name} must be a whole number from 1.")
    return int(text)


def described(offer: Offer, base: str) -> dict[str, Any]:
    """An offer as the Openverse API describes an image."""
    licence, deed = licence_of(offer)
    detail = f"{base}/v1/images/{offer.id}/"
    tags = [film(offer.label).title.lower(), offer.style, *(name.lower() for name in offer.characters)]
    return {
        "id": offer.id,
        "title": offer.title,
        "indexed_on": "2026-01-15T08:00:00Z",
        "foreign_landing_url": f"{base}/pictures/{offer.id}",
        "url": f"{base}/media/{offer.file}",
        "creator": offer.creator,
        "creator_url": f"{base}/people/{quote(offer.creator)}",
        "license": offer.licence,
        "license_version": offer.licence_version,
        "license_url": deed,
        "provider": "reelsight-studio",
        "source": "reelsight-studio",
        "category": "illustration",
        "filesize": offer.filesize,
        "filetype": offer.filetype,
        "tags": [{"name": tag, "accuracy": None, "unstable__provider": "reelsight-studio"} for tag in tags],
        "attribution": f'"{offer.title}" by {offer.creator} is licensed under {licence}. '
        f"To view a copy of this license, visit {deed}.",
        "fields_matched": ["title"],
        "mature": False,
        "height": offer.height,
        "width": offer.width,
        "thumbnail": f"{detail}thumb/",
        "detail_url": detail,
        "related_url": f"{detail}related/",
        "unstable__sensitivity": [],
    }


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD of the API, the files, robots.txt and a page for each picture."""

    protocol_version = "HTTP/1.1"
    server_version = "ReelsightStudio"

    def __init__(self, *args: Any, directory: Path, offers: tuple[Offer, ...]) -> None:
        self.directory, self.offers = directory, offers
        self.by_id = {offer.id: offer for offer in offers}
        self.by_file = {offer.file: offer for offer in offers}
        super().__init__(*args)

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        parts = [part for part in target.path.split("/") if part]
        if parts == ["v1", "images"]:
            self._search(target.query)
        elif tuple(parts) == commons.PATH:
            self._json(commons.answer(self.offers, parse_qs(target.query), self._base()))
        elif parts[:2] == ["v1", "images"] and len(parts) > 2:
            self._image(parts[2], parts[3:])
        elif parts[:1] == ["media"] and "/".join(parts[1:]) in self.by_file:
            self._file(self.by_file["/".join(parts[1:])])
        elif parts == ["robots.txt"]:
            self._answer(b"User-agent: *\nAllow: /\n", "text/plain; charset=utf-8")
        elif parts[:1] == ["pictures"] and len(parts) == 2 and parts[1] in self.by_id:
            self._page(self.by_id[parts[1]])
        elif parts in ([], ["licences"]):
            self._answer(_LICENCES.encode(), "text/html; charset=utf-8")
        else:
            self._json({"detail": "Not found."}, HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET  # noqa: N815

    def _base(self) -> str:
        return f"http://127.0.0.1:{self.connection.getsockname()[1]}"

    def _search(self, query: str) -> None:
        try:
            answer = search(self.offers, parse_qs(query))
        except BadQuery as error:
            self._json({"detail": str(error)}, HTTPStatus.BAD_REQUEST)
            return
        self._json({**answer, "results": [described(offer, self._base()) for offer in answer["results"]]})

    def _image(self, identity: str, rest: list[str]) -> None:
        offer = self.by_id.get(identity)
        if offer is None or rest not in ([], ["thumb"], ["related"]):
            self._json({"detail": "Not found."}, HTTPStatus.NOT_FOUND)
        elif rest == ["thumb"]:
            self._file(offer)
        elif rest == ["related"]:
            alike = [o for o in self.offers if o.label == offer.label and o.id != offer.id][:10]
            self._json({"result_count": len(alike), "results": [described(o, self._base()) for o in alike]})
        else:
            self._json(described(offer, self._base()))

    def _file(self, offer: Offer) -> None:
        self._answer((self.directory / offer.file).read_bytes(), _MEDIA[offer.filetype])

    def _page(self, offer: Offer) -> None:
        about = described(offer, self._base())
        title, credit = html.escape(offer.title), html.escape(about["attribution"])
        page = f'<!doctype html><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>'
        page += f'<img src="{about["url"]}" alt="{title}"><p>{credit}</p>'
        self._answer(page.encode(), "text/html; charset=utf-8")

    def _json(self, body: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._answer(json.dumps(body).encode(), "application/json", status)

    def _answer(self, body: bytes, media_type: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: the demo's screen is the log."""


_LICENCES = """<!doctype html><meta charset="utf-8"><title>Licences</title><h1>Licences</h1>
<p>Every picture here was drawn by a program for demonstrations of Reelsight. The search API tells the licence and
the attribution line of each; the creators' names are invented.</p>
"""


def open_server(directory: Path, offers: list[Offer], *, port: int = 0) -> ThreadingHTTPServer:
    """Bind on the loopback address; port 0 takes a free one. The caller serves and closes it."""
    handler = partial(Handler, directory=directory, offers=tuple(offers))
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    return server


@contextmanager
def serve(directory: Path, *, seed: int, port: int = 0, per_style: int = PER_STYLE) -> Iterator[Studio]:
    """Draw the gallery if need be and serve it while the block runs."""
    offers = make_gallery(directory, seed=seed, per_style=per_style)
    server = open_server(directory, offers, port=port)
    thread = threading.Thread(target=server.serve_forever, name="studio", daemon=True)
    thread.start()
    try:
        host = f"127.0.0.1:{server.server_address[1]}"
        yield Studio(f"http://{host}", host, tuple(offers), directory)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def serve_forever(directory: Path, *, seed: int, port: int, per_style: int = PER_STYLE) -> None:
    """The same in a process of its own, until it is stopped."""
    with open_server(directory, make_gallery(directory, seed=seed, per_style=per_style), port=port) as server:
        server.serve_forever()
