"""Renders the studio's films to H.264 files, on twos, two processes at a time. Called by `reel demo`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from reelsight.studio.backdrops import FRAME_HEIGHT, FRAME_WIDTH, build, photograph
from reelsight.studio.brush import Hour
from reelsight.studio.catalogue import FILMS, LABELS, Film, film
from reelsight.studio.ink import Picture, Placement, paint
from reelsight.studio.script import GROUND, Scene, camera, perform, write

RATE = 24
HOLD = 2  # frames per drawing: animation on twos
SECONDS = 120.0
_NOT_FILM = {
    *("drawings.py", "restyle.py", "costumes.py", "gallery.py", "oddities.py"),
    *("server.py", "lookup.py", "commons.py"),
}
Progress = Callable[[str, float], None]  # label, share done


@dataclass(frozen=True, slots=True)
class FilmFile:
    label: str
    title: str
    path: Path
    seconds: float
    scenes: int
    rendered: bool  # false when a file of the same script was there already


def light(film: Film, hour: Hour, *, seed: int) -> Picture:
    """What every frame of a scene is multiplied with: the hour's light, paper grain, a soft vignette."""
    rng = np.random.default_rng(seed)
    tint = {"day": (1.0, 1.0, 1.0), "dusk": (0.84, 0.91, 1.0), "night": (0.92, 0.74, 0.66)}[hour]
    grain = rng.normal(1.0, film.manner.grain, (FRAME_HEIGHT // 2, FRAME_WIDTH // 2)).astype(np.float32)
    paper = cv2.resize(cv2.GaussianBlur(grain, (0, 0), 0.9), (FRAME_WIDTH, FRAME_HEIGHT))
    y, x = np.mgrid[-1 : 1 : FRAME_HEIGHT * 1j, -1 : 1 : FRAME_WIDTH * 1j]
    shaped = np.clip(paper + 0.03, 0, 1) * (1 - 0.08 * (x**2 + y**2))
    lit: Picture = np.clip(shaped[..., None] * np.array(tint) * 255, 0, 255).astype(np.uint8)
    return lit


def drawings(film: Film, scene: Scene, *, every: int = 1) -> Iterator[Picture]:
    """The scene's drawings, 12 for a second, or each `every`-th of them."""
    place = film.places[scene.place]
    backdrop = build(place, palette=film.palette, manner=film.manner, hour=scene.hour, seed=scene.seed)
    lit = light(film, scene.hour, seed=scene.seed)
    count = round(scene.seconds * RATE / HOLD)
    for number in range(0, count, every):
        frame = photograph(backdrop, camera(scene, number / count))
        _act(frame, film, scene, number / count, beat=number // 2)
        cv2.multiply(frame, lit, frame, 1 / 255)
        if film.manner.border:
            b = film.manner.border
            frame[:b], frame[-b:], frame[:, :b], frame[:, -b:] = 0, 0, 0, 0
        yield frame


def _act(frame: Picture, film: Film, scene: Scene, at: float, *, beat: int) -> None:
    view = camera(scene, at)
    for role in scene.roles:
        pose, spot = perform(role, scene, at)
        scale = spot.scale * view.zoom
        x, y = view.to_frame(spot.x, spot.y)
        _ground_shadow(frame, *view.to_frame(spot.x, GROUND), scale)
        placed = Placement(x, y, scale, spot.flip, spot.tilt, spot.squash)
        paint(frame, film.cast[role.name](pose), placed, film.palette, film.manner, beat=beat)


def _ground_shadow(frame: Picture, x: float, y: float, scale: float) -> None:
    half_w, half_h = 30 * scale, 5 * scale
    x0, x1 = int(max(0, x - half_w)), int(min(FRAME_WIDTH, x + half_w))
    y0, y1 = int(max(0, y - half_h)), int(min(FRAME_HEIGHT, y + half_h))
    if x1 - x0 < 3 or y1 - y0 < 3:
        return
    gy, gx = np.ogrid[y0:y1, x0:x1]
    near = np.clip(1 - ((gx - x) / half_w) ** 2 - ((gy - y) / half_h) ** 2, 0, 1)
    part = frame[y0:y1, x0:x1]
    part[:] = (part * (1 - 0.35 * near[..., None])).astype(np.uint8)


def fingerprint(label: str, *, seed: int, seconds: float, size: tuple[int, int]) -> str:
    """Names the film's content: the script's inputs and the studio's own source."""
    digest = hashlib.sha256(f"{label} {seed} {seconds} {size}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        if source.name not in _NOT_FILM:
            digest.update(source.read_bytes())
    return digest.hexdigest()[:32]


def _recorded(path: Path) -> str:
    """The fingerprint in the file; the index stands at its end, so a file that was cut short has none."""
    if not path.is_file():
        return ""
    try:
        with av.open(str(path)) as container:
            return container.metadata.get("comment", "")
    except av.FFmpegError:
        return ""


def render_film(
    label: str,
    path: Path,
    *,
    seed: int,
    seconds: float = SECONDS,
    size: tuple[int, int] = (FRAME_WIDTH, FRAME_HEIGHT),
) -> FilmFile:
    """Render one film to `path`; a file that holds the very same film already is left alone."""
    picked = film(label)
    scenes = write(picked, seed=seed, seconds=seconds)
    name = fingerprint(label, seed=seed, seconds=seconds, size=size)
    total = sum(scene.seconds for scene in scenes)
    if _recorded(path) == name:
        return FilmFile(label, picked.title, path, total, len(scenes), rendered=False)
    part = path.with_name(path.name + ".part")
    cv2.setNumThreads(1)  # one process per core already
    _encode(part, picked, scenes, size=size, comment=name)
    part.replace(path)
    return FilmFile(label, picked.title, path, total, len(scenes), rendered=True)


def _encode(
    path: Path, picked: Film, scenes: tuple[Scene, ...], *, size: tuple[int, int], comment: str
) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        container.metadata["title"], container.metadata["comment"] = picked.title, comment
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, RATE)
        stream.codec_context.thread_count = 1
        stream.options = {"preset": "superfast", "crf": "28", "tune": "animation", "g": "96"}
        number = 0
        for scene in scenes:
            for drawing in drawings(picked, scene):
                for _ in range(HOLD):
                    container.mux(stream.encode(_video_frame(drawing, size, number)))
                    number += 1
        container.mux(stream.encode(None))


def _video_frame(drawing: Picture, size: tuple[int, int], number: int) -> av.VideoFrame:
    if (drawing.shape[1], drawing.shape[0]) != size:
        drawing = np.asarray(cv2.resize(drawing, size, interpolation=cv2.INTER_AREA), np.uint8)
    planes: npt.NDArray[np.uint8] = np.asarray(cv2.cvtColor(drawing, cv2.COLOR_BGR2YUV_I420), np.uint8)
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    frame.pts, frame.time_base = number, Fraction(1, RATE)
    return frame


def render_films(
    directory: Path,
    *,
    seed: int,
    workers: int = 2,
    seconds: float = SECONDS,
    on_progress: Progress | None = None,
) -> list[FilmFile]:
    """Render the five films as `<label>.mp4` in `directory`; films that are there already are kept."""
    directory.mkdir(parents=True, exist_ok=True)
    done: dict[str, FilmFile] = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = {
            pool.submit(
                render_film, each.label, directory / f"{each.label}.mp4", seed=seed, seconds=seconds
            ): each
            for each in FILMS
        }
        for job in as_completed(jobs):
            ready = job.result()
            done[ready.label] = ready
            if on_progress:
                on_progress(ready.label, len(done) / len(FILMS))
    return [done[label] for label in LABELS]
