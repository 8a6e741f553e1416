"""Writes a film's scenes: where, when, who does what, how the camera moves. Called by films."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reelsight.studio.anatomy import Pose
from reelsight.studio.backdrops import WIDTH, View, clamp
from reelsight.studio.brush import Hour
from reelsight.studio.catalogue import Film
from reelsight.studio.ink import Placement

Action = Literal["walk", "run", "talk", "wave", "hop", "dance"]
Shot = Literal["wide", "two", "close", "chase", "solo", "empty"]
SHOTS: tuple[Shot, ...] = (
    "wide",
    "close",
    "two",
    "chase",
    "solo",
    "close",
    "two",
    "wide",
    "chase",
    "solo",
    "close",
)
HOURS: tuple[Hour, ...] = ("day", "day", "dusk", "day", "night")
EMPTY = (2, 5, 8, 10)
"""Of eleven scenes these show nobody, if their place has a ground to show: what films cut away to."""
GROUND = 352.0  # the row of the set on which the cast stands


@dataclass(frozen=True, slots=True)
class Role:
    """One character in one scene: from x0 to x1 while it acts."""

    name: str
    action: Action
    x0: float
    x1: float
    scale: float
    flip: bool
    offset: float  # of its cycle, so that no two move alike


@dataclass(frozen=True, slots=True)
class Scene:
    place: int
    hour: Hour
    shot: Shot
    seconds: float
    seed: int
    roles: tuple[Role, ...]
    start: View
    end: View


def write(film: Film, *, seed: int, seconds: float) -> tuple[Scene, ...]:
    """Scenes of 3 to 4.5 s that last `seconds` or more together; the same seed gives the same film."""
    rng = np.random.default_rng([seed, *film.label.encode()])
    scenes: list[Scene] = []
    shots: list[Shot] = []
    places: list[int] = []
    leads: list[str] = []
    while sum(scene.seconds for scene in scenes) < seconds:
        if not shots:
            shots = [SHOTS[i] for i in rng.permutation(len(SHOTS))]
        if not places:
            places = _next_places(rng, len(film.places), scenes[-1].place if scenes else None)
        number = len(scenes)
        if not leads:
            leads = [str(name) for name in rng.permutation(list(film.cast))]
        place = places.pop()
        shot: Shot = "empty" if number % 11 in EMPTY and _may_be_empty(film, place, scenes) else shots.pop()
        lead = leads[-1] if shot == "empty" else leads.pop()
        scenes.append(_scene(film, rng, shot=shot, place=place, lead=lead, number=number))
    return tuple(scenes)


def _may_be_empty(film: Film, place: int, scenes: Sequence[Scene]) -> bool:
    return film.places[place].ground is not None and scenes[-1].shot != "empty"


def _next_places(rng: np.random.Generator, count: int, last: int | None) -> list[int]:
    order = [int(i) for i in rng.permutation(count)]
    return order if order[-1] != last else order[::-1]


def _scene(film: Film, rng: np.random.Generator, *, shot: Shot, place: int, lead: str, number: int) -> Scene:
    hour = HOURS[number % len(HOURS)]
    names = [lead, *(str(name) for name in rng.permutation([n for n in film.cast if n != lead]))]
    middle = float(rng.uniform(380, WIDTH - 380))
    roles, start, end = _staging(film, shot, rng, names, middle)
    seconds = 2.0 if shot == "empty" else float(rng.choice([3.0, 3.5, 4.0, 4.5]))
    return Scene(place, hour, shot, seconds, int(rng.integers(2**31)), tuple(roles), clamp(start), clamp(end))


def _staging(
    film: Film, shot: Shot, rng: np.random.Generator, names: Sequence[str], middle: float
) -> tuple[list[Role], View, View]:
    side = 1 if rng.random() < 0.5 else -1

    def role(name: str, action: Action, x0: float, x1: float, scale: float, facing: int) -> Role:
        fitted = (
            scale * float(np.clip(118 / film.tallness(name), 0.82, 1.12)) * float(rng.uniform(0.94, 1.06))
        )
        return Role(name, action, x0, x1, fitted, facing < 0, float(rng.uniform()))

    standing: list[Action] = ["talk", "wave", "dance", "hop"]
    act = [standing[i] for i in rng.permutation(4)]
    drift = float(rng.uniform(40, 90)) * side
    if shot == "empty":
        return [], View(middle - 160 * side, 205, 1.05), View(middle + 160 * side, 220, 1.2)
    if shot == "wide":
        roles = [role(names[0], "walk", middle - 190 * side, middle + 170 * side, 1.45, side)]
        roles.append(role(names[1], act[0], middle + 110 * side, middle + 120 * side, 1.45, -side))
        if rng.random() < 0.5:
            roles.insert(0, role(names[2], act[1], middle - 20 * side, middle - 30 * side, 1.3, side))
        return roles, View(middle - drift, 205, 1.0), View(middle + drift, 215, 1.12)
    if shot == "two":
        roles = [role(names[0], act[0], middle - 82, middle - 66, 1.5, 1)]
        roles.append(role(names[1], act[1], middle + 82, middle + 66, 1.5, -1))
        return roles, View(middle - drift * 0.5, 254, 1.4), View(middle + drift * 0.5, 262, 1.55)
    if shot == "close":
        roles = [
            role(names[0], act[0] if act[0] != "hop" else "talk", middle, middle + drift * 0.2, 1.5, side)
        ]
        zoom = float(rng.uniform(1.8, 2.2))
        y = GROUND - roles[0].scale * film.tallness(names[0]) + 150 / zoom
        return roles, View(middle - drift * 0.5, y, zoom), View(middle + drift * 0.6, y + 6, zoom * 1.12)
    if shot == "chase":
        x0, x1 = (170.0, WIDTH - 170.0) if side > 0 else (WIDTH - 170.0, 170.0)
        roles = [role(names[0], "run", x0 + 60 * side, x1 + 60 * side, 1.5, side)]
        if rng.random() < 0.6:
            roles.insert(0, role(names[1], "run", x0 - 110 * side, x1 - 100 * side, 1.4, side))
        return roles, View(x0, 240, 1.25), View(x1, 246, 1.3)
    roles = [role(names[0], act[0], middle - 60 * side, middle + 60 * side, 1.6, side)]
    return roles, View(middle + drift, 238, 1.3), View(middle - drift, 250, 1.55)


def camera(scene: Scene, at: float) -> View:
    """At is 0 to 1 through the scene; the move eases in and out."""
    ease = at * at * (3 - 2 * at) if scene.shot != "chase" else at
    a, b = scene.start, scene.end
    return clamp(View(a.x + (b.x - a.x) * ease, a.y + (b.y - a.y) * ease, a.zoom * (b.zoom / a.zoom) ** ease))


def perform(role: Role, scene: Scene, at: float) -> tuple[Pose, Placement]:
    """The role's pose and its place on the set, `at` 0 to 1 through the scene."""
    time = at * scene.seconds
    x = role.x0 + (role.x1 - role.x0) * at
    beat = (time + role.offset * 2.7) % 2.7
    blink = 1.0 if beat < 0.14 else 0.0
    cycle = (time * {"walk": 1.1, "run": 2.0}.get(role.action, 0.8) + role.offset) % 1.0
    look = float(np.clip(np.sin(time * 1.7 + role.offset * 6) * 1.4, -1, 1))
    open_mouth = max(0.0, float(np.sin(time * 9 + role.offset * 6)))
    y, squash, tilt, flip = GROUND, 0.0, 0.0, role.flip
    if role.action in ("walk", "run"):
        pose = Pose(cycle, 1.0 if role.action == "walk" else 1.35, look=0.6, blink=blink)
        tilt = 4.0 if role.action == "run" else 0.0
    elif role.action == "talk":
        pose = Pose(cycle, 0.12, 0.25 + 0.25 * np.sin(time * 2.3), look, blink, open_mouth)
        tilt = 3 * float(np.sin(time * 2.1 + role.offset * 6))
    elif role.action == "wave":
        pose = Pose((time * 1.5) % 1, 0.0, min(1.0, time * 1.5), look, blink, 0.5 * open_mouth)
        flip = role.flip != (at > 0.55)
    elif role.action == "hop":
        arc = (time * 1.2 + role.offset) % 1.0
        y -= 42 * 4 * arc * (1 - arc) * role.scale / 1.5
        squash = 0.16 * max(0.0, 1 - 8 * min(arc, 1 - arc))
        pose = Pose(cycle, 0.5, 0.9, look, blink, 0.7)
    else:
        pose = Pose((time * 1.3 + role.offset) % 1, 0.55, 0.5 + 0.5 * np.sin(time * 4), look, blink, 0.4)
        tilt, squash = 9 * float(np.sin(time * 5.2)), 0.05 * float(np.sin(time * 10.4))
        flip = role.flip != (int(time / 1.5) % 2 == 1)
    return pose, Placement(x, y, role.scale, flip, tilt if not flip else -tilt, squash)


def length(scenes: Sequence[Scene]) -> float:
    return sum(scene.seconds for scene in scenes)


def cuts(scenes: Sequence[Scene]) -> list[float]:
    """Seconds at which the picture changes."""
    ends = np.cumsum([scene.seconds for scene in scenes])
    return [float(e) for e in ends[:-1]]
