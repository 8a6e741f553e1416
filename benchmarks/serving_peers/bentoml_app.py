"""BentoML: `eager` as its tutorials start it; with our engine a worker that has every core, and threads.

https://docs.bentoml.com/en/latest/build-with-bentoml/parallelize-requests.html
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import bentoml
from predictor import EAGER, load

MODE = os.environ.get("BENCH_MODE", "threads")


if EAGER:

    @bentoml.service
    class Classifier:
        def __init__(self) -> None:
            self.net = load()

        @bentoml.api
        def predict(self, file: Path) -> dict[str, Any]:
            return self.net.predict([self.net.prepare(file.read_bytes())])[0]

elif MODE == "threads":

    @bentoml.service(workers=1, threads=4)
    class Classifier:  # type: ignore[no-redef]
        def __init__(self) -> None:
            self.net, self.lock = load(wide=True), threading.Lock()

        @bentoml.api
        def predict(self, file: Path) -> dict[str, Any]:
            picture = self.net.prepare(file.read_bytes())
            with self.lock:
                return self.net.predict([picture])[0]

elif MODE == "workers":

    @bentoml.service(workers=2)
    class Classifier:  # type: ignore[no-redef]
        def __init__(self) -> None:
            self.net = load(wide=False)

        @bentoml.api
        def predict(self, file: Path) -> dict[str, Any]:
            return self.net.predict([self.net.prepare(file.read_bytes())])[0]

else:

    @bentoml.service(workers=1)
    class Classifier:  # type: ignore[no-redef]
        def __init__(self) -> None:
            self.net = load(wide=True)

        @bentoml.api(batchable=True, max_batch_size=4, max_latency_ms=2000)
        def predict(self, file: list[Path]) -> list[dict[str, Any]]:
            return self.net.predict([self.net.prepare(one.read_bytes()) for one in file])
