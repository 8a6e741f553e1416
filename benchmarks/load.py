"""A light HTTP client for closed loops: keep-alive connections that send requests made beforehand, as raw bytes.

`python benchmarks/load.py` reads one window's description as JSON from stdin and prints what came of it. It runs as
a process of its own, so that its processor time can be told: it shares the cores with what it measures.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

LOST = 0
"""The status of a request that got no answer."""
BOUNDARY = "reel-benchmark-boundary"
MARK = 16
"""Characters that make each picture another one: a comment in the JPEG, so that nobody can remember its answer."""


class Answer(NamedTuple):
    status: int
    headers: bytes
    body: bytes


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiting: asyncio.Future[Answer] | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> Connection:
        _, made = await asyncio.get_running_loop().create_connection(cls, host, port)
        return made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionResetError("closed before the answer"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        found = _parse(self._buffer)
        if found is not None and self._waiting is not None and not self._waiting.done():
            self._buffer.clear()
            self._waiting.set_result(found)

    async def ask(self, request: bytes) -> Answer:
        """Send a whole request and wait for its answer; OSError when the connection breaks."""
        if self.transport is None:
            raise ConnectionResetError("the server closed the connection")
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._waiting

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


def _parse(buffer: bytearray) -> Answer | None:
    """Return the answer once it is whole; bodies come with a length or in chunks."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(buffer[:end]).lower()
    status = int(head[9:12])
    at = head.find(b"content-length:")
    if at >= 0:
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        whole = end + 4 + length
        return Answer(status, head, bytes(buffer[end + 4 : whole])) if len(buffer) >= whole else None
    if status in (204, 304):
        return Answer(status, head, b"")
    if b"transfer-encoding: chunked" in head:
        return Answer(status, head, _unchunk(buffer[end + 4 :])) if buffer.endswith(b"0\r\n\r\n") else None
    raise ValueError(f"neither a length nor chunks: {head!r}")


def _unchunk(data: bytearray) -> bytes:
    body, place = b"", 0
    while True:
        line = data.index(b"\r\n", place)
        size = int(data[place:line].split(b";")[0], 16)
        if size == 0:
            return body
        body += bytes(data[line + 2 : line + 2 + size])
        place = line + 4 + size


def request(
    method: str, path: str, host: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def marked(jpeg: bytes) -> tuple[bytes, bytes]:
    """Split a JPEG around a comment of MARK bytes that stands behind its first marker."""
    return jpeg[:2] + b"\xff\xfe" + (MARK + 2).to_bytes(2, "big"), jpeg[2:]


def upload(target: dict, jpeg: bytes) -> tuple[bytes, bytes]:
    """Return the request that uploads a picture, before and behind the mark that tells it from all others."""
    before, behind = marked(jpeg)
    if target["form"]:
        head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="picture.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        )
        before, behind = head.encode() + before, behind + f"\r\n--{BOUNDARY}--\r\n".encode()
        kind = f"multipart/form-data; boundary={BOUNDARY}"
    else:
        kind = "image/jpeg"
    host, port = target["host"], target["port"]
    headers = {
        **target["headers"],
        "Content-Type": kind,
        "Content-Length": str(len(before) + MARK + len(behind)),
    }
    lines = [f"POST {target['path']} HTTP/1.1", f"Host: {host}:{port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + before, behind


class Window:
    """Clients in closed loops over one target, or over several by least outstanding."""

    def __init__(self, spec: dict) -> None:
        self.spec = spec
        pictures = [Path(name).read_bytes() for name in spec["pictures"]]
        self.requests = [[upload(target, jpeg) for jpeg in pictures] for target in spec["targets"]]
        self.outstanding = [0] * len(spec["targets"])
        self.statuses: Counter[int] = Counter()
        self.waits: list[float] = []
        self.unclear = 0
        self.sent = 0
        self.salt = secrets.token_hex(5)[:9]

    async def run(self) -> dict:
        began = time.perf_counter()
        self.start, self.end = began + self.spec["warm"], began + self.spec["warm"] + self.spec["seconds"]
        cpu = time.process_time()
        await asyncio.gather(*(self._client() for _ in range(self.spec["clients"])))
        cpu = time.process_time() - cpu
        total = time.perf_counter() - began
        return {
            "statuses": dict(self.statuses),
            "waits": self.waits,
            "unclear": self.unclear,
            "sent": self.sent,
            "per_second": len(self.waits) / self.spec["seconds"],
            "client_cores": cpu / total,
            "client_ms": 1000 * cpu / max(1, self.sent),
        }

    async def _client(self) -> None:
        connections: list[Connection | None] = [None] * len(self.outstanding)
        while (asked := time.perf_counter()) < self.end:
            place = min(range(len(self.outstanding)), key=self.outstanding.__getitem__)
            self.outstanding[place] += 1
            answer = await self._ask(connections, place)
            self.outstanding[place] -= 1
            done = time.perf_counter()
            self.statuses[answer.status] += 1
            if answer.status != 200 and not (answer.status == 429 and b"retry-after:" in answer.headers):
                self.unclear += 1
            if answer.status == 200 and self.start <= done < self.end:
                self.waits.append(1000 * (done - asked))
            if answer.status != 200:
                await asyncio.sleep(0.01)
        for connection in connections:
            if connection is not None:
                connection.close()

    async def _ask(self, connections: list[Connection | None], place: int) -> Answer:
        target = self.spec["targets"][place]
        before, behind = self.requests[place][self.sent % len(self.requests[place])]
        mark = f"{self.salt}{self.sent:07d}"[-MARK:].encode()
        self.sent += 1
        try:
            connection = connections[place]
            if connection is None or connection.transport is None:
                connection = connections[place] = await Connection.open(target["host"], target["port"])
            return await asyncio.wait_for(connection.ask(before + mark + behind), self.spec["patience"])
        except (OSError, TimeoutError, ValueError):
            connections[place] = None
            return Answer(LOST, b"", b"")


def main() -> None:
    print(json.dumps(asyncio.run(Window(json.load(sys.stdin)).run())))


if __name__ == "__main__":
    main()
