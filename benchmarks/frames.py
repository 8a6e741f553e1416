"""JPEG frames per second of our one pass (with scenes, hashes and quality) beside other tools, on the same film.

Run: ``python benchmarks/frames.py [film …] [--every 24] [--check] [--json out.json]``; without a film one of 30 s in
720p is rendered. Before anything is timed the pictures are compared: ours bit by bit with those of a full pass from
front to back and with those of ranges decoded in processes of their own; those of the peers by number and by pixels.
When ours differ, or ffmpeg's, the run ends with 1. The rounds of all ways alternate, so that noise is shared; ratios
are medians over the rounds, of wall and of processor seconds, children's included.

Every peer decodes with the threads that it takes by itself, writes JPEGs of the same size and colour resolution, and
ffmpeg those that weigh nearest to ours (column kB). Ours also finds the film's scenes and
gives each picture a hash and scores of quality; the peers do not.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import simplejpeg
from own_ways import CORES, front_to_back, in_ranges, ours, render
from peers import PEERS, Job, NotHereError, Pictures, like_ours, versions

ALIKE = 6.0
"""Mean difference of two pictures, in levels of 255, up to which they are the same frame scaled by different code."""
FAST = 1.2
"""Times ffmpeg that the fast mode is to be."""


class Way(NamedTuple):
    """One way to the pictures, the mean size of its JPEGs, and whether they are the same frames as ours."""

    run: Callable[[], object]
    kilobytes: float
    note: str
    same: bool = True


# --- comparing and timing --------------------------------------------------------------------------------------


def spent(way: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor seconds, those of child processes included, still running or not."""
    processor, begun = _processor_seconds(), time.perf_counter()
    way()
    return time.perf_counter() - begun, _processor_seconds() - processor


def _processor_seconds() -> float:
    tick, running = os.sysconf("SC_CLK_TCK"), 0
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        running += sum(map(int, fields[11:15]))
    return sum(os.times()[:4]) + running / tick


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


def compare(job: Job, skip: set[str], pool: ProcessPoolExecutor) -> tuple[dict[str, Any], dict[str, Way]]:
    """Run every way once; returns what was found, with faults of ours, and the ways that may be timed."""
    frames, tally = ours(job)
    exact, truth = [frame.jpeg for frame in frames], front_to_back(job)
    quick_frames, quick_tally = ours(job, "fast")
    quick = [frame.jpeg for frame in quick_frames]
    cut, parts = in_ranges(job, pool, CORES), f"reelsight, {CORES} ranges"
    faults = []
    if [(f.index, f.pts, f.jpeg) for f in frames] != [(f.index, f.pts, f.jpeg) for f in truth]:
        faults.append("selective decoding gives other frames than a pass from front to back")
    if cut != frames:
        faults.append("the ranges together give other frames than one pass")
    fast = {
        "decoded": quick_tally.decoded,
        "written": len(quick),
        "moved": sum(frame.shift_seconds != 0 for frame in quick_frames),
        "largest_shift_seconds": round(abs(quick_tally.largest_shift_seconds), 4),
    }
    if len(quick) == len(exact):
        fast |= {
            "mean_difference": round(difference(exact, quick), 2),
            "psnr_db": round(decibels(exact, quick), 1),
        }
        unmoved = [n for n, f in enumerate(quick_frames) if f.index == frames[n].index]
        if unmoved:
            left, right = [exact[n] for n in unmoved], [quick[n] for n in unmoved]
            fast["psnr_db_where_not_moved"] = round(decibels(left, right), 1)
    ways: dict[str, Way] = {
        "reelsight": Way(lambda: ours(job), _kilobytes(exact), "scenes, hashes and quality too"),
        "reelsight fast": Way(lambda: ours(job, "fast"), _kilobytes(quick), "see above"),
        parts: Way(lambda: in_ranges(job, pool, CORES), _kilobytes(exact), "bit-identical to one pass"),
    }
    left_out: dict[str, str] = {}
    with suppress(NotHereError):
        job = like_ours(job, statistics.fmean(map(len, exact)))
    for name, peer in PEERS.items():
        if name in skip:
            continue
        try:
            pictures = peer(job)
        except NotHereError as reason:
            left_out[name] = f"not run: {reason}"
            continue
        except Exception as error:  # a peer that cannot read this film is a finding, not our failure
            left_out[name] = f"fails: {type(error).__name__}: {str(error)[:120]}"
            continue
        alike, note = True, f"writes {len(pictures)} of {len(exact)} frames, exit code 0"
        if len(pictures) == len(exact):
            apart = difference(exact, pictures)
            alike = apart <= ALIKE
            note = f"{'same' if alike else 'OTHER'} frames, mean difference {apart:.1f}"
        same = alike and len(pictures) == len(exact)
        if name == "ffmpeg" and not same:
            faults.append(f"ffmpeg and we write different frames: it {note}")
        ways[name] = Way(lambda peer=peer: peer(job), _kilobytes(pictures), note, same)
    report = {
        "film": job.film.name,
        "source_frames": tally.frames,
        "decoded": tally.decoded,
        "written": len(exact),
        "full_decode": tally.full_decode,
        "ffmpeg_qscale": job.qscale,
        "fast": fast,
        "faults": faults,
        "not_run": left_out,
    }
    return report, ways


def _kilobytes(pictures: Pictures) -> float:
    return round(statistics.fmean(map(len, pictures)) / 1000, 1) if pictures else 0.0


def measure(job: Job, rounds: int, skip: set[str], pool: ProcessPoolExecutor) -> dict[str, Any]:
    """Compare what every way writes, then time them in turns, unless our own do not agree."""
    report, ways = compare(job, skip, pool)
    if report["faults"]:
        return report
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(spent(way.run))

    def ratio(name: str, other: str, column: int) -> float:
        pairs = zip(times[name], times[other], strict=True)
        return round(statistics.median(a[column] / max(0.01, b[column]) for a, b in pairs), 2)

    report["ways"] = {}
    for name, way in ways.items():
        wall, processor = (statistics.median(column) for column in zip(*times[name], strict=True))
        report["ways"][name] = {
            "wall_seconds": round(wall, 4),
            "processor_seconds": round(processor, 3),
            "written_per_second": round(report["written"] / wall, 1),
            "kilobytes": way.kilobytes,
            "same_frames": way.same,
            "reelsight_is_faster": ratio(name, "reelsight", 0),
            "fast_is_faster": ratio(name, "reelsight fast", 0),
            "processor_ratio": ratio(name, "reelsight", 1),
            "fast_processor_ratio": ratio(name, "reelsight fast", 1),
            "note": way.note,
        }
    report["missed"] = missed(report["ways"])
    return report


def missed(ways: dict[str, Any]) -> list[str]:
    """Say which targets were missed by the clock, and how it looks in processor time."""
    found = []
    for name, way in ways.items():
        if name.startswith("reelsight") or not way["same_frames"]:
            continue
        if way["reelsight_is_faster"] < 1:
            found.append(
                f"{name} is faster: {way['reelsight_is_faster']}x, processor {way['processor_ratio']}x"
            )
        if name == "ffmpeg" and way["fast_is_faster"] < FAST:
            found.append(
                f"fast is {way['fast_is_faster']}x ffmpeg, not {FAST}x; processor {way['fast_processor_ratio']}x"
            )
    return found


def show(report: dict[str, Any]) -> None:
    print(
        f"\n{report['film']}: {report['source_frames']} source frames, {report['decoded']} decoded, "
        f"{report['written']} written\n  fast, beside exact: {report['fast']}"
    )
    for fault in report["faults"]:
        print(f"  OUTPUTS DIFFER: {fault}")
    if "ways" not in report:
        return
    print(
        f"  {'':20} {'wall s':>8} {'cpu s':>7} {'JPEG/s':>8} {'kB':>6} "
        f"{'we are':>7} {'cpu':>6} {'fast is':>8} {'cpu':>6}"
    )
    for name, way in report["ways"].items():
        ratios = (
            f"{way['reelsight_is_faster']:6.2f}x {way['processor_ratio']:5.2f}x "
            f"{way['fast_is_faster']:7.2f}x {way['fast_processor_ratio']:5.2f}x"
        )
        seconds = f"{way['wall_seconds']:8.3f} {way['processor_seconds']:7.2f}"
        print(
            f"  {name:20} {seconds} {way['written_per_second']:8.1f} {way['kilobytes']:6.1f} {ratios} {way['note']}"
        )
    for name, note in report["not_run"].items():
        print(f"  {name:20} {note}")
    for line in report["missed"]:
        print(f"  MISSED: {line}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("films", nargs="*", type=Path)
    parser.add_argument("--every", type=int, default=24)
    parser.add_argument("--size", default="700x400", help="width x height of the JPEGs")
    parser.add_argument("--quality", type=int, default=90)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--skip", nargs="*", default=[], choices=list(PEERS), help="peers not to run")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed, too")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    reports = []
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(CORES, mp_context=context) as pool:
        for film in options.films or [render(Path(folder) / "rendered.mp4")]:
            job = Job(film, options.every, width, height, options.quality)
            reports.append(measure(job, options.rounds, set(options.skip), pool))
            show(reports[-1])
    load = round(os.getloadavg()[0], 2)
    print(f"\n{CORES} processors, load {load}; {'; '.join(versions())}")
    if options.json:
        figures = {"processors": CORES, "load": load, "every": options.every, "films": reports}
        options.json.write_text(json.dumps(figures, indent=1))
    if any(report["faults"] for report in reports):
        sys.exit("outputs differ")
    if any(report["missed"] for report in reports):
        print("targets were missed, see above")
        sys.exit(1 if options.check else 0)


if __name__ == "__main__":
    main()
