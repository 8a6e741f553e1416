"""The peak memory of the ingest worker while a long film and very many pictures pass through it.

    python benchmarks/memory.py [--minutes 120] [--pictures 50000] [--limit 600]

Real servers (Valkey, SeaweedFS, SQLite), the real outbox and one real worker process, as ``reel up`` has them. The film
is two minutes long, its packets repeated with later time stamps until it is as long as was asked. The pictures are
drawn, no two alike, and handed in as zips of as many members as one may have. Peaks are those of the kernel (VmHWM),
set back before each job, children included. Exits with 1 when one is above the limit, or a job does not succeed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import simplejpeg

from reel_shared import jobs
from reel_shared.contracts import (
    COLLECT_PICTURES,
    EXTRACT_FRAMES,
    CollectPicturesRequest,
    ExtractFramesRequest,
    Kind,
    Model,
)
from reel_shared.db.engine import dispose, transact
from reel_shared.db.migrate import migrate
from reel_shared.db.models import Job
from reel_shared.embedded.process import spawn
from reel_shared.embedded.seaweed import Seaweed
from reel_shared.embedded.valkey import Valkey
from reel_shared.settings import settings
from reel_shared.storage import storage

RATE, REEL_SECONDS = 24, 120
EVERY_FRAMES = 24
MIB = 2**20
POLL_SECONDS = 0.2
PICTURE = (160, 120)


# --- what passes through ---------------------------------------------------------------------------------------


def film(path: Path, seconds: int) -> Path:
    """Two minutes of 640x360 in scenes of five seconds, its packets repeated until the film is long enough."""
    reel = path.with_name("reel.mp4")
    with av.open(str(reel), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "g": "48"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for index in range(min(seconds, REEL_SECONDS) * RATE):
            scene = np.random.default_rng(index // (5 * RATE))
            backdrop = scene.integers(20, 230, (6, 10, 3), dtype=np.uint8)
            picture = cv2.resize(backdrop, (640, 360), interpolation=cv2.INTER_LINEAR)
            for ball in range(4):
                place = (int(90 + 140 * ball + 3 * (index % 120)) % 640, 60 + 80 * ball)
                cv2.circle(picture, place, 30, scene.integers(0, 255, 3).tolist(), -1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    with av.open(str(reel)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        base = source.streams.video[0].time_base
        length = round(Fraction(min(seconds, REEL_SECONDS)) / base)
        for turn in range(-(-seconds // REEL_SECONDS)):
            source.seek(0)
            for packet in source.demux(video=0):
                # No B frames and even steps, so a film may end at any packet.
                if packet.size and packet.pts + turn * length < seconds / base:
                    packet.pts, packet.dts = packet.pts + turn * length, packet.dts + turn * length
                    packet.stream = stream
                    target.mux(packet)
    reel.unlink()
    return path


def drawn(number: int) -> bytes:
    """Return a JPEG with shapes of its own on a backdrop of its own."""
    own = np.random.default_rng(number)
    backdrop = own.integers(30, 226, (5, 7, 3), dtype=np.uint8)
    picture = cv2.resize(backdrop, PICTURE, interpolation=cv2.INTER_NEAREST)
    for _ in range(5):
        place, axes = own.integers(0, PICTURE), own.integers(8, 40, 2)
        colour = own.integers(0, 256, 3).tolist()
        cv2.ellipse(picture, place.tolist(), axes.tolist(), int(own.integers(0, 180)), 0, 360, colour, -1)
    return bytes(simplejpeg.encode_jpeg(picture, quality=85, colorspace="RGB"))


def archives(folder: Path, count: int) -> Iterator[tuple[Path, int]]:
    """Yield zips and their numbers of pictures: as many in each as an archive may have."""
    most = settings().limits.archive_members
    for first in range(0, count, most):
        path = folder / f"pictures-{first}.zip"
        last = min(first + most, count)
        with zipfile.ZipFile(path, "w") as file:
            for number in range(first, last):
                file.writestr(f"{number:06d}.jpg", drawn(number))
        yield path, last - first
        path.unlink()


# --- the worker and its memory ---------------------------------------------------------------------------------


class Worker:
    """A running worker process; ``peak`` and ``reset`` are about it and every child it has had."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._peaks: dict[int, int] = {}

    def look(self) -> None:
        for pid in self._family():
            self._peaks[pid] = max(self._peaks.get(pid, 0), _status(pid, "VmHWM"))

    def reset(self) -> None:
        """Set the kernel's own peaks back to what is resident now."""
        self._peaks.clear()
        for pid in self._family():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    @property
    def peak(self) -> int:
        """Bytes; children count in full even if they did not live at the same time."""
        self.look()
        return sum(self._peaks.values())

    @property
    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def _family(self) -> list[int]:
        family = [self.pid]
        for pid in family:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                family += map(int, _text(task).split())
        return family


def _status(pid: int, field: str) -> int:
    lines = _text(Path(f"/proc/{pid}/status")).splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":")), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended meanwhile
        return ""


@contextmanager
def platform(folder: Path) -> Iterator[Worker]:
    """Start servers, outbox and one ingest worker; this process uses them too."""
    with ExitStack() as stack:
        valkey = stack.enter_context(Valkey(folder / "valkey"))
        s3 = stack.enter_context(Seaweed(folder / "s3"))
        os.environ |= {
            "REEL_DATA_DIR": str(folder / "data"),
            "REEL_DATABASE__URL": f"sqlite:///{folder}/reelsight.db",
            "REEL_REDIS__URL": valkey.url,
            "REEL_S3__ENDPOINT": s3.endpoint,
            "REEL_S3__ACCESS_KEY": s3.access_key,
            "REEL_S3__SECRET_KEY": s3.secret_key,
            "REEL_LOG_LEVEL": "WARNING",
        }
        (folder / "data").mkdir()
        settings.cache_clear()
        migrate()
        stack.callback(dispose)
        storage().ensure_bucket()
        started = [
            spawn([sys.executable, "-m", module], log=folder / f"{module}.log", env=os.environ)
            for module in ("reel_shared.outbox", "reel_ingest.worker")
        ]
        for process in started:
            stack.callback(process.stop)
        yield Worker(started[1].pid)


def run(worker: Worker, kind: Kind, request: Model) -> tuple[Job, float, float]:
    """Have a job done; returns it with its wall seconds and the worker's processor seconds."""
    worker.reset()
    before, begun = worker.processor_seconds, time.perf_counter()
    job_id = transact(lambda session: jobs.submit(session, kind, request).id)
    while True:
        worker.look()
        job = transact(lambda session: session.get_one(Job, job_id))
        if job.state in jobs.TERMINAL:
            break
        time.sleep(POLL_SECONDS)
    if job.state != jobs.State.SUCCEEDED:
        sys.exit(f"{kind.name} ended as {job.state}: {job.error}")
    return job, time.perf_counter() - begun, worker.processor_seconds - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=120)
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--limit", type=int, default=600, help="MiB of resident memory")
    wish = parser.parse_args()
    peaks: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name, platform(Path(name)) as worker:
        folder = Path(name)

        def tell(what: str, count: int, unit: str, wall: float, processor: float, job: Job) -> None:
            peaks[what] = worker.peak / MIB
            rate = f"{count / wall:8.1f} {unit}/s"
            seconds = f"{wall:7.1f} s, processor {processor:7.1f} s"
            print(
                f"{what:34} peak {peaks[what]:6.0f} MiB {rate} {seconds}  {job.result['counts']}", flush=True
            )

        if wish.minutes:
            path = film(folder / "film.mp4", wish.minutes * 60)
            key = storage().put_file("movies", path, "video/mp4", ".mp4").key
            path.unlink()
            request = ExtractFramesRequest(dataset="memory", label="film", key=key, every_frames=EVERY_FRAMES)
            job, wall, processor = run(worker, EXTRACT_FRAMES, request)
            frames = wish.minutes * 60 * RATE
            tell(f"film of {wish.minutes} min", frames, "source frames", wall, processor, job)
            taken = frames // EVERY_FRAMES
            if job.result["counts"]["seen"] != taken:
                sys.exit(f"of {taken} frames {job.result['counts']['seen']} were taken")
        done = 0
        for path, count in archives(folder, wish.pictures):
            key = storage().put_file("uploads", path, "application/zip", ".zip").key
            request = CollectPicturesRequest(
                dataset="memory", label="drawn", provider="zip", key=key, limit=count
            )
            job, wall, processor = run(worker, COLLECT_PICTURES, request)
            tell(f"pictures {done} to {done + count}", count, "pictures", wall, processor, job)
            if job.result["counts"]["seen"] != count:
                sys.exit(f"of {count} pictures {job.result['counts']['seen']} were seen")
            done += count
    highest = max(peaks.values(), default=0.0)
    print(f"highest peak {highest:.0f} MiB, limit {wish.limit} MiB, load {os.getloadavg()[0]:.1f}")
    over = [what for what, peak in peaks.items() if peak >= wish.limit]
    if over:
        sys.exit("above the limit: " + ", ".join(over))


if __name__ == "__main__":
    main()
