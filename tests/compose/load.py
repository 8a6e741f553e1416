"""Steady load on the predict endpoint: closed-loop callers, whom the engine answers each time, count every answer."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx


@dataclass
class Phase:
    """What happened to the requests that ended while something was done to the platform."""

    name: str
    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    def row(self) -> str:
        ok = self.answers["200"]
        bad = sum(self.answers.values()) - ok
        if not self.latencies:
            return f"{self.name:<42} no request"
        ordered = sorted(self.latencies)
        worst = ordered[-1] * 1000
        p99 = ordered[int(len(ordered) * 0.99)] * 1000
        return (
            f"{self.name:<42} {ok:6d} answered {bad:4d} failed {ok / self.seconds:7.1f}/s "
            f"median {statistics.median(ordered) * 1000:6.0f} ms  p99 {p99:6.0f} ms  worst {worst:6.0f} ms"
        )

    @property
    def failed(self) -> Counter[str]:
        return Counter({what: count for what, count in self.answers.items() if what != "200"})


class Load:
    """``with Load(...) as load: load.phase("scaled to 4"); …``: each phase lasts until the next one begins."""

    def __init__(self, url: str, token: str, pictures: list[bytes], *, callers: int) -> None:
        self.phases: list[Phase] = []
        self._url = f"{url}/v1/models/active/predict"
        # computed each time: what Redis remembers would answer without any replica's engine
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/octet-stream",
            "Cache-Control": "no-cache",
        }
        self._pictures = pictures
        self._labels: dict[bytes, str] = {}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._began = 0.0
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(callers)]

    def __enter__(self) -> Load:
        self.phase("begin")
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._close()

    def phase(self, name: str, seconds: float = 0.0) -> None:
        """Begin to count under another name, and let the load run for ``seconds``."""
        with self._lock:
            self._close()
            self.phases.append(Phase(name))
            self._began = time.monotonic()
        time.sleep(seconds)

    def _close(self) -> None:
        if self.phases:
            self.phases[-1].seconds = time.monotonic() - self._began

    def _call(self, number: int) -> None:
        with httpx.Client(headers=self._headers, timeout=30, trust_env=False) as http:
            for picture in itertools.islice(itertools.cycle(self._pictures), number, None):
                if self._stop.is_set():
                    return
                began = time.monotonic()
                try:
                    answer = http.post(self._url, content=picture)
                    label = answer.json()["predictions"][0]["label"] if answer.status_code == 200 else ""
                    what = "200" if label else f"{answer.status_code} {answer.text[:200]}"
                except httpx.HTTPError as error:
                    label, what = "", type(error).__name__
                seconds = time.monotonic() - began
                with self._lock:
                    if label and self._labels.setdefault(picture, label) != label:
                        what = "200, another label than before"
                    self.phases[-1].answers[what] += 1
                    self.phases[-1].latencies.append(seconds)
