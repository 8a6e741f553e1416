"""Other ways to take every Nth frame of a film as JPEG, for ``frames.py``: each as its users would write it."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import av
import cv2
import simplejpeg

Pictures = list[bytes]
VLC_RATE = 8
BATCH = 16


class NotHereError(Exception):
    """The peer cannot be run on this machine, or not on this film."""


@dataclass(frozen=True)
class Job:
    film: Path
    every: int
    width: int
    height: int
    quality: int

    qscale: int = 2
    """FFmpeg's own scale of JPEG quality, 1 to 31; 1 is the best."""


def ffmpeg(job: Job) -> Pictures:
    binary = shutil.which("ffmpeg")
    if binary is None:
        try:
            import imageio_ffmpeg
        except ImportError as error:
            raise NotHereError("neither ffmpeg nor imageio-ffmpeg is installed") from error
        binary = imageio_ffmpeg.get_ffmpeg_exe()
    select = f"select='not(mod(n\\,{job.every}))',scale={job.width}:{job.height}:flags=area"
    with tempfile.TemporaryDirectory() as folder:
        command = [
            binary,
            "-v",
            "error",
            "-i",
            str(job.film),
            "-an",
            "-sn",
            "-vf",
            select,
            "-fps_mode",
            "vfr",
        ]
        subprocess.run([*command, "-qmin", "1", "-q:v", str(job.qscale), f"{folder}/%06d.jpg"], check=True)
        return _read(Path(folder))


def like_ours(job: Job, size: float) -> Job:
    """Set the quality with which ffmpeg's JPEGs weigh nearest to so many bytes each."""

    def away(qscale: int) -> float:
        pictures = ffmpeg(replace(job, qscale=qscale))
        return abs(math.log(sum(map(len, pictures)) / max(1, len(pictures)) / size))

    return replace(job, qscale=min((1, 2, 3, 4), key=away))


def vlc(job: Job) -> Pictures:
    """The scene filter, at eight times the speed of the film: it is clocked, and drops frames when it is late."""
    binary = shutil.which("cvlc")
    if binary is None:
        raise NotHereError("VLC is not installed")
    user = []
    if os.geteuid() == 0:
        if shutil.which("runuser") is None:
            raise NotHereError("VLC refuses to run as root")
        user = ["runuser", "-u", "nobody", "--"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        film = Path(folder) / f"film{job.film.suffix}"
        shutil.copyfile(job.film, film)
        film.chmod(0o644)
        scene = {
            "ratio": job.every,
            "width": job.width,
            "height": job.height,
            "format": "jpg",
            "path": folder,
        }
        command = [*user, binary, "-q", "--intf=dummy", "--vout=dummy", "--aout=dummy", "--no-audio"]
        command += ["--video-filter=scene", f"--rate={VLC_RATE}", "--play-and-exit", "--no-video-title-show"]
        command += [f"--scene-{name}={value}" for name, value in scene.items()]
        done = subprocess.run(
            [*command, str(film)],
            env={"HOME": folder, "PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": folder},
            capture_output=True,
            timeout=600,
            check=False,
        )
        if done.returncode:
            raise NotHereError(f"VLC ended with {done.returncode}: {done.stderr.decode()[-200:]}")
        return _read(Path(folder))


def opencv_grab(job: Job) -> Pictures:
    return _opencv(job, every_picture=False)


def opencv_read(job: Job) -> Pictures:
    return _opencv(job, every_picture=True)


def _opencv(job: Job, *, every_picture: bool) -> Pictures:
    film, index, pictures = cv2.VideoCapture(str(job.film)), 0, []
    while film.grab():
        due = index % job.every == 0
        picture = film.retrieve()[1] if due or every_picture else None
        if due:
            small = cv2.resize(picture, (job.width, job.height), interpolation=cv2.INTER_AREA)
            pictures.append(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, job.quality])[1].tobytes())
        index += 1
    return pictures


def decord(job: Job) -> Pictures:
    try:
        import decord as library
    except (ImportError, OSError) as error:
        raise NotHereError(f"decord does not import: {error}") from error
    film = library.VideoReader(str(job.film))
    return [
        _encode(picture, job)
        for part in _batches(len(film), job)
        for picture in film.get_batch(part).asnumpy()
    ]


def torchcodec(job: Job) -> Pictures:
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, OSError, RuntimeError) as error:
        raise NotHereError(f"torchcodec does not import: {error}") from error
    film = VideoDecoder(str(job.film), dimension_order="NHWC", num_ffmpeg_threads=0)
    return [
        _encode(picture, job)
        for part in _batches(len(film), job)
        for picture in film.get_frames_at(part).data.numpy()
    ]


def versions() -> list[str]:
    """Return what was measured, by name and version."""
    found = [f"PyAV {av.__version__} with libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"]
    if binary := shutil.which("ffmpeg"):
        done = subprocess.run([binary, "-version"], capture_output=True, text=True, check=False)
        found.append(" ".join(done.stdout.split("\n")[0].split()[:3]))
    for name in ("opencv-python-headless", "decord", "torchcodec"):
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return found


def _batches(length: int, job: Job) -> Iterator[list[int]]:
    """Indices in batches, the quickest way to ask for them, of a size that long films have memory for."""
    indices = list(range(0, length, job.every))
    return (indices[first : first + BATCH] for first in range(0, len(indices), BATCH))


PEERS: dict[str, Callable[[Job], Pictures]] = {
    "ffmpeg": ffmpeg,
    "opencv grab": opencv_grab,
    "opencv read": opencv_read,
    "decord": decord,
    "torchcodec": torchcodec,
    "vlc scene": vlc,
}


def _encode(picture: object, job: Job) -> bytes:
    small = cv2.resize(picture, (job.width, job.height), interpolation=cv2.INTER_AREA)
    return bytes(simplejpeg.encode_jpeg(small, quality=job.quality, colorspace="RGB", colorsubsampling="420"))


def _read(folder: Path) -> Pictures:
    return [path.read_bytes() for path in sorted(folder.glob("*.jp*g"))]
