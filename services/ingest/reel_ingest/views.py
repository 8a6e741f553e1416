"""Movies, collections and images as the API shows them; called by api."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, BaseModel, Field

from reel_shared.contracts import Source, StoredFile, Variant
from reel_shared.db.models import Collection, Image, Movie
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
    job_id: str
    created_at: AwareDatetime


class CollectionView(BaseModel):
    id: str
    dataset: str
    label: str
    provider: str
    query: str
    style: str
    job_id: str
    created_at: AwareDatetime


class ImageView(BaseModel):
    id: str
    dataset: str
    label: str
    source: Source
    variant: Variant
    file: StoredFile
    width: int
    height: int
    phash: str = Field(description="perceptual hash, 16 hexadecimal digits")
    parent_id: str | None = Field(description="of a variant: the picture it was made of")
    movie_id: str | None
    scene: int | None
    frame_index: int | None
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
    job_id: str
    created_at: AwareDatetime


def movie_view(movie: Movie) -> dict[str, Any]:
    return _fields(movie, MovieView)


def collection_view(collection: Collection) -> dict[str, Any]:
    return _fields(collection, CollectionView)


def image_view(image: Image) -> dict[str, Any]:
    file = {name: getattr(image, name) for name in ("key", "media_type", "size", "sha256")}
    return {**_fields(image, ImageView), "file": with_urls(file)}


def _fields(row: Movie | Collection | Image, view: type[BaseModel]) -> dict[str, Any]:
    found = {name: getattr(row, name) for name in view.model_fields if hasattr(row, name)}
    return {**found, "created_at": timestamp(row.created_at)}
