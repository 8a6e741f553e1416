"""Pictures decoded once per size into one flat uint8 file on local disk; made and read by ``data``."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from reel_shared.cores import usable_cores
from reel_shared.errors import BadPicture, Corrupt, TooLarge, Unavailable
from reel_shared.images import open_picture, preprocess
from reel_shared.manifest import ManifestImage

Pixels = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

Corner = tuple[int, int]
"""Top and left of a square in its picture, pixels."""

ROOM = 1.4
"""How much longer than the short side a cached training picture may be: room for crops off the centre."""


@dataclass(frozen=True)
class PictureCache:
    """``pixels`` holds picture ``i`` as (height, width, 3) from ``offsets[i]``; the shorter side is ``side``."""

    pixels: Pixels
    offsets: Numbers
    shapes: Numbers
    side: int

    def __len__(self) -> int:
        return len(self.offsets)

    def picture(self, index: int) -> Pixels:
        height, width = self.shapes[index]
        start = self.offsets[index]
        return self.pixels[start : start + height * width * 3].reshape(height, width, 3)

    @classmethod
    def opened(cls, path: Path, offsets: Numbers, shapes: Numbers, side: int) -> PictureCache:
        """Map a file that ``build_cache`` has written, here or in another process."""
        return cls(np.memmap(path, dtype=np.uint8, mode="r"), offsets, shapes, side)

    def corners(self, indices: Sequence[int], rng: np.random.Generator | None = None) -> list[Corner]:
        """Return where to cut squares: at random along the longer side, or from the centre without rng."""
        room = [
            (int(height) - self.side, int(width) - self.side)
            for height, width in self.shapes[np.asarray(indices, np.intp)]
        ]
        if rng is None:
            return [(top // 2, left // 2) for top, left in room]
        return [(int(rng.integers(top + 1)), int(rng.integers(left + 1))) for top, left in room]

    def cut(self, indices: Sequence[int], corners: Sequence[Corner]) -> Pixels:
        """Return uint8 (n, side, side, 3), cut at ``corners``."""
        batch = np.empty((len(indices), self.side, self.side, 3), dtype=np.uint8)
        for row, (index, (top, left)) in enumerate(zip(indices, corners, strict=True)):
            batch[row] = self.picture(index)[top : top + self.side, left : left + self.side]
        return batch

    def squares(self, indices: Sequence[int], rng: np.random.Generator | None = None) -> Pixels:
        """Return uint8 (n, side, side, 3), cut at random along the longer side, or from the centre without rng."""
        return self.cut(indices, self.corners(indices, rng))


def build_cache(
    rows: Sequence[ManifestImage],
    folder: Path,
    path: Path,
    *,
    side: int,
    roomy: bool,
    tick: Callable[[int], None] = lambda done: None,
) -> PictureCache:
    """Decode every picture (``folder / sha256``) into ``path``; ``tick`` hears how many are done and may raise.

    ``roomy`` keeps up to ROOM times the side for training; otherwise the picture is what serving would see,
    bit for bit. Raises Corrupt for a picture that cannot be decoded, Unavailable when the disk is too small.
    """
    _check_space(path.parent, bytes_needed(rows, side=side, roomy=roomy))
    shapes, offsets, at = [], [], 0
    with path.open("wb") as file:
        for done, pixels in enumerate(_decoded(rows, folder, side=side, roomy=roomy), start=1):
            file.write(pixels.tobytes())
            shapes.append(pixels.shape[:2])
            offsets.append(at)
            at += pixels.size
            tick(done)
    return PictureCache.opened(path, np.array(offsets), np.array(shapes), side)


def _decoded(rows: Sequence[ManifestImage], folder: Path, *, side: int, roomy: bool) -> Iterator[Pixels]:
    """Yield pictures in order, decoded by threads that run at most a few pictures ahead."""
    workers = min(16, usable_cores())
    waiting: deque[Future[Pixels]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            for row in rows:
                waiting.append(pool.submit(_decode, row, folder, side, roomy))
                if len(waiting) >= 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _decode(row: ManifestImage, folder: Path, side: int, roomy: bool) -> Pixels:
    try:
        data = (folder / row.sha256).read_bytes()
        # whether the picture is too large was judged when it came in; here it must be the one that was recorded
        pixels = row.width * row.height
        target = side if roomy else None
        picture = open_picture(data, max_pixels=pixels, max_bytes=len(data), target=target)
        return _fit(picture, side) if roomy else preprocess(picture, side)
    except FileNotFoundError:
        raise Corrupt(f"Picture {row.id} ({row.key}) is missing; ingest it again.") from None
    except (BadPicture, TooLarge) as error:
        raise Corrupt(f"Picture {row.id} ({row.key}) cannot be decoded: {error.detail}") from error


def bytes_needed(rows: Sequence[ManifestImage], *, side: int, roomy: bool) -> int:
    """Return how large the cache of these pictures is; those that are turned are as large as upright ones."""
    sizes = (_fitted(row.width, row.height, side)[1] if roomy else (side, side) for row in rows)
    return sum(width * height * 3 for width, height in sizes)


def _fitted(width: int, height: int, side: int) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """Return the box of a picture that is kept, and the size (width, height) that it shrinks to."""
    longest = int(min(width, height) * ROOM)
    cut_x, cut_y = max(0, width - longest) // 2, max(0, height - longest) // 2
    box = (cut_x, cut_y, width - cut_x, height - cut_y)
    scale = side / min(width, height)
    return box, (max(side, round((box[2] - box[0]) * scale)), max(side, round((box[3] - box[1]) * scale)))


def _fit(picture: Image.Image, side: int) -> Pixels:
    """Shrink so that the shorter side is ``side``, after cutting the longer one to ROOM times the shorter."""
    box, size = _fitted(*picture.size, side)
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=box), dtype=np.uint8)


def _check_space(directory: Path, needed: float) -> None:
    free = shutil.disk_usage(directory).free
    if needed > 0.9 * free:
        raise Unavailable(
            f"Decoded pictures need {needed / 2**30:.1f} GiB in {directory.name} and {free / 2**30:.1f} GiB are "
            "free; give the trainer more scratch space or take smaller pictures."
        )
