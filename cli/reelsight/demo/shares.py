"""Variants up to a wanted share of web pictures, and the share as the list of pictures has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from reel_shared.contracts import ImageState, JsonObject, MakeVariantsRequest, MakeVariantsResult, Source
from reelsight.demo.facts import Facts
from reelsight.demo.work import Work

WEB_SHARE = 0.82
"""Nearly all variants that there can be."""


def fill_up(work: Work, facts: Facts) -> None:
    """Make as many variants as bring each class to the share; then count what stands, variants of active
    originals among it and probe sets left out."""
    request = MakeVariantsRequest(dataset=facts.dataset, web_share=WEB_SHARE)
    result = work.finish("variants", work.client.make_variants(request), MakeVariantsResult)
    facts.variants.append(("", result))
    rows = list(work.client.images(dataset=facts.dataset))
    facts.in_use = in_use(rows)
    facts.shares = shares(rows)


def in_use(rows: Iterable[JsonObject]) -> Counter[str]:
    """Return the originals of the web that may be trained on, by label."""
    return Counter(row["label"] for row in rows if row["source"] == Source.WEB and _stands(row))


def shares(rows: list[JsonObject]) -> dict[str, float]:
    """Return the part of web pictures, with their variants, in what each class has to train and judge."""
    standing = {row["id"] for row in rows if _stands(row)}
    web: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for row in rows:
        if (row["parent_id"] or row["id"]) in standing and row["state"] != ImageState.REMOVED:
            every[row["label"]] += 1
            web[row["label"]] += row["source"] == Source.WEB
    return {label: web[label] / count for label, count in sorted(every.items())}


def _stands(row: JsonObject) -> bool:
    return row["parent_id"] is None and row["state"] == ImageState.ACTIVE and not row["probe"]
