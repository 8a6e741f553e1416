"""Renders the studio's films to H.264 files, on twos, two processes at a time. Called by `reel demo`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
import numpy.typing as npt

from reelsight.studio.backdrops import FRAME_HEIGHT, FRAME_WIDTH, build, photograph
from reelsight.studio.brush import Hour
from reelsight.studio.catalogue import LABELS, Film, film
from reelsight.studio.ink import Picture, Placement, paint
from reelsight.studio.script import GROUND, Scene, camera, length, perform, write

RATE = 24
HOLD = 2  # frames per drawing: animation on twos
SECONDS = 120.0
PARTS = 2  # at most, of a film: five whole films would leave one of two cores idle at the end
# The quickest preset, but with the filter that hides the edges of its blocks; a drawing that is held is a B-frame,
# which costs next to nothing and need not be decoded.
ENCODER = {
    **{"preset": "ultrafast", "crf": "28", "tune": "animation", "g": "96", "bf": "1", "b_strategy": "0"},
    "x264-params": "no-deblock=0:deblock=1,1",
}
_NOT_FILM = {
    *("drawings.py", "restyle.py", "costumes.py", "gallery.py", "oddities.py"),
    *("server.py", "lookup.py", "commons.py"),
}
Progress = Callable[[float], None]  # share done


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
    order = Order(label, path, seed, seconds, size)
    if not order.is_done():
        for part in order.parts():
            render_part(order, part)
        join(order)
        return order.file(rendered=True)
    return order.file(rendered=False)


class Part(NamedTuple):
    path: Path
    scenes: tuple[Scene, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """A film to be rendered; `seconds` is the least that it lasts."""

    label: str
    path: Path
    seed: int
    seconds: float = SECONDS
    size: tuple[int, int] = (FRAME_WIDTH, FRAME_HEIGHT)

    def scenes(self) -> tuple[Scene, ...]:
        return write(film(self.label), seed=self.seed, seconds=self.seconds)

    def parts(self) -> list[Part]:
        """Return its scenes in runs of about the same length, each with a file of its own."""
        scenes = self.scenes()
        count = min(PARTS, len(scenes))
        ends = [len(scenes) * number // count for number in range(count + 1)]
        return [
            Part(self.path.with_name(f"{self.path.name}.{number}.part"), scenes[begin:end])
            for number, (begin, end) in enumerate(pairwise(ends))
        ]

    def fingerprint(self) -> str:
        return fingerprint(self.label, seed=self.seed, seconds=self.seconds, size=self.size)

    def is_done(self) -> bool:
        return _recorded(self.path) == self.fingerprint()

    def file(self, *, rendered: bool) -> FilmFile:
        scenes = self.scenes()
        return FilmFile(
            self.label, film(self.label).title, self.path, length(scenes), len(scenes), rendered=rendered
        )


def render_part(order: Order, part: Part) -> None:
    """Render some of a film's scenes to the part's file, which `join` takes up."""
    cv2.setNumThreads(1)  # one process per core already
    picked = film(order.label)
    with av.open(str(part.path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height = order.size
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, RATE)
        stream.codec_context.thread_count = 1
        stream.options = dict(ENCODER)
        number = 0
        for scene in part.scenes:
            for drawing in drawings(picked, scene):
                frame = _video_frame(drawing, order.size)
                for _ in range(HOLD):
                    frame.pts = number
                    container.mux(stream.encode(frame))
                    number += 1
        container.mux(stream.encode(None))


def _video_frame(drawing: Picture, size: tuple[int, int]) -> av.VideoFrame:
    if (drawing.shape[1], drawing.shape[0]) != size:
        drawing = np.asarray(cv2.resize(drawing, size, interpolation=cv2.INTER_AREA), np.uint8)
    planes: npt.NDArray[np.uint8] = np.asarray(cv2.cvtColor(drawing, cv2.COLOR_BGR2YUV_I420), np.uint8)
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    frame.time_base = Fraction(1, RATE)
    return frame


def join(order: Order) -> None:
    """Put a film's parts one after the other, as they are encoded; the film is there whole or not at all."""
    whole = order.path.with_name(order.path.name + ".part")
    with ExitStack() as opened:
        container = opened.enter_context(av.open(str(whole), "w", format="mp4"))
        container.metadata["title"] = film(order.label).title
        container.metadata["comment"] = order.fingerprint()
        parts = [opened.enter_context(av.open(str(part.path))) for part in order.parts()]
        stream = container.add_stream_from_template(parts[0].streams.video[0])
        begins = 0
        for each in parts:
            source = each.streams.video[0]
            for packet in each.demux(source):
                if packet.pts is None or packet.dts is None:
                    continue  # the mark of the end
                packet.pts, packet.dts, packet.stream = packet.pts + begins, packet.dts + begins, stream
                container.mux(packet)
            begins += source.duration or 0
    whole.replace(order.path)
    for part in order.parts():
        part.path.unlink()


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
    orders = [Order(label, directory / f"{label}.mp4", seed, seconds) for label in LABELS]
    missing = [order for order in orders if not order.is_done()]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(render_part, order, part) for order in missing for part in order.parts()]
        for done, job in enumerate(as_completed(jobs), 1):
            job.result()
            if on_progress:
                on_progress(done / len(jobs))
    for order in missing:
        join(order)
    return [order.file(rendered=order in missing) for order in orders]
