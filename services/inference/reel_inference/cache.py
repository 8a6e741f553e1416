"""Owns the answers that Redis remembers: the same picture asked of the same model in the same way costs no engine.

`Answers` is called by the `predict_pictures` job, `loop_cache.LoopAnswers` by the API. Redis may be away, slow or full
of rubbish: then pictures are computed as if there were no memory.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import structlog
from pydantic import BaseModel, ValidationError

from reel_shared.contracts import Prediction
from reel_shared.quick_redis import Outage, connect

if TYPE_CHECKING:
    from redis import Redis

log = structlog.get_logger(__name__)
PREFIX = "reel:answer:"
ENTRY_BYTES = 8 * 1024
"""A larger answer is not kept: with the number of entries this bounds what Redis holds."""


class Status(StrEnum):
    """What became of a question, as the parameter of the header `Cache-Status` (RFC 9211) says it."""

    HIT = "hit"
    MISS = "fwd=miss"
    BYPASS = "fwd=bypass"
    """Redis is away, or the memory is switched off."""
    REFRESH = "fwd=request"
    """Whoever asked wanted it computed."""


class Looked(NamedTuple):
    """What was found under ``question``, the name by which an answer is kept."""

    question: str
    status: Status
    answer: Prediction | None = None


class _Entry(BaseModel):
    question: str
    answer: Prediction


class Memory:
    """So many places in Redis; which one is a question's own follows from its hash.

    Two questions of one place take it from each other. So the number of entries is bounded by their names alone,
    without an index, and nothing has to be evicted: the server is the queues' broker too and must never be full.
    How Redis is asked is for ``Answers``, in threads, and ``LoopAnswers``, in an event loop.
    """

    def __init__(self, url: str, *, entries: int, seconds: int) -> None:
        """``entries`` 0 remembers nothing; each lives for ``seconds``."""
        self._url, self._entries, self._seconds = url, entries, seconds
        self._outage = Outage()

    @property
    def on(self) -> bool:
        """Whether anything is remembered at all."""
        return self._entries > 0

    def _unasked(self, content: bytes, fingerprint: str, options: str, *, fresh: bool) -> Looked:
        """Name the question, as one that Redis was not asked: `MISS` where it should be."""
        if not self.on:
            return Looked("", Status.BYPASS)
        picture = hashlib.sha256(content).hexdigest()
        question = hashlib.sha256(f"{picture} {fingerprint} {options}".encode()).hexdigest()
        if fresh:
            return Looked(question, Status.REFRESH)
        return Looked(question, Status.MISS if self._outage.may_ask() else Status.BYPASS)

    def _place(self, question: str) -> str:
        return f"{PREFIX}{int(question[:12], 16) % self._entries}"

    def _gone(self, error: Exception) -> None:
        reason = self._outage.met(error)
        if reason is not None:
            log.warning("answers.away", reason=reason)

    def _back(self) -> None:
        missed = self._outage.over()
        if missed is not None:
            log.info("answers.back", unasked=missed)


class Answers(Memory):
    """For threads: each question and each answer is a trip to Redis of its own."""

    @cached_property
    def _redis(self) -> Redis:
        return connect(self._url)

    def prepare(self) -> None:
        """Do what the first question would wait for."""
        if self.on:
            _ = self._redis

    def close(self) -> None:
        if "_redis" in self.__dict__:
            self._redis.close()

    def look(self, content: bytes, fingerprint: str, options: str, *, fresh: bool = False) -> Looked:
        """Look up what was answered of a file's bytes; never raises.

        ``fingerprint`` is the engine's, ``options`` what else changes the answer. ``fresh``: do not ask, only name
        the question, so that ``keep`` can replace the answer.
        """
        looked = self._unasked(content, fingerprint, options, fresh=fresh)
        if looked.status != Status.MISS:
            return looked
        from redis.exceptions import RedisError, ResponseError

        try:
            raw = self._redis.get(self._place(looked.question))
        except ResponseError:  # something else lies there; the next answer overwrites it
            raw = None
        except (RedisError, OSError) as error:
            self._gone(error)
            return Looked(looked.question, Status.BYPASS)
        self._back()
        return found(raw, looked.question)

    def keep(self, question: str, answer: Prediction) -> None:
        """Remember an answer, if Redis is there; never raises."""
        entry = written(question, answer) if self.on and self._outage.may_ask() else None
        if entry is None:
            return
        from redis.exceptions import RedisError

        try:
            self._redis.set(self._place(question), entry, ex=self._seconds)
        except (RedisError, OSError) as error:
            self._gone(error)
        else:
            self._back()


def written(question: str, answer: Prediction) -> bytes | None:
    """An answer as it is kept; None when it is too large for that."""
    entry = _Entry(question=question, answer=answer).model_dump_json().encode()
    return entry if len(entry) <= ENTRY_BYTES else None


def found(raw: object, question: str) -> Looked:
    """What lies in a question's place: a hit only if it is the answer to this very question and can be read."""
    if isinstance(raw, bytes):
        with suppress(ValidationError):
            entry = _Entry.model_validate_json(raw)
            if entry.question == question:
                return Looked(question, Status.HIT, entry.answer)
    return Looked(question, Status.MISS)
