"""Collecting web pictures: searches by style, by day, and for the probe set; the variants that follow by themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from reel_shared import contracts
from reel_shared.contracts import MAKE_VARIANTS, CollectPicturesRequest, JsonObject
from reelsight.demo.facts import Facts, Window
from reelsight.demo.work import Work
from reelsight.studio.commons import between
from reelsight.studio.films import FilmFile
from reelsight.studio.gallery import COSPLAY, FIRST_DAY, LAST_DAY, WORDS, Offer, Style

DATED: Style = "drawing"
"""The style that is searched by days; its variants wait until the wanted share is known."""
WINDOWS = 4
UNTIL = LAST_DAY + timedelta(days=1)


def collect(work: Work, facts: Facts, films: Sequence[FilmFile], styles: Iterable[Style]) -> None:
    """Collect all styles and the probe set of all films, and wait for the variants."""
    jobs = {
        (film.label, style): work.client.collect_pictures(_request(facts.dataset, film, style))
        for film in films
        for style in (*styles, COSPLAY)
    }
    done = work.wait_all(jobs)
    for (label, style), job in done.items():
        result = contracts.CollectPicturesResult.model_validate(job["result"])
        facts.collections.append((label, style, result))
    _wait_for_variants(work, facts, {job["id"]: label for (label, _), job in done.items()})


def _request(dataset: str, film: FilmFile, style: Style) -> CollectPicturesRequest:
    about = CollectPicturesRequest(
        dataset=dataset, label=film.label, query=f"{film.title} {WORDS[style]}", style=style
    )
    if style == DATED:
        days = {"since": FIRST_DAY, "until": UNTIL, "windows": WINDOWS}
        return about.model_copy(update={**days, "provider": "wikimedia", "augment": False})
    # A probe set only judges, so that nothing has to be made of it.
    return about.model_copy(update={"augment": False}) if style == COSPLAY else about


def _wait_for_variants(work: Work, facts: Facts, parents: dict[str, str]) -> None:
    """The platform itself submits augment jobs after collections; find them by their parent."""
    jobs: dict[tuple[str, str], JsonObject] = {}
    for parent, label in parents.items():
        for job in work.client.jobs(kind=MAKE_VARIANTS.name, parent_id=parent):
            jobs[(label, job["id"])] = job
    for (label, _), job in work.wait_all(jobs).items():
        facts.variants.append((label, contracts.MakeVariantsResult.model_validate(job["result"])))


def windows(facts: Facts, offers: Iterable[Offer]) -> list[Window]:
    """Return what each window gave, all films together, beside how many offers have such a day."""
    dated = [offer for offer in offers if offer.style == DATED]
    given: Counter[tuple[date, date]] = Counter()
    for _, style, result in facts.collections:
        for search in result.searches if style == DATED else []:
            assert search.since is not None
            assert search.until is not None
            given[search.since, search.until] += search.candidates
    return [
        Window(since, until, count, len(between(dated, since, until)))
        for (since, until), count in sorted(given.items())
    ]
