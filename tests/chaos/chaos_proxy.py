"""A TCP proxy that spoils a connection between two parts that live: delay, cut, black hole, a disk that is full.

One for each edge; it runs on an event loop in a thread of its own, and counts what it did.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

_CHUNK = 64 * 1024
_BODY = b"<?xml version='1.0'?><Error><Code>XMinioStorageFull</Code><Message>no space left</Message></Error>"
_FULL = (
    b"HTTP/1.1 507 Insufficient Storage\r\nContent-Type: application/xml\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(_BODY), _BODY)
)
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes close() a reset."""


class Proxy:
    """``with Proxy("127.0.0.1", 5432) as edge: …`` passes everything on until one of its faults is set."""

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.port = 0
        self.delay_seconds = 0.0
        self.silent = False
        """A black hole: connections stand, nothing comes through."""
        self.refusing = False
        """Whoever connects is cut off at once."""
        self.full = False
        """Requests of HTTP that would write are answered with 507."""
        self.cut_after: int | None = None
        """Bytes in either direction after which a connection is cut, once."""
        self.cuts = self.held = self.refusals = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    @classmethod
    def before(cls, url: str) -> Self:
        """Return a proxy in front of what a URL names."""
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        return cls(parts.hostname, parts.port)

    def url(self, url: str) -> str:
        """Return the URL by way of the proxy."""
        parts = urlsplit(url)
        credentials, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{self.port}"))

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection that stands."""
        self._run(self._cut_all())

    def heal(self) -> None:
        self.delay_seconds, self.silent, self.refusing, self.full, self.cut_after = (
            0.0,
            False,
            False,
            False,
            None,
        )

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _close(self) -> None:
        self._server.close()
        await self._cut_all()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _cut_all(self) -> None:
        for writer in list(self._writers):
            self._reset(writer)

    def _reset(self, writer: asyncio.StreamWriter) -> None:
        self.cuts += 1
        sock = writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            self._reset(writer)
            return
        try:
            there, back = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, back}
        self._writers |= both
        passing = [
            asyncio.create_task(self._pass(reader, back, writer, both)),
            asyncio.create_task(self._pass(there, writer, None, both)),
        ]
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # the proxy ends
        finally:
            for task in passing:
                task.cancel()
            self._writers -= both
            for one in both:
                one.close()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        onward: asyncio.StreamWriter,
        asker: asyncio.StreamWriter | None,
        both: set[asyncio.StreamWriter],
    ) -> None:
        """Pass on what one side sends; ``asker``: the side that asks, to which a refusal may be said."""
        passed = 0
        try:
            while data := await reader.read(_CHUNK):
                if self.delay_seconds:
                    self.held += 1
                    await asyncio.sleep(self.delay_seconds)
                while self.silent:
                    self.held += 1
                    await asyncio.sleep(0.02)
                if self.full and asker is not None and data.startswith((b"PUT ", b"POST ")):
                    self.refusals += 1
                    asker.write(_FULL)
                    await asker.drain()
                    return
                passed += len(data)
                if self.cut_after is not None and passed >= self.cut_after:
                    self.cut_after = None
                    for one in both:
                        self._reset(one)
                    return
                onward.write(data)
                await onward.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
