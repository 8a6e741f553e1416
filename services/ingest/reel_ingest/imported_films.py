"""Films that are known by their frames only, as an import finds them; called by the task ``import_dataset``.

A film has the same id in a dataset whenever it is imported, so that its scenes stay whole when more of its frames come.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_ingest.imports.plan import Entry
from reel_shared.contracts import Source
from reel_shared.db.engine import transact
from reel_shared.db.models import Movie

Row = dict[str, Any]


def film_of(entry: Entry) -> str | None:
    """Return what a frame's film is called in the archive: its class, where no film is named; None for no frame."""
    return (entry.facts.film or entry.label) if entry.facts.source == Source.MOVIE else None


def film_ids(dataset: str, entries: Iterable[Entry]) -> dict[str, str]:
    """Return film -> movie id, of the dataset's own film where it is one of those."""
    films = {film for entry in entries if (film := film_of(entry)) is not None}

    def own(session: Session) -> set[str]:
        query = sa.select(Movie.id).where(Movie.dataset == dataset)
        return films.intersection(session.scalars(query))

    known = transact(own)
    return {film: film if film in known else _named(dataset, film) for film in sorted(films)}


def _named(dataset: str, film: str) -> str:
    name = "\n".join((dataset, film))
    return f"mov_{hashlib.sha256(name.encode()).hexdigest()[:32]}"


@dataclass
class _Film:
    labels: Counter[str] = field(default_factory=Counter)
    title: str = ""
    scenes: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    width: int = 0
    height: int = 0

    def add(self, row: Row) -> None:
        self.labels[row["label"]] += 1
        self.title = self.title or row["title"]
        self.width, self.height = max(self.width, row["width"]), max(self.height, row["height"])
        if row["scene"] is not None:
            self.scenes = max(self.scenes, row["scene"] + 1)
        seconds, index = row["time_seconds"] or 0.0, row["frame_index"] or 0
        if seconds > self.seconds:
            self.seconds, self.rate = seconds, index / seconds


def write_films(session: Session, rows: Iterable[Row], *, dataset: str, key: str, job_id: str) -> list[str]:
    """Add the films of these frames, or let those that stand know of more scenes; returns their ids.

    What nobody knows of them is empty or 0; the frame rate comes from the last frame's number and time.
    """
    films: dict[str, _Film] = {}
    for row in rows:
        if row["movie_id"] is not None:
            films.setdefault(row["movie_id"], _Film()).add(row)
    for movie_id, film in films.items():
        standing = session.get(Movie, movie_id)
        if standing is not None:
            standing.scenes = max(standing.scenes, film.scenes)
            standing.duration_seconds = max(standing.duration_seconds, film.seconds)
            continue
        session.add(
            Movie(
                id=movie_id,
                dataset=dataset,
                label=film.labels.most_common(1)[0][0],
                title=film.title[:200],
                key=key,
                codec="",
                width=film.width,
                height=film.height,
                frame_rate=film.rate,
                duration_seconds=film.seconds,
                scenes=film.scenes,
                crop=[0, 0, 0, 0],
                job_id=job_id,
            )
        )
    session.flush()
    return sorted(films)
