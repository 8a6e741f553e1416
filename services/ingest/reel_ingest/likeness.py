"""Pictures that others are compared with: same bytes, near hashes, negatives; called by sieve."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace

from reel_ingest.duplicates import Match, NearDuplicates
from reel_shared.contracts import ImageState

EXACT, NEAR, INVERTED = "exact-duplicate", "near-duplicate", "inverted-duplicate"


@dataclass(frozen=True, slots=True)
class Known:
    """A picture that stands already, or that a person has decided about.

    Pictures that a person rejected or called duplicates bar their like of the same label from coming back; they
    contradict nothing.
    """

    id: str
    label: str
    source: str
    sha256: str
    phash: int
    state: str = ImageState.ACTIVE
    duplicate_of: str | None = None
    """Of one in the state duplicate: what it repeats."""
    also: tuple[int, ...] = ()
    """Other hashes that it is found by, such as that of the picture with its bars."""

    @property
    def stands(self) -> bool:
        return self.state in (ImageState.ACTIVE, ImageState.QUARANTINED)

    @property
    def shown(self) -> str:
        """The picture that those of its like repeat."""
        return (self.duplicate_of if self.state == ImageState.DUPLICATE else None) or self.id


Like = list[tuple[Known, str]]
"""What shows the same, and how."""


class Pool:
    """Pictures that others are compared with, in the order in which they came."""

    def __init__(self, known: Iterable[Known]) -> None:
        self.all: list[Known] = []
        self._near = NearDuplicates()
        self._owners: list[int] = []
        """By hash: whose it is."""
        self._places: dict[str, int] = {}
        self._exact: dict[str, list[int]] = {}
        for one in known:
            self.add(one)

    def add(self, one: Known | None) -> None:
        if one is None:
            return
        place = len(self.all)
        self.all.append(one)
        self._places[one.id] = place
        self._exact.setdefault(one.sha256, []).append(place)
        for value in (one.phash, *one.also):
            self._near.add(value)
            self._owners.append(place)

    def quarantine(self, one: Known) -> None:
        self.all[self._places[one.id]] = replace(one, state=ImageState.QUARANTINED)

    def like(
        self,
        sha256: str,
        hashes: Iterable[int],
        within: int,
        *,
        own: int | None = None,
        of: Container[str] = (),
    ) -> Like:
        """Return what shows the same and how: exact ones first, then the nearest, the earliest of equals.

        Of those whose ids are in ``of`` only what is within ``own`` bits.
        """
        found = dict.fromkeys(self._exact.get(sha256, ()), EXACT)
        near = [match for value in hashes for match in self._near.near(value, within)]
        if own is not None and own < within:
            near = [one for one in near if one.distance <= own or self._owner(one).id not in of]
        for match in sorted(near, key=_rank):
            found.setdefault(self._owners[match.position], INVERTED if match.inverted else NEAR)
        return [(self.all[place], how) for place, how in found.items()]

    def _owner(self, match: Match) -> Known:
        return self.all[self._owners[match.position]]


def _rank(match: Match) -> tuple[int, bool, int]:
    return match.distance, match.inverted, match.position
