"""The bound: pictures a second by decoding and engine alone, without HTTP, queue or client.

`python benchmarks/serving_bound.py MODEL PRECISION PICTURE…` measures one window for each number of seconds on stdin: a
thread a core decodes so many pictures, then asks its one-thread lane for all of them at once.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import numpy as np

from reel_inference.engine import load_engine
from reel_shared.cores import usable_cores
from reel_shared.images import open_picture, preprocess

BATCH = 4


def main() -> None:
    folder, precision, *names = sys.argv[1:]
    pictures = [Path(name).read_bytes() for name in names]
    cores = usable_cores()
    engine = load_engine(Path(folder), precision=precision, max_batch=BATCH)

    def work(lane: int, end: float, done: list[int]) -> None:
        count = lane
        while time.perf_counter() < end:
            some = [pictures[(count + i) % len(pictures)] for i in range(BATCH)]
            engine.infer(np.stack([preprocess(open_picture(one), engine.size) for one in some]), lane)
            count += BATCH
        done[lane] = count - lane

    def window(seconds: float) -> float:
        done = [0] * cores
        began = time.perf_counter()
        threads = [threading.Thread(target=work, args=(lane, began + seconds, done)) for lane in range(cores)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(done) / (time.perf_counter() - began)

    def lone(seconds: float) -> float:
        """One picture at a time on every core."""
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            engine.infer(preprocess(open_picture(pictures[count % len(pictures)]), engine.size)[None])
            count += 1
        return count / (time.perf_counter() - began)

    window(0.2)
    print("ready", flush=True)
    for line in sys.stdin:
        seconds = float(line)
        print(json.dumps({"load": window(seconds), "lone": lone(seconds / 2)}), flush=True)


if __name__ == "__main__":
    main()
