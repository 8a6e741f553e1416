"""The five films of the studio: title, cast, places, colours and manner. Called by films, drawings and server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reelsight.studio import cast_harbor, cast_kite, cast_moon, cast_tin, cast_woods, palettes
from reelsight.studio.anatomy import Pose
from reelsight.studio.backdrops import Set
from reelsight.studio.palettes import Manner, Palette
from reelsight.studio.sets_coast import HARBOR_SETS, KITE_SETS
from reelsight.studio.sets_moon import MOON_SETS
from reelsight.studio.sets_tin import TIN_SETS
from reelsight.studio.sets_woods import WOODS_SETS
from reelsight.studio.shapes import Figure

Character = Callable[[Pose], Figure]


@dataclass(frozen=True, slots=True)
class Film:
    label: str
    title: str
    cast: Mapping[str, Character]
    places: tuple[Set, ...]
    palette: Palette
    manner: Manner

    def tallness(self, name: str) -> float:
        """Units from the ground to the top of the character when it stands."""
        return -float(min(shape.points[:, 1].min() for shape in self.cast[name](Pose())))


FILMS: tuple[Film, ...] = (
    Film(
        "harbor-lights",
        "Harbor Lights",
        {"Marlo": cast_harbor.marlo, "Ada": cast_harbor.ada, "Pim": cast_harbor.pim},
        HARBOR_SETS,
        palettes.COAST,
        palettes.COAST_MANNER,
    ),
    Film(
        "kite-island",
        "Kite Island",
        {"Juno": cast_kite.juno, "Alba": cast_kite.alba, "Tumble": cast_kite.tumble},
        KITE_SETS,
        palettes.COAST,
        palettes.COAST_MANNER,
    ),
    Film(
        "moss-and-ember",
        "Moss and Ember",
        {"Bramble": cast_woods.bramble, "Ember": cast_woods.ember, "Nettle": cast_woods.nettle},
        WOODS_SETS,
        palettes.WOODS,
        palettes.WOODS_MANNER,
    ),
    Film(
        "tin-orchard",
        "The Tin Orchard",
        {"Bolt": cast_tin.bolt, "Dot": cast_tin.dot, "Tilly": cast_tin.tilly},
        TIN_SETS,
        palettes.TIN,
        palettes.TIN_MANNER,
    ),
    Film(
        "paper-moon",
        "Paper Moon Express",
        {"Odile": cast_moon.odile, "Luno": cast_moon.luno, "Hoot": cast_moon.hoot},
        MOON_SETS,
        palettes.MOON,
        palettes.MOON_MANNER,
    ),
)
LABELS: tuple[str, ...] = tuple(film.label for film in FILMS)


def film(label: str) -> Film:
    for known in FILMS:
        if known.label == label:
            return known
    raise ValueError(f"the studio has no film {label!r}; it has {', '.join(LABELS)}")
