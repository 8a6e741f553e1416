"""Threads that work for whoever starts them: their log lines carry the same ids of request, trace and job."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class Pool(ThreadPoolExecutor):
    """A ``ThreadPoolExecutor`` in which each call runs in a copy of its submitter's context."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        return super().submit(copy_context().run, fn, *args, **kwargs)


def start(target: Callable[..., object], *args: Any, name: str) -> threading.Thread:
    """Start a daemon thread that runs ``target(*args)`` in a copy of the caller's context."""
    thread = threading.Thread(target=copy_context().run, args=(target, *args), name=name, daemon=True)
    thread.start()
    return thread
