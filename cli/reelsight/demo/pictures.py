"""Pictures of the platform with what must be said wherever they are shown: author, licence, page, day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from reel_shared.client import Client
from reel_shared.contracts import JsonObject, Source


class Credit(NamedTuple):
    """Whose picture it is; of film frames there is none to name."""

    title: str
    creator: str
    licence: str
    licence_url: str
    page_url: str
    day: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture's bytes, what is in it, and its credit if it is of the web."""

    content: bytes
    caption: str
    credit: Credit | None = None


def fetch(client: Client, image_id: str) -> Shown:
    """Return an original with its credit."""
    image = client.get(f"/v1/images/{image_id}")
    content = client.download(image["file"]["url"])
    if image["source"] == Source.WEB:
        return Shown(content, f"{image['label']}, {image['style']}", credit_of(image))
    return Shown(content, f"{image['label']} at {image['time_seconds']:.1f}\u00a0s")


def credit_of(image: JsonObject) -> Credit:
    """Read an image as the API shows it. Without a day of its own it has the one on which it was collected."""
    day = f"{image['taken_at'][:10]}" if image["taken_at"] else f"collected {image['created_at'][:10]}"
    told = {name: image[name] for name in ("title", "creator", "licence", "licence_url", "page_url")}
    return Credit(**told, day=day)
