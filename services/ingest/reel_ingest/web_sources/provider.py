"""What every source of web pictures offers; called by the tasks, implemented by the modules beside this one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: a text, a style of drawing that goes with it, and how many candidates at most."""

    text: str
    style: str = ""
    limit: int = 200

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


class SourceProvider(Protocol):
    """A source of pictures."""

    name: str

    def count(self) -> int | None:
        """Return how many candidates there are in all, where that is known before the search."""
        ...

    def search(self, query: Query) -> Iterator[Candidate]:
        """Yield at most ``query.limit`` candidates, best first. Raises ``ReelError`` when it cannot search."""
        ...

    def fetch(self, candidate: Candidate) -> bytes:
        """Return a candidate's bytes, unchecked. Raises ``Refused``. May be called from several threads."""
        ...
