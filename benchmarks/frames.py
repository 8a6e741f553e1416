"""JPEG frames per second of our one pass (with scenes, hashes and quality) beside other tools, on the same film.

Run: ``python benchmarks/frames.py [film …] [--every 24] [--json out.json]``; without a film one of 30 s in 720p is
rendered. Before a ratio is printed the pictures are compared: as many, and nearly the same pixels. The rounds of all
ways alternate, so that noise is shared; wall seconds and processor seconds are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import simplejpeg
from peers import PEERS, Job, NotHereError, Pictures

from reel_ingest.frames import Tally, extract_frames

ALIKE = 6.0
"""Mean difference of two pictures, in levels of 255, up to which they are the same frame scaled by different code."""


def render(path: Path, seconds: int = 30) -> Path:
    """Twelve scenes of moving shapes with a little grain, H.264 at 24 fps with the encoder's usual B frames."""
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


def ours(job: Job, mode: str = "exact") -> tuple[Pictures, Tally]:
    tally = Tally()
    size = {"width": job.width, "height": job.height, "keep_aspect": False, "quality": job.quality}
    frames = extract_frames(job.film, every_frames=job.every, mode=mode, tally=tally, **size)
    return [frame.jpeg for frame in frames], tally


def spent(way: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor seconds, those of child processes included."""
    processor, begun = sum(os.times()[:4]), time.perf_counter()
    way()
    return time.perf_counter() - begun, sum(os.times()[:4]) - processor


def difference(left: Pictures, right: Pictures) -> float:
    """Return the mean over pictures of the mean absolute difference, in levels of 255."""
    pairs = zip(left, right, strict=True)
    decode = simplejpeg.decode_jpeg
    return statistics.fmean(float(np.abs(decode(a).astype(int) - decode(b)).mean()) for a, b in pairs)


def decibels(left: Pictures, right: Pictures) -> float:
    return statistics.median(
        cv2.PSNR(simplejpeg.decode_jpeg(a), simplejpeg.decode_jpeg(b))
        for a, b in zip(left, right, strict=True)
    )


def measure(job: Job, rounds: int, skip: set[str]) -> dict[str, object]:
    """Compare what every way writes, then time them in turns."""
    exact, tally = ours(job)
    quick, quick_tally = ours(job, "fast")
    report: dict[str, object] = {
        "film": job.film.name,
        "source_frames": tally.frames,
        "decoded": tally.decoded,
        "written": len(exact),
        "fast": {
            "decoded": quick_tally.decoded,
            "written": len(quick),
            "largest_shift_seconds": round(quick_tally.largest_shift_seconds, 4),
        },
    }
    if len(quick) == len(exact):
        report["fast"] |= {
            "mean_difference": round(difference(exact, quick), 2),
            "median_psnr_db": round(decibels(exact, quick), 1),
        }
    ways: dict[str, Callable[[], object]] = {
        "reelsight": lambda: ours(job),
        "reelsight fast": lambda: ours(job, "fast"),
    }
    notes: dict[str, str] = {}
    for name, peer in PEERS.items():
        if name in skip:
            continue
        try:
            pictures = peer(job)
        except NotHereError as reason:
            notes[name] = f"not run: {reason}"
        except Exception as error:  # a peer that cannot read this film is a finding, not our failure
            notes[name] = f"fails: {type(error).__name__}: {str(error)[:120]}"
        else:
            if len(pictures) != len(exact):
                notes[name] = f"writes {len(pictures)} of {len(exact)} frames, exit code 0"
            elif (apart := difference(exact, pictures)) > ALIKE:
                notes[name] = f"writes other frames: mean difference {apart:.1f}"
            else:
                notes[name] = f"same frames, mean difference {apart:.1f}"
            ways[name] = lambda peer=peer: peer(job)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(spent(way))
    medians = {
        name: [statistics.median(column) for column in zip(*all_, strict=True)]
        for name, all_ in times.items()
    }
    report["ways"] = {
        name: {
            "wall_seconds": round(wall, 4),
            "processor_seconds": round(processor, 3),
            "written_per_second": round(len(exact) / wall, 1),
            "reelsight_is_faster": round(wall / medians["reelsight"][0], 2),
            "fast_is_faster": round(wall / medians["reelsight fast"][0], 2),
            "processor_ratio": round(processor / max(0.01, medians["reelsight"][1]), 2),
            "note": notes.get(name, ""),
        }
        for name, (wall, processor) in medians.items()
    }
    report["not_run"] = {name: note for name, note in notes.items() if name not in ways}
    return report


def show(report: dict) -> None:
    print(
        f"\n{report['film']}: {report['source_frames']} source frames, {report['decoded']} decoded, "
        f"{report['written']} written; fast: {report['fast']}"
    )
    print(f"  {'':15} {'wall s':>8} {'cpu s':>7} {'JPEG/s':>8} {'we are':>7} {'fast is':>8} {'cpu':>6}")
    for name, way in report["ways"].items():
        ratios = (
            f"{way['reelsight_is_faster']:6.2f}x {way['fast_is_faster']:7.2f}x {way['processor_ratio']:5.2f}x"
        )
        seconds = f"{way['wall_seconds']:8.3f} {way['processor_seconds']:7.2f}"
        print(f"  {name:15} {seconds} {way['written_per_second']:8.1f} {ratios} {way['note']}")
    for name, note in report["not_run"].items():
        print(f"  {name:15} {note}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("films", nargs="*", type=Path)
    parser.add_argument("--every", type=int, default=24)
    parser.add_argument("--size", default="700x400", help="width x height of the JPEGs")
    parser.add_argument("--quality", type=int, default=90)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--skip", nargs="*", default=[], choices=list(PEERS), help="peers not to run")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        films = options.films or [render(Path(folder) / "rendered.mp4")]
        reports = []
        for film in films:
            job = Job(film, options.every, width, height, options.quality)
            reports.append(measure(job, options.rounds, set(options.skip)))
            show(reports[-1])
    load = round(os.getloadavg()[0], 2)
    print(f"\n{os.cpu_count()} processors, load {load}")
    if options.json:
        figures = {"processors": os.cpu_count(), "load": load, "every": options.every, "films": reports}
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
