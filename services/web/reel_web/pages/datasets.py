"""`/datasets` and `/datasets/{name}`: what is there, narrowed by facets, a page of pictures at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode

from fastapi import Request
from starlette.responses import Response

from reel_shared.contracts import ImageState, Source, Variant
from reel_shared.db.engine import reading
from reel_shared.db.models import DatasetVersion, Image
from reel_shared.errors import NotFound, Unavailable
from reel_shared.web.envelope import timestamp
from reel_shared.web.routing import Router
from reel_web import catalogue, versions
from reel_web.catalogue import Wanted
from reel_web.rendering import PageRoute, page, people
from reel_web.sessions import Reader

router = Router(route_class=PageRoute)
PAGE_PICTURES = 60
ANY, ORIGINAL, NOWHERE = "any", Variant.ORIGINAL.value, "none"
SOURCES = {Source.MOVIE: "Film frames", Source.WEB: "From the web"}
SIDES = {
    "train": "Training",
    "valid": "Validation",
    "probe": "Probe set",
    "excluded": "Excluded",
    NOWHERE: "In no version",
}
TITLES = {
    "label": "Class",
    "state": "State",
    "source": "Source",
    "split": "Split",
    "kind": "Kind",
    "film": "Film",
    "reason": "Quality and reasons",
}
_FILTERABLE = {"label", "source", "state", "reason", "film"}
"""Facets that the API's own filter knows: with these alone an action reaches every picture that fits."""


@router.get("/datasets")
@router.get("/datasets.json")
def list_datasets(request: Request, _viewer: Reader) -> Response:
    """Every dataset with its counts."""
    with reading() as session:
        found = catalogue.datasets(session)
    return page(request, "datasets.html", {"data": found, "base_url": str(request.base_url).rstrip("/")})


@router.get("/datasets/{name}")
@router.get("/datasets/{name}.json")  # registered first: decorators work from below
def show_dataset(
    name: str,
    request: Request,
    viewer: Reader,
    label: str = "",
    state: str = "",
    source: str = "",
    split: Literal["", "train", "valid", "probe", "excluded", "none"] = "",
    kind: str = ORIGINAL,
    film: str = "",
    reason: str = "",
    order: Literal["newest", "oldest"] = "newest",
    after: str = "",
    before: str = "",
) -> Response:
    """Facets with their counts, and a page of pictures behind ``after`` or in front of ``before``."""
    given = {"label": label, "state": state, "source": source, "kind": kind, "film": film, "reason": reason}
    chosen = {name: value for name, value in given.items() if value and value != ANY}
    address = _Address(name, {**given, "split": split, "order": order})
    with reading() as session:
        wanted = Wanted(name, chosen)
        counted = catalogue.facets(session, wanted)
        if not counted.labels:
            raise NotFound(f"There is no dataset {name[:64]!r} with pictures in it.")
        built = catalogue.versions(session, name)
        among, sides, note = _sides(built[0] if built else None, split)
        ids, more = catalogue.page_of_ids(
            session,
            wanted,
            rows=PAGE_PICTURES,
            after=after,
            before=before,
            oldest_first=order == "oldest",
            among=among,
        )
        pictures = catalogue.named(session, ids)
        films = catalogue.films(session, name)
        data = {
            "dataset": name,
            "total": None if split else counted.total,
            "data": [tile(pictures[one], films, sides) for one in ids],
            "facets": _facets(address, counted.counts, films, built[0] if built else None, sides),
            "chosen": _pills(address, films),
            "filter": _filter(name, chosen, split),
            "split_note": note,
            "versions": [version_summary(row) for row in built],
            "labels": counted.labels,
            "order": order,
            "orders": [{"name": one, "address": address.to(order=one)} for one in ("newest", "oldest")],
            "next": address.to(after=ids[-1]) if ids and (more or before) else None,
            "previous": address.to(before=ids[0]) if ids and (after or (before and more)) else None,
            "here": address.to(after=after, before=before),
            "may_change": viewer.may("submit"),
            "base_url": str(request.base_url).rstrip("/"),
        }
    return page(request, "dataset.html", data)


def tile(image: Image, films: Mapping[str, str], sides: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A picture in a grid, as short as its caption."""
    return {
        "id": image.id,
        "label": image.label,
        "state": str(image.state),
        "reason": image.state_reason,
        "source": str(image.source),
        "kind": str(image.variant),
        "about": about(image, films),
        "side": (sides or {}).get(image.id),
        "shown": image.state != ImageState.REMOVED,
        "version": image.sha256[:12],
    }


def about(image: Image, films: Mapping[str, str]) -> str:
    """Where a picture comes from, in a few words."""
    if image.movie_id is not None:
        title = films.get(image.movie_id, image.label)
        return title if image.time_seconds is None else f"{title}, {clock(image.time_seconds)}"
    return image.title or image.provider or "web picture"


def clock(seconds: float) -> str:
    """A film's time as players show it: `1:02:03` or `4:05`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Address:
    """This page's address with some of its parameters changed; what has its default is left out."""

    _DEFAULTS = {"kind": ORIGINAL, "order": "newest"}  # noqa: RUF012

    def __init__(self, name: str, parameters: Mapping[str, str]) -> None:
        self.path = f"/datasets/{name}"
        self.parameters = dict(parameters)

    def to(self, **changes: str) -> str:
        kept = {
            name: value
            for name, value in {**self.parameters, **changes}.items()
            if value and value != self._DEFAULTS.get(name)
        }
        return self.path + (f"?{urlencode(kept)}" if kept else "")


def _sides(newest: DatasetVersion | None, split: str) -> tuple[Any, Mapping[str, str] | None, str]:
    """Return what an id must fit for ``split``, each picture's side, and what to say where none is known."""
    if newest is None:
        return (
            (lambda _one: split == NOWHERE) if split else None,
            None,
            "No version has been built, so that no picture lies on a side yet.",
        )
    try:
        side_of = versions.view_of(newest).side_of
    except (Unavailable, NotFound):
        if split:
            raise
        return None, None, "The newest version's manifest cannot be read now; sides are not shown."
    if not split:
        return None, side_of, ""
    return lambda one: side_of.get(one, NOWHERE) == split, side_of, ""


def _facets(
    address: _Address,
    counts: Mapping[str, Counter[str]],
    films: Mapping[str, str],
    newest: DatasetVersion | None,
    sides: Mapping[str, str] | None,
) -> list[dict[str, Any]]:
    """Each facet with its values: name, how many pictures, the address that takes or leaves it."""
    split = address.parameters["split"]
    found = []
    for name, title in TITLES.items():
        now = address.parameters[name]
        if name == "split":
            on_sides = versions.view_of(newest).originals if newest is not None and sides is not None else {}
            values: list[tuple[str, int | None]] = [(side, on_sides.get(side)) for side in SIDES]
            values = [(side, count) for side, count in values if count or side in (now, NOWHERE)]
        else:
            # Counts are of all sides; where one is chosen they would be too high.
            values = [(value, None if split else count) for value, count in _sorted(name, counts[name])]
        if name == "kind":
            values.append((ANY, None))
        if values and not (name == "split" and newest is None):
            options = [
                {
                    "value": value,
                    "name": _value_name(name, value, films),
                    "count": count,
                    "on": value == now,
                    "address": address.to(
                        **{name: (ORIGINAL if name == "kind" else "") if value == now else value}
                    ),
                }
                for value, count in values
            ]
            found.append({"name": name, "title": title, "options": options})
    return found


def _sorted(name: str, counted: Counter[str]) -> list[tuple[str, int]]:
    return counted.most_common() if name in ("reason", "state", "source", "kind") else sorted(counted.items())


def _value_name(facet: str, value: str, films: Mapping[str, str]) -> str:
    if facet == "film":
        return films.get(value, value)
    if facet == "source":
        return SOURCES.get(value, value)  # type: ignore[call-overload,no-any-return]
    if facet == "split":
        return SIDES[value]
    if facet == "kind":
        return {ORIGINAL: "Originals", ANY: "Originals and variants"}.get(value, people(value))
    return people(value)


def _pills(address: _Address, films: Mapping[str, str]) -> list[dict[str, str]]:
    """What narrows the page now, each with the address without it."""
    found = []
    for name, title in TITLES.items():
        value = address.parameters[name]
        if value and not (name == "kind" and value == ORIGINAL):
            without = address.to(**{name: ORIGINAL if name == "kind" else ""})
            found.append({"title": title, "name": _value_name(name, value, films), "address": without})
    return found


def _filter(name: str, chosen: Mapping[str, str], split: str) -> dict[str, str] | None:
    """The same choice as the API's filter, or None where that cannot say it."""
    if split or chosen.get("kind") != ORIGINAL or not set(chosen) <= _FILTERABLE | {"kind"}:
        return None
    if chosen.get("state") == ImageState.REMOVED:
        return None
    names = {"reason": "state_reason", "film": "movie_id"}
    rest = {names.get(key, key): value for key, value in chosen.items() if key != "kind"}
    return {"dataset": name, **rest}


def version_summary(row: DatasetVersion) -> dict[str, Any]:
    """A version in one row of a list."""
    images = {
        side: sum(sum(by_label.values()) for by_label in by_source.values())
        for side, by_source in row.counts.items()
    }
    return {
        "id": row.id,
        "created_at": timestamp(row.created_at),
        "certified": bool(row.certificate.get("certified")),
        "strategy": row.certificate.get("strategy", "groups"),
        "train": images.get("train", 0),
        "valid": images.get("valid", 0),
    }
