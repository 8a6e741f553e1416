"""The six variants: plain scikit-image calls against reel_augment on the same pictures, in one run.

    python benchmarks/augment.py [--pictures 40] [--folder pictures/]

Without a folder it draws its own, 700x400 and of many contrasts. Decoding and encoding are left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import exposure
from skimage.color import rgb2gray
from skimage.util import img_as_ubyte, random_noise

from reel_augment.transforms import make_variants


def with_scikit_image(img: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """The variants as anyone would write them from the library's documentation."""
    made: dict[str, np.ndarray] = {}
    low = exposure.is_low_contrast(img)
    if not low:
        made["grayscale"] = img_as_ubyte(np.repeat(rgb2gray(img)[:, :, np.newaxis], 3, axis=2))
        made["invert"] = np.invert(img)
        made["noise"] = img_as_ubyte(random_noise(img, mode="poisson", rng=seed))
    v_min, v_max = np.percentile(img, (0.2, 99.8))
    made["intensity"] = exposure.rescale_intensity(img, in_range=(v_min, v_max))
    if low:
        made["intensity-invert"] = np.invert(made["intensity"])
    for kind, result in (("log", exposure.adjust_log(img)), ("sigmoid", exposure.adjust_sigmoid(img))):
        if not exposure.is_low_contrast(result):
            made[kind] = result
    return made


def drawn(count: int) -> list[np.ndarray]:
    y, x = np.mgrid[:400, :700]
    pictures = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        a, b, c = rng.uniform(20, 120, 3)
        waves = np.stack([np.sin(x / a + y / b), np.sin(x / b), np.cos(y / c - x / a)], axis=-1) / 2 + 0.5
        low, high = sorted(rng.uniform(0, 255, 2))
        grain = rng.normal(0, 0.05, waves.shape)
        pictures.append((low + (high - low) * (waves + grain).clip(0, 1)).astype(np.uint8))
    return pictures


def rate(pictures: list[np.ndarray], run: Callable[[np.ndarray, int], object]) -> float:
    run(pictures[0], 0)
    start = time.perf_counter()
    for seed, picture in enumerate(pictures):
        run(picture, seed)
    return len(pictures) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    if args.folder:
        files = sorted(p for p in args.folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
        pictures = [np.asarray(Image.open(p).convert("RGB")) for p in files[: args.pictures]]
    else:
        pictures = drawn(args.pictures)

    for seed, picture in enumerate(pictures):
        plain, ours = with_scikit_image(picture, seed), make_variants(picture, seed=seed).images
        assert plain.keys() == set(ours), "not the same variants"
        assert all((plain[k] == ours[k]).all() for k in ours), "not the same pixels"
    print(f"{len(pictures)} pictures, all variants identical to scikit-image")

    plain_rates, our_rates = [], []
    for _ in range(3):  # in turns, so that a busy moment of the machine falls on both
        plain_rates.append(rate(pictures, with_scikit_image))
        our_rates.append(rate(pictures, lambda picture, seed: make_variants(picture, seed=seed)))
    plain_rate, our_rate = max(plain_rates), max(our_rates)
    print(f"scikit-image  {plain_rate:8.1f} pictures/s")
    print(f"reel_augment  {our_rate:8.1f} pictures/s")
    print(f"ratio         {our_rate / plain_rate:8.2f}")
    print(
        f"noise alone, numpy's own draw: {noise_rate(pictures):.1f} pictures/s (the floor of identical noise)"
    )


def noise_rate(pictures: list[np.ndarray]) -> float:
    table = np.arange(256) / 255 * 256
    return rate(pictures, lambda picture, seed: np.random.default_rng(seed).poisson(table[picture]))


if __name__ == "__main__":
    main()
