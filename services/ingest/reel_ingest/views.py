"""Movies, collections and images as the API shows them; called by api."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, Field

from reel_shared.contracts import BordersReport, Counts, ImageState, Source, StoredFile, Variant
from reel_shared.db.models import Collection, Image, ImageChange, Movie, Takedown
from reel_shared.web.envelope import timestamp, with_urls


class MovieView(BaseModel):
    id: str
    dataset: str
    label: str
    title: str
    key: str
    codec: str
    width: int
    height: int
    frame_rate: float
    duration_seconds: float
    scenes: int
    crop: tuple[int, int, int, int] = Field(description="pixels cut: top, right, bottom, left")
    borders: BordersReport | None = Field(description="what was measured at the edges, when that decided")
    sampling: dict[str, Any] = Field(description="which frames were asked for")
    counts: Counts = Field(description="what became of them")
    job_id: str
    created_at: AwareDatetime


class CollectionView(BaseModel):
    id: str
    dataset: str
    label: str
    provider: str
    query: str
    style: str
    styles: list[str] = Field(description="that were asked for, when there was more than one")
    since: date | None = Field(description="the first day that counted")
    until: date | None = Field(description="the first day that counted no more")
    probe: str = Field(description="name of the probe set that its pictures make up, if they make up one")
    counts: Counts = Field(description="what became of its candidates")
    job_id: str
    created_at: AwareDatetime


class ImageView(BaseModel):
    id: str
    dataset: str
    label: str
    source: Source
    variant: Variant
    state: ImageState = Field(description="of a variant: its original decides")
    state_reason: str
    duplicate_of: str | None = Field(description="the picture that this one repeats or contradicts")
    quality: dict[str, Any] | None = Field(description="score by check, as measured")
    probe: str = Field(description="name of the probe set it belongs to")
    file: StoredFile | None = Field(description="null once it was taken down")
    width: int
    height: int
    phash: str = Field(description="perceptual hash, 16 hexadecimal digits")
    parent_id: str | None = Field(description="of a variant: the picture it was made of")
    movie_id: str | None
    scene: int | None
    frame_index: int | None
    pts: int | None = Field(description="the frame's presentation time in the film's own time base")
    time_seconds: float | None
    collection_id: str | None
    style: str
    title: str
    creator: str
    licence: str
    licence_url: str
    attribution: str
    page_url: str
    url: str = Field(description="where the picture was fetched from; not where it lies now")
    provider: str
    taken_at: AwareDatetime | None = Field(description="made or published, as its provider says")
    job_id: str
    created_at: AwareDatetime


class ChangeView(BaseModel):
    batch_id: str
    image_id: str
    field: Literal["state", "label", "duplicate_of"]
    before: str
    after: str
    reason_before: str
    reason: str
    by: str = Field(description="a key's id, or the job that did it")
    at: AwareDatetime


class TakedownView(BaseModel):
    id: str
    image_id: str
    sha256: str
    url: str
    page_url: str = Field(description="the page that was taken down as a whole; empty for single pictures")
    reason: str
    by: str
    created_at: AwareDatetime
    finished_at: AwareDatetime | None = Field(description="when all its files were gone")


def movie_view(movie: Movie) -> dict[str, Any]:
    return {**_fields(movie, MovieView), "borders": with_urls(movie.borders)}


def collection_view(collection: Collection) -> dict[str, Any]:
    days = {name: _day(getattr(collection, name)) for name in ("since", "until")}
    return {**_fields(collection, CollectionView), **days}


def image_view(image: Image) -> dict[str, Any]:
    file = {name: getattr(image, name) for name in ("key", "media_type", "size", "sha256")}
    stored = with_urls(file) if image.state != ImageState.REMOVED else None
    return {**_fields(image, ImageView), "file": stored, "taken_at": timestamp(image.taken_at)}


def change_view(row: ImageChange) -> dict[str, Any]:
    found = {name: getattr(row, name) for name in ChangeView.model_fields}
    return {**found, "at": timestamp(row.at)}


def takedown_view(row: Takedown) -> dict[str, Any]:
    return {**_fields(row, TakedownView), "finished_at": timestamp(row.finished_at)}


def _day(moment: datetime | None) -> str | None:
    return None if moment is None else moment.date().isoformat()


def _fields(row: Movie | Collection | Image | Takedown, view: type[BaseModel]) -> dict[str, Any]:
    found = {name: getattr(row, name) for name in view.model_fields if hasattr(row, name)}
    return {**found, "created_at": timestamp(row.created_at)}
