"""Our own ways to take every Nth frame of a film, for ``frames.py``, and the film that it renders."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from peers import Job

from reel_ingest.frames import (
    Frame,
    Look,
    Plan,
    RangeScores,
    Sampling,
    Tally,
    _one_pass,
    extract_frames,
    extract_range,
    join_scenes,
    plan,
)

CORES = len(os.sched_getaffinity(0))


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


def ours(job: Job, mode: str = "exact") -> tuple[list[Frame], Tally]:
    tally = Tally()
    frames = extract_frames(job.film, every_frames=job.every, mode=mode, tally=tally, **_look(job))
    return list(frames), tally


def _look(job: Job) -> dict[str, Any]:
    return {"width": job.width, "height": job.height, "keep_aspect": False, "quality": job.quality}


def front_to_back(job: Job) -> list[Frame]:
    """The truth: every packet decoded from the first on, no packet table believed."""
    tally = Tally(full_decode="for comparison")
    sampling, look = Sampling(every_frames=job.every), Look(**_look(job))
    return list(_one_pass(job.film, sampling, look, None, tally, "front to back"))


def one_range(job: Job, plan_: Plan, number: int) -> tuple[list[Frame], RangeScores]:
    scores, sampling = RangeScores(), Sampling(every_frames=job.every)
    options = {"scores": scores, "tally": Tally()}
    return list(extract_range(job.film, plan_, number, sampling, Look(**_look(job)), **options)), scores


def in_ranges(job: Job, pool: ProcessPoolExecutor, parts: int) -> list[Frame]:
    """Decode ranges in processes of their own, as workers do, and join them."""
    planned = plan(job.film, Sampling(every_frames=job.every), parts=parts)
    count = len(planned.ranges)
    done = list(pool.map(one_range, [job] * count, [planned] * count, range(count)))
    scenes = join_scenes(scores for _, scores in done)
    return [replace(f, scene=scenes.by_frame[f.index]) for frames, _ in done for f in frames]
