"""Other ways to take every Nth frame of a film as JPEG, for ``frames.py``: each as its users would write it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import simplejpeg

Pictures = list[bytes]
VLC_RATE = 8


class NotHereError(Exception):
    """The peer cannot be run on this machine, or not on this film."""


@dataclass(frozen=True)
class Job:
    film: Path
    every: int
    width: int
    height: int
    quality: int

    @property
    def qscale(self) -> int:
        """FFmpeg's scale of 2 to 31 for a JPEG quality; its tables are the usual ones times qscale / 8."""
        percent = 5000 / self.quality if self.quality < 50 else 200 - 2 * self.quality
        return max(2, round(percent / 100 * 8))


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
        command = [binary, "-v", "error", "-i", str(job.film), "-an", "-sn", "-vf", select, "-vsync", "vfr"]
        subprocess.run([*command, "-q:v", str(job.qscale), f"{folder}/%06d.jpg"], check=True)
        return _read(Path(folder))


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
    return [_encode(film[index].asnumpy(), job) for index in range(0, len(film), job.every)]


def torchcodec(job: Job) -> Pictures:
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, OSError, RuntimeError) as error:
        raise NotHereError(f"torchcodec does not import: {error}") from error
    film = VideoDecoder(str(job.film), dimension_order="NHWC", num_ffmpeg_threads=0)
    return [_encode(film[index].numpy(), job) for index in range(0, len(film), job.every)]


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
