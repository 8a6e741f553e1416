"""Frames per second of film: our one pass (pictures, scenes, hashes) beside a plain OpenCV loop on the same file.

Run: ``python benchmarks/frames.py [film]``; without a film a generated one of 30 s in 720p is used.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np

from reel_ingest.frames import Tally, extract_frames

EVERY, WIDTH, HEIGHT, ROUNDS = 48, 700, 400, 3


def render(path: Path, seconds: int = 30) -> Path:
    """Twelve scenes of moving shapes with a little grain, H.264 at 24 fps."""
    grain = np.random.default_rng(0).integers(0, 12, (16, 720, 1280, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"preset": "veryfast", "g": "250"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for index in range(seconds * 24):
            scene = np.random.default_rng(index // 60)
            backdrop = scene.integers(20, 220, (5, 8, 3), dtype=np.uint8)
            picture = cv2.add(
                cv2.resize(backdrop, (1280, 720), interpolation=cv2.INTER_CUBIC), grain[index % 16]
            )
            for ball in range(6):
                place = (int(200 * ball + 7 * (index % 60)) % 1280, 100 * ball + 60)
                cv2.circle(picture, place, 40, scene.integers(0, 255, 3).tolist(), -1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def ours(path: Path) -> int:
    tally = Tally()
    for _frame in extract_frames(path, every_frames=EVERY, width=WIDTH, height=HEIGHT, tally=tally):
        pass
    return tally.decoded


def decode_only(path: Path) -> int:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        return sum(1 for _ in container.decode(video=0))


def opencv(path: Path) -> int:
    film, index = cv2.VideoCapture(str(path)), 0
    while True:
        found, picture = film.read()
        if not found:
            return index
        if index % EVERY == 0:
            cv2.imencode(".jpg", cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))
        index += 1


def measure(path: Path) -> dict[str, float]:
    """Return the best source frames per second of each way; rounds are interleaved, so that noise is shared."""
    ways = {"decode only": decode_only, "reelsight": ours, "opencv read": opencv}
    best = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for name, way in ways.items():
            begun = time.perf_counter()
            best[name] = max(best[name], way(path) / (time.perf_counter() - begun))
    return best


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else render(Path(folder) / "film.mp4")
        speeds = measure(path)
    for name, speed in speeds.items():
        print(f"{name:12} {speed:7.0f} source frames/s")
    print(f"reelsight / opencv read: {speeds['reelsight'] / speeds['opencv read']:.2f}")
    print(f"reelsight / decode only: {speeds['reelsight'] / speeds['decode only']:.2f}")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
