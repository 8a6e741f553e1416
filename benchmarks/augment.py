"""A web picture from JPEG to the JPEGs of its six variants: plain scikit-image loops and reel_augment, in one run.

    python benchmarks/augment.py [--pictures 24] [--rounds 5] [--folder pictures/] [--json]

Without a folder the pictures are drawn. All are 700x400; of a folder, pictures are cut and scaled to that. Before
anything is timed, every way's results are compared: pixels before encoding, JPEG bytes where the encoder is the same,
and for fast noise the distribution of every gray level. Exits with 1 when they differ. The ways take turns, and ratios
are medians over the rounds: of the time that passed, and of the processor's time, which other work on the machine
hardly touches.
"""

# ruff: noqa: E402
from __future__ import annotations

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy: each way has the threads it says, no hidden ones

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image, ImageOps
from scipy import stats
from skimage import exposure
from skimage import io as skio
from skimage.color import rgb2gray
from skimage.util import img_as_ubyte, random_noise

from reel_augment import poisson
from reel_augment.encoding import decode, encode
from reel_augment.lanes import in_lanes
from reel_augment.transforms import KINDS, Noise, Original, make_variants
from reel_shared.contracts import Variant

SIZE = (700, 400)
QUALITY = 90
MEMORY = Path("/dev/shm")
"""Files lie here where there is such a place, else in the temporary folder."""
LIMITS = {"max_pixels": 50_000_000, "max_bytes": 50_000_000}
TRANSFORM_LOSS = 0.25
"""Gray levels of mean error by which two JPEGs of the same quality may differ."""
SIGNIFICANCE = 1e-3
"""Of the whole test of the noise's distribution, shared by all of its levels."""
PICTURES = {".jpg", ".jpeg", ".png", ".webp"}
Pixels = np.ndarray


class Job(NamedTuple):
    file: Path
    seed: int
    out: Path
    """Results are ``out-<kind>.<suffix>``."""


# --- the ways ----------------------------------------------------------------------------------------------------


def plain_variants(img: Pixels, seed: int) -> Iterator[tuple[str, Pixels]]:
    """The calls of the article's time, with what scikit-image needs today: 8 bits, and a seed for the noise."""
    low = exposure.is_low_contrast(img)
    if not low:
        yield "grayscale", img_as_ubyte(np.repeat(rgb2gray(img)[:, :, np.newaxis], 3, axis=2))
        yield "invert", np.invert(img)
        yield "noise", img_as_ubyte(random_noise(img, mode="poisson", rng=seed))
    v_min, v_max = np.percentile(img, (0.2, 99.8))
    intensity = exposure.rescale_intensity(img, in_range=(v_min, v_max))
    yield "intensity", intensity
    if low:
        yield "intensity-invert", np.invert(intensity)
    for kind, change in (("log", exposure.adjust_log), ("sigmoid", exposure.adjust_sigmoid)):
        result = change(img)
        if not exposure.is_low_contrast(result):
            yield kind, result


def authors_loop(job: Job) -> None:
    """imread, the calls, imsave as PNG: the article's own way."""
    for kind, image in plain_variants(skio.imread(job.file), job.seed):
        skio.imsave(f"{job.out}-{kind}.png", image)


def plain_with_pillow(job: Job) -> None:
    """The same loop with Pillow's JPEG at the settings of ours."""
    for kind, image in plain_variants(np.asarray(Image.open(job.file).convert("RGB")), job.seed):
        gray = kind == "grayscale"
        picture = Image.fromarray(np.ascontiguousarray(image[:, :, 0]) if gray else image)
        picture.save(f"{job.out}-{kind}.jpg", quality=QUALITY, subsampling=0)


def plain_with_turbo(job: Job) -> None:
    """The same loop with the encoder of ours: the JPEGs are the same to the byte."""
    for kind, image in plain_variants(np.asarray(Image.open(job.file).convert("RGB")), job.seed):
        if kind == "grayscale":
            one = np.ascontiguousarray(image[:, :, :1])
            data = simplejpeg.encode_jpeg(one, quality=QUALITY, colorspace="GRAY")
        else:
            data = simplejpeg.encode_jpeg(
                np.ascontiguousarray(image), quality=QUALITY, colorspace="RGB", colorsubsampling="444"
            )
        Path(f"{job.out}-{kind}.jpg").write_bytes(data)


def ours(job: Job, noise: Noise) -> None:
    picture = decode(job.file.read_bytes(), **LIMITS)
    for kind, image in Original(picture).variants(KINDS, seed=job.seed, noise=noise):
        file = encode(kind, image, quality=QUALITY, format="jpeg")
        Path(f"{job.out}-{kind}{file.suffix}").write_bytes(file.data)


def one_by_one(work: Callable[[Job], None]) -> Callable[[list[Job]], None]:
    return lambda jobs: [work(job) for job in jobs] and None


def lanes(work: Callable[[Job], None], count: int) -> Callable[[list[Job]], None]:
    """As the worker does it: threads of one process."""
    return lambda jobs: [*in_lanes(jobs, work, pixels=lambda _: SIZE[0] * SIZE[1], lanes=count)] and None


def workers(work: Callable[[Job], None], count: int) -> Callable[[list[Job]], None]:
    """As replicas of the worker do it: processes, started before the clock is; their processor time is not seen."""
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"))
    return lambda jobs: [*pool.map(work, jobs)] and None


def exact(job: Job) -> None:
    ours(job, "exact")


def fast(job: Job) -> None:
    ours(job, "fast")


WAYS: dict[str, Callable[[list[Job]], None]] = {
    "author": one_by_one(authors_loop),
    "pillow": one_by_one(plain_with_pillow),
    "turbo": one_by_one(plain_with_turbo),
    "exact": one_by_one(exact),
    "fast": one_by_one(fast),
    "exact-2": lanes(exact, 2),
    "fast-2": lanes(fast, 2),
    "exact-workers": workers(exact, 2),
    "fast-workers": workers(fast, 2),
}
WORDS = {
    "author": "scikit-image, PNG by imsave (the article's loop)",
    "pillow": "scikit-image, JPEG by Pillow",
    "turbo": "scikit-image, JPEG by libjpeg-turbo",
    "exact": "reel_augment, exact noise",
    "fast": "reel_augment, fast noise",
    "exact-2": "reel_augment, exact noise, two lanes",
    "fast-2": "reel_augment, fast noise, two lanes",
    "exact-workers": "reel_augment, exact noise, two workers",
    "fast-workers": "reel_augment, fast noise, two workers",
}
TARGETS = (
    ("exact", "turbo", 1.5),
    ("exact", "pillow", 1.5),
    ("exact", "author", 8.0),
    ("fast", "turbo", 3.5),
    ("fast", "pillow", 3.5),
    ("fast", "author", 20.0),
    ("exact-2", "exact", 1.9),
    ("fast-2", "fast", 1.9),
    ("exact-workers", "exact", 1.9),
    ("fast-workers", "fast", 1.9),
)


# --- pictures ----------------------------------------------------------------------------------------------------


def drawn(count: int) -> list[Pixels]:
    """Of many contrasts; every eighth has too little for most variants."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    pictures = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        a, b, c = rng.uniform(20, 120, 3)
        waves = np.stack([np.sin(x / a + y / b), np.sin(x / b), np.cos(y / c - x / a)], axis=-1) / 2 + 0.5
        spread = rng.uniform(10, 24) if seed % 8 == 7 else rng.uniform(60, 255)
        low = rng.uniform(0, 255 - spread)
        grain = rng.normal(0, 0.05, waves.shape)
        pictures.append((low + spread * (waves + grain).clip(0, 1)).astype(np.uint8))
    return pictures


def of_folder(folder: Path, count: int) -> list[Pixels]:
    """Pictures spread evenly over the folder's, in the order of their names."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    chosen = [files[len(files) * n // count] for n in range(count)] if len(files) > count else files
    return [np.asarray(ImageOps.fit(Image.open(path).convert("RGB"), SIZE)) for path in chosen]


def write(pictures: list[Pixels], folder: Path) -> list[Job]:
    jobs = []
    for number, picture in enumerate(pictures):
        file = folder / f"{number:04d}.jpg"
        Image.fromarray(picture).save(file, quality=95)
        jobs.append(Job(file, number, folder / f"{number:04d}"))
    return jobs


# --- are the results the same? -----------------------------------------------------------------------------------


def differences(jobs: list[Job], places: dict[str, Path]) -> list[str]:
    """Return what differs, in words, after one turn of every way."""
    for way, run in WAYS.items():
        run(placed(jobs, places[way]))
    return [line for job in jobs for line in differences_of(job, places)]


def differences_of(job: Job, places: dict[str, Path]) -> list[str]:
    picture = np.asarray(Image.open(job.file).convert("RGB"))
    decoded = decode(job.file.read_bytes(), **LIMITS)
    wanted = dict(plain_variants(picture, job.seed))
    made = make_variants(decoded, seed=job.seed).images
    quick = make_variants(decoded, seed=job.seed, noise="fast").images
    found = [] if np.array_equal(decoded, picture) else ["decoded otherwise than by Pillow"]
    if not wanted.keys() == set(made) == set(quick):
        return [f"{job.file.name}: {sorted(made)} in place of {sorted(wanted)}"]
    for kind, image in wanted.items():
        tabled = [made[Variant(kind)]] + ([quick[Variant(kind)]] if kind != "noise" else [])
        found += [f"{kind} has other pixels"] * (not all(np.array_equal(one, image) for one in tabled))
        found += [
            f"{kind} in another file of {way}"
            for way, place in places.items()
            if not same_file(way, place / f"{job.out.name}-{kind}", places["turbo"], image)
        ]
    return [f"{job.file.name}: {line}" for line in found]


def same_file(way: str, file: Path, turbo: Path, image: Pixels) -> bool:
    """PNGs show the very pixels; JPEGs of one encoder have the same bytes, Pillow's loses no less than that.

    Pillow's encoder takes another cosine transform, so of its JPEGs it is the mean error that must agree.
    """
    if way == "author":
        return np.array_equal(np.asarray(Image.open(f"{file}.png")), image)
    ours, its = Path(f"{turbo / file.name}.jpg"), Path(f"{file}.jpg")
    if way == "pillow":
        return abs(loss(ours, image) - loss(its, image)) < TRANSFORM_LOSS
    fast_noise = way.startswith("fast") and file.name.endswith("-noise")
    return its.exists() if fast_noise else ours.read_bytes() == its.read_bytes()


def loss(file: Path, image: Pixels) -> float:
    """Return the mean absolute error of a JPEG, gray levels."""
    return float(np.abs(np.asarray(Image.open(file).convert("RGB")).astype(np.int16) - image).mean())


class Noisiness(NamedTuple):
    levels: int
    smallest: float
    """p-value of a level."""

    @property
    def as_wanted(self) -> bool:
        """By Bonferroni: so many levels, so many chances to look unlikely."""
        return self.levels > 0 and self.smallest * self.levels >= SIGNIFICANCE


def noisiness(jobs: list[Job], noise: Noise) -> Noisiness:
    """Test the noise of these pictures, level by level, against the Poisson distribution that scikit-image asks for.

    A chi-square test for each of a picture's gray levels, pictures of the same n together; neighbouring results are
    joined until at least five pixels are expected in each.
    """
    counts: dict[int, np.ndarray] = {}
    for job in jobs:
        picture = decode(job.file.read_bytes(), **LIMITS)
        noisy = make_variants(picture, seed=job.seed, noise=noise).images.get(Variant.NOISE)
        if noisy is not None:
            steps = poisson.steps_of(np.bincount(picture.reshape(-1), minlength=256))
            pairs = picture.reshape(-1).astype(np.intp) << 8 | noisy.reshape(-1)
            counts.setdefault(steps, np.zeros((256, 256), np.int64))
            counts[steps] += np.bincount(pairs, minlength=1 << 16).reshape(256, 256)
    found = []
    for steps, table in counts.items():
        values = img_as_ubyte(np.arange(steps + 1) / steps)
        for level in range(256):
            below = stats.poisson.pmf(np.arange(steps), steps * level / 255)
            chances = np.bincount(values, np.append(below, max(0.0, 1 - below.sum())), minlength=256)
            tested = chi_square(table[level], chances)
            if tested is not None:
                found.append(tested)
    return Noisiness(len(found), min(found, default=0.0))


def chi_square(seen: np.ndarray, chances: np.ndarray) -> float | None:
    """Return the p-value; 0 where the impossible was seen; None where there is but one result."""
    if (seen[chances == 0] > 0).any():
        return 0.0
    joined: list[list[float]] = []
    many = expected = 0.0
    for one, chance in zip(seen, chances * seen.sum(), strict=True):
        many, expected = many + one, expected + chance
        if expected >= 5:
            joined.append([many, expected])
            many = expected = 0.0
    if len(joined) < 2:
        return None
    joined[-1] = [joined[-1][0] + many, joined[-1][1] + expected]
    return float(stats.chi2.sf(sum((o - e) ** 2 / e for o, e in joined), len(joined) - 1))


# --- time --------------------------------------------------------------------------------------------------------


class Round(NamedTuple):
    wall: float
    processor: float


def placed(jobs: list[Job], place: Path) -> list[Job]:
    return [job._replace(out=place / job.out.name) for job in jobs]


def measure(jobs: list[Job], places: dict[str, Path], rounds: int) -> dict[str, list[Round]]:
    """Time every way once a round, forwards and backwards in turn."""
    times: dict[str, list[Round]] = {way: [] for way in WAYS}
    for way, run in WAYS.items():
        run(placed(jobs[:4], places[way]))
    for number in range(rounds):
        for way in list(WAYS) if number % 2 == 0 else list(WAYS)[::-1]:
            mine = placed(jobs, places[way])
            wall, processor = time.perf_counter(), time.process_time()
            WAYS[way](mine)
            times[way].append(Round(time.perf_counter() - wall, time.process_time() - processor))
    return times


def report(times: dict[str, list[Round]], pictures: int) -> dict[str, object]:
    ways = {
        way: {
            "pictures_per_second": round(pictures / statistics.median(r.wall for r in rounds), 2),
            "processor_ms": round(1000 * statistics.median(r.processor for r in rounds) / pictures, 2),
        }
        for way, rounds in times.items()
    }
    ratios = []
    for way, peer, target in TARGETS:
        pairs = list(zip(times[peer], times[way], strict=True))
        wall = statistics.median(p.wall / w.wall for p, w in pairs)
        processor = statistics.median(p.processor / w.processor for p, w in pairs)
        ratios.append(
            {
                "way": way,
                "peer": peer,
                "wall": round(wall, 2),
                "processor": round(processor, 2),
                "target": target,
            }
        )
    for way, figures in (*ways.items(), *((ratio["way"], ratio) for ratio in ratios)):
        if way.endswith("workers"):
            figures.update(dict.fromkeys(figures.keys() & {"processor", "processor_ms"}))
    return {"ways": ways, "ratios": ratios}


def shown(value: float | None, width: int, digits: int) -> str:
    return f"{'':{width}s}" if value is None else f"{value:{width}.{digits}f}"


def show(figures: dict[str, object]) -> None:
    for way, one in figures["ways"].items():
        processor = shown(one["processor_ms"], 8, 1)
        print(f"{WORDS[way]:50s} {one['pictures_per_second']:8.1f} pictures/s {processor} ms processor")
    print(f"\n{'':40s} {'wall':>7s} {'processor':>10s} {'target':>7s}")
    for ratio in figures["ratios"]:
        verdict = "met" if ratio["wall"] >= ratio["target"] else "MISSED"
        name = f"{ratio['way']} against {ratio['peer']}"
        print(
            f"{name:40s} {ratio['wall']:7.2f} {shown(ratio['processor'], 10, 2)} {ratio['target']:7.1f} {verdict}"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    warnings.filterwarnings(
        "ignore", message=".*is a low contrast image"
    )  # imsave says it of what was asked for
    pictures = of_folder(args.folder, args.pictures) if args.folder else drawn(args.pictures)
    # a disk that is waited for would be the same for all, and hide what differs
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        places = {way: Path(folder, "made", way) for way in WAYS}
        for place in places.values():
            place.mkdir(parents=True)
        jobs = write(pictures, Path(folder))
        if found := differences(jobs, places):
            sys.exit("\n".join(found))
        noise = {kind: noisiness(jobs, kind) for kind in ("exact", "fast")}
        if not noise["fast"].as_wanted:
            sys.exit(f"Fast noise has another distribution than scikit-image's: {noise['fast']}")
        figures = report(measure(jobs, places, args.rounds), len(jobs))
    figures |= {"pictures": len(jobs), "noise": {kind: one._asdict() for kind, one in noise.items()}}
    if args.json:
        print(json.dumps(figures, indent=1))
        return
    print(f"{len(jobs)} pictures: all variants have scikit-image's pixels, and the same JPEGs")
    for kind, one in noise.items():
        print(f"{kind} noise: {one.levels} gray levels against Poisson, smallest p {one.smallest:.5f}")
    print()
    show(figures)


if __name__ == "__main__":
    main()
