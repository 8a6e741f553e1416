"""What every source of web pictures offers; called by the tasks, implemented by the modules beside this one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol

TimeWindow = Literal["exact", "preset", "filter", "none"]
"""``exact``: it searches between two days. ``preset``: the last day, week, month or year. ``filter``: every
candidate has its date, so that others can be dropped afterwards. ``none``: it knows no dates."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do, so that what it cannot is refused before anything is asked of it."""

    time_window: TimeWindow
    licence: bool
    """Whether every candidate comes with its licence."""
    needs_key: bool = False
    """Whether it answers to registered users only."""
    page_limit: int | None = None
    """Candidates that one search gives at most, however many there are; None: no such limit."""


@dataclass(frozen=True, slots=True)
class Query:
    """One search: a text, a style of drawing that goes with it, days, and how many candidates at most.

    ``since`` is the first day that counts, ``until`` the first that counts no more.
    """

    text: str
    style: str = ""
    limit: int = 200
    since: date | None = None
    until: date | None = None

    @property
    def words(self) -> str:
        """Text and style as one search phrase; a style that the text names already is not said twice."""
        said = self.style.lower() in self.text.lower()
        return self.text.strip() if said else f"{self.text} {self.style}".strip()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture that a provider knows of, before it is fetched; empty text where the provider does not say."""

    url: str
    provider: str
    title: str = ""
    creator: str = ""
    licence: str = ""
    licence_url: str = ""
    attribution: str = ""
    page_url: str = ""
    width: int | None = None
    height: int | None = None
    provider_id: str = ""
    """The provider's own name of the picture; the same picture may have several addresses."""
    taken_at: datetime | None = None
    """When it was made or published, with its time zone."""
    style: str = ""
    """Of the query that it was found with."""


class SourceProvider(Protocol):
    """A source of pictures."""

    name: str
    capabilities: Capabilities

    def count(self) -> int | None:
        """Return how many candidates there are in all, where that is known before the search."""
        ...

    def search(self, query: Query) -> Iterator[Candidate]:
        """Yield candidates, best first: of a search at most ``query.limit``, of what was given all.

        Raises ``ReelError`` when it cannot search.
        """
        ...

    def fetch(self, candidate: Candidate) -> bytes:
        """Return a candidate's bytes, unchecked. Raises ``Refused``. May be called from several threads."""
        ...
