"""Colours and drawing manners of the five films. Called by everything that paints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Colour = tuple[int, int, int]  # blue, green, red: OpenCV's order
Palette = Mapping[str, Colour]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a film is drawn: outline in pixels, and what shading and paper do."""

    outline: float
    shading: Literal["cel", "wash", "dots", "paper"]
    grain: float
    boil: float  # how much a held line trembles, in pixels
    border: int = 0  # black pixels on each side


def colour(code: str) -> Colour:
    value = int(code, 16)
    return value & 255, value >> 8 & 255, value >> 16


def palette(**codes: str) -> dict[str, Colour]:
    return {name: colour(code) for name, code in codes.items()}


COAST = palette(
    ink="22304f", white="fdf6e6", light="f5dfb4", skin="f7c9a0", warm="e8694f", gold="f2b544",
    cool="3d9a9b", deep="2f4b7c", mid="8fa6b2", blush="f09a86",
    sky="9fd6dc", haze="fbe9c7", dusk="e9886c", glow="ffd67f", night="1e2f5c", moonlit="4b6d9c",
    far="7db3b5", sea="4ea3ab", foam="d8efe6", ground="e6c48f", earth="b98658", leaf="7fae6d",
    moss="4f8a6a", stone="a89f97", wood="a66f4d", wall="f3ead3", roof="d9624c",
)  # fmt: skip
WOODS = palette(
    ink="4a2d1d", white="fff4dc", light="f3d9a5", skin="e9b98a", warm="c9541f", gold="e3a32f",
    cool="6f8f4e", deep="7a3b22", mid="b39a74", blush="e08a63",
    sky="f3e2b3", haze="fff1cf", dusk="e07b3c", glow="ffd27a", night="3a2f45", moonlit="7a6a78",
    far="d8b878", sea="8fb0a0", foam="e6ead0", ground="b98f4a", earth="7d5a34", leaf="cf7f2c",
    moss="8a8f3c", stone="a08a72", wood="6f4a30", wall="e6cf9c", roof="8f4a2c",
)  # fmt: skip
TIN = palette(
    ink="141414", white="ffffff", light="cfe9df", skin="b9c4cc", warm="ff5c8a", gold="ffd23f",
    cool="38c6a4", deep="5b6b7b", mid="9fb0bb", blush="ff9ab5",
    sky="bff0e2", haze="f6fff2", dusk="ff9fb8", glow="fff07a", night="27304f", moonlit="5668a0",
    far="93d9c2", sea="7cc9e0", foam="eafaff", ground="9ee07c", earth="5fae5a", leaf="2fb37a",
    moss="1f8a68", stone="aab6bd", wood="c98f5c", wall="ffe3ec", roof="ff6f91",
)  # fmt: skip
MOON = palette(
    ink="1c1433", white="f6ecff", light="d9c2f0", skin="e8b8c8", warm="d8467a", gold="f7c548",
    cool="5a5fc7", deep="3a2a6b", mid="8a78b8", blush="f08fb0",
    sky="6a4fa3", haze="d88fc0", dusk="a83f7f", glow="ffd977", night="1a1440", moonlit="463a8c",
    far="4f3f8f", sea="4a5cb8", foam="c9c2f2", ground="5b4a94", earth="3c2f70", leaf="7a4fa8",
    moss="4c3a86", stone="7d70ad", wood="6b3f6f", wall="8a68b0", roof="b0407a",
)  # fmt: skip

COAST_MANNER = Manner(outline=2.2, shading="cel", grain=0.035, boil=0.5)
WOODS_MANNER = Manner(outline=1.2, shading="wash", grain=0.08, boil=0.9, border=6)
TIN_MANNER = Manner(outline=3.2, shading="dots", grain=0.0, boil=0.0)
MOON_MANNER = Manner(outline=0.0, shading="paper", grain=0.1, boil=0.0)
