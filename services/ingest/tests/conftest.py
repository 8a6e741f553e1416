"""Small films rendered for the tests, every frame with its number as a bar code; and a local web server."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image as Pillow
from starlette.testclient import TestClient

from reel_shared import jobs
from reel_shared.contracts import EXTRACT_FRAMES, KINDS, ExtractFramesRequest, Kind, Model
from reel_shared.db.engine import transaction
from reel_shared.db.models import Image, Job, Movie
from reel_shared.runner import run_job
from reel_shared.security import create_key

WIDTH, HEIGHT, RATE = 160, 96, 24
SCENE = 24
Film = Callable[..., Path]


def draw(index: int, *, scene_length: int = SCENE, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A frame: a backdrop per scene, a moving ball, and the number in eight small black or white blocks."""
    rng = np.random.default_rng(100 + index // scene_length)
    backdrop = rng.integers(30, 226, (4, 6, 3), dtype=np.uint8)
    picture = cv2.resize(backdrop, (width, height), interpolation=cv2.INTER_CUBIC)
    cv2.circle(picture, (10 + 4 * (index % scene_length), height // 3), 9, (250, 240, 60), -1)
    for bit in range(8):
        colour = (255, 255, 255) if index >> bit & 1 else (0, 0, 0)
        cv2.rectangle(picture, (bit * 10, height - 8), (bit * 10 + 9, height - 1), colour, -1)
    return picture


@pytest.fixture(scope="session")
def read_number() -> Callable[[np.ndarray], int]:
    """Read a frame's number back from its bar code, whatever its size."""

    def read(picture: np.ndarray) -> int:
        grey = cv2.resize(
            cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA
        )
        return sum(int(grey[HEIGHT - 4, bit * 10 + 5] > 128) << bit for bit in range(8))

    return read


def encode(
    path: Path,
    pictures: Iterable[np.ndarray],
    *,
    times_ms: list[int] | None = None,
    pixel_format: str = "yuv420p",
    rotation: int | None = None,
    container_options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    gop: int = 12,
    first_pts: int = 0,
) -> Path:
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = None
        for index, picture in enumerate(pictures):
            if stream is None:
                stream = container.add_stream(
                    "libx264", rate=RATE, options={"preset": "ultrafast", "g": str(gop)}
                )
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = pixel_format
                if aspect:
                    stream.codec_context.sample_aspect_ratio = aspect
                if rotation:
                    stream.set_display_rotation(rotation)
                if times_ms:
                    stream.codec_context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = first_pts + index, Fraction(1, RATE)
            if times_ms:
                frame.pts, frame.time_base = times_ms[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    """Encode pictures, by default 96 numbered frames in four scenes, to a file of the given name."""
    folder = tmp_path_factory.mktemp("films")

    def make(name: str, pictures: Iterable[np.ndarray] | None = None, **options: object) -> Path:
        path = folder / name
        if not path.exists():
            encode(path, pictures if pictures is not None else map(draw, range(96)), **options)
        return path

    return make


@pytest.fixture(scope="session")
def draw_frame() -> Callable[..., np.ndarray]:
    return draw


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.asked.append(self.path)
        server.headers_seen.append(dict(self.headers.items()))
        page = server.pages.get(self.path.partition("?")[0])
        if page is None:
            return self.answer(404, b"nothing here")
        return page(self)

    def answer(self, status=200, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.asked, self.headers_seen = {}, [], []

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_error):
        self.shutdown()
        self.server_close()

    @property
    def host(self):
        return f"127.0.0.1:{self.server_address[1]}"

    def url(self, path):
        return f"http://{self.host}{path}"

    def handle_error(self, request, client_address):
        pass  # a client that hangs up early is what several tests are about


@pytest.fixture
def new_server() -> type[Server]:
    """Another local web server: ``with new_server() as other``."""
    return Server


@pytest.fixture
def server() -> Iterator[Server]:
    """A web server on this machine; ``pages`` maps paths to what answers them, ``asked`` lists the requests."""
    with Server() as server:
        yield server


@pytest.fixture
def add(reel_database) -> Callable[..., str]:
    """Add pictures' rows: ``add("a", sha="1", state="rejected")``; the id is ``img_a``, each has bytes of its own."""
    with transaction() as session:
        job_id = jobs.submit(
            session, EXTRACT_FRAMES, ExtractFramesRequest(label="kiki", key="films/a.mp4")
        ).id

    def make(name, *, sha=None, movie=None, **fields):
        values = {
            "dataset": "d", "label": "kiki", "source": "web", "variant": "original", "key": f"pictures/{name}.jpg",
            "sha256": (sha or name).encode().hex().ljust(64, "0"), "media_type": "image/jpeg", "size": 1, "width": 9,
            "height": 9, "phash": "0" * 16, "job_id": job_id, **fields,
        }  # fmt: skip
        with transaction() as session:
            if movie is not None:
                session.merge(
                    Movie(
                        id=movie, dataset="d", label="kiki", key="films/a.mp4", codec="h264", width=9, height=9,
                        frame_rate=24, duration_seconds=1, scenes=1, crop=[0, 0, 0, 0], job_id=job_id,
                    )
                )  # fmt: skip
                session.flush()
                values |= {"movie_id": movie, "source": "movie"}
            session.add(Image(id=f"img_{name}", **values))
        return f"img_{name}"

    return make


@pytest.fixture
def rows(reel_database) -> Callable[..., list]:
    """The rows of a table, pictures unless said, in the order of their ids: ``rows(Job, state="failed")``."""

    def read(model=Image, **filters):
        with transaction() as session:
            return list(session.scalars(sa.select(model).filter_by(**filters).order_by(model.id)))

    return read


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """Coarse coloured blocks as a file; another seed is no near copy."""

    def make(seed, form="PNG", size=(200, 300)):
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        blocks = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_NEAREST)
        Pillow.fromarray(blocks).save(buffer, form)
        return buffer.getvalue()

    return make


@pytest.fixture(scope="session")
def zipped() -> Callable[[dict[str, bytes | str]], bytes]:
    """Files by their names as a zip."""

    def make(members):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            for name, data in members.items():
                file.writestr(name, data)
        return buffer.getvalue()

    return make


@pytest.fixture
def run(reel) -> Callable[[str], Job]:
    """Run a submitted job as the worker does; gives its row."""
    from reel_ingest import tasks

    def do(job_id):
        with transaction() as session:
            kind = KINDS[jobs.get(session, job_id).kind]
        run_job(kind, getattr(tasks, kind.name.partition(".")[2]), job_id)
        with transaction() as session:
            return session.get(Job, job_id)

    return do


@pytest.fixture
def submit(run) -> Callable[[Kind, Model], Job]:
    """Submit a job and run it; gives its row."""

    def do(kind, request):
        with transaction() as session:
            job_id = jobs.submit(session, kind, request).id
        return run(job_id)

    return do


@pytest.fixture
def client(reel) -> Iterator[TestClient]:
    """A caller of the API of ingest who may read and submit."""
    from reel_ingest import api

    with transaction() as session:
        _, token = create_key(session, "test", ["read", "submit"])
    with TestClient(api.app(), headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


@pytest.fixture(scope="session")
def bordered(film, draw_frame) -> Path:
    """Four scenes inside black bars, then half a second of black."""
    pictures = [np.pad(draw_frame(i)[:76], ((12, 12), (0, 0), (0, 0))) for i in range(96)]
    return film("bordered.mp4", [*pictures, *[np.zeros_like(pictures[0])] * 12])
