"""The page of job kinds, recipes and quality checks, from the contracts."""

from __future__ import annotations

from reel_shared.client import PATHS
from reel_shared.contracts import KINDS, PART_KINDS, Kind, QualityChecks
from reel_shared.contracts.recipes import Recipe
from scripts.reference.tables import fields, page, prose, table

HEAD = ("field", "default", "what")
ABOUT = """States: `queued`, `running`, `canceling`, then one of `succeeded`, `failed`, `canceled`. Between two
attempts a job stays `running`. The queue is the part before the dot. A large job may have parts, jobs
with its `parent_id` and a `part` number that any worker of its queue takes: its progress is their sum,
it fails with the reason of a part that failed, and canceling it cancels them. A part is not replayed
alone. Labels and dataset names: lower-case letters, digits, `_` and `-`, at most 63, beginning with a
letter or digit. What needs more words stands in [details](details.md)."""
RECIPES = """Each as `GET /v1/recipes` shows it. One that is sent with a training is held to the same rules: the
problem's `errors` name the place of each fault, such as `#/recipe/stages/0/epochs`. The job's request
keeps it whole, so that it can be replayed."""
CHECKS = """A picture's scores lie in its `quality`; the first check that it fails is its reason (`low-information`,
…). Each threshold is a field of `quality_checks`; null switches the check off. All but the first two are
measured on a copy of 256 pixels."""


def written(details: str) -> str:
    """`details`: the page written by hand; a kind that has a heading there is linked to it."""
    kinds = [part for kind in KINDS.values() for part in _kind(kind, details)]
    recipes = ["## Recipes", RECIPES, table(HEAD, fields(Recipe))]
    return page(
        "Job kinds", ABOUT, *kinds, *recipes, "## Quality checks", CHECKS, table(HEAD, fields(QualityChecks))
    )


def _kind(kind: Kind, details: str) -> list[str]:
    submitted = (
        "A part, which the whole job alone submits" if kind.name in PART_KINDS else f"`POST {PATHS[kind]}`"
    )
    facts = f"{submitted} · at most {kind.max_attempts} attempts · {duration(kind.time_limit)}"
    more = (
        f"More: [details](details.md#{kind.name.replace('.', '')})."
        if f"\n## {kind.name}\n" in details
        else ""
    )
    result = ", ".join(f"{name} ({about})" if about else name for name, _, about in fields(kind.result))
    return [
        f"## {kind.name}",
        facts,
        " ".join(filter(None, [prose(_own_doc(kind)), more])),
        table(HEAD, fields(kind.request)),
        f"Result: {result}.",
    ]


def _own_doc(kind: Kind) -> str:
    return vars(kind.request).get("__doc__") or ""


def duration(seconds: float) -> str:
    """Write seconds in whole hours or minutes: `48 hours`."""
    size, unit = (3600, "hour") if seconds % 3600 == 0 else (60, "minute")
    count = round(seconds / size)
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
