"""What is kept of a stream of pictures: counts every refusal and duplicate; called by pictures and the tasks."""

from __future__ import annotations

from collections.abc import Iterable

from reel_ingest.duplicates import NearDuplicates
from reel_shared.contracts import Counts


class Sieve:
    """Lets every picture through once; ``counts`` always holds kept + duplicates + refused = seen.

    ``known`` are the (sha256, phash) of pictures that stand already. ``near_distance`` is in bits of 64; 0 lets
    through all pictures that differ in any bit of their hashes.
    """

    def __init__(self, *, near_distance: int, known: Iterable[tuple[str, int]] = ()) -> None:
        self.counts = Counts()
        self._near_distance = near_distance
        self._hashes: set[str] = set()
        self._near = NearDuplicates()
        for sha256, phash in known:
            self._remember(sha256, phash)

    def refuse(self, reason: str) -> None:
        """Count a picture that cannot be used."""
        self.counts.seen += 1
        self.counts.refused[reason] = self.counts.refused.get(reason, 0) + 1

    def admit(self, sha256: str, phash: int) -> bool:
        """Count a usable picture and say whether it is new."""
        self.counts.seen += 1
        if sha256 in self._hashes:
            self.counts.exact_duplicates += 1
            return False
        if self._near.find(phash, self._near_distance) is not None:
            self.counts.near_duplicates += 1
            return False
        self._remember(sha256, phash)
        self.counts.kept += 1
        return True

    def _remember(self, sha256: str, phash: int) -> None:
        self._hashes.add(sha256)
        self._near.add(sha256, phash)
