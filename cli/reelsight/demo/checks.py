"""What must be true at the end of the demo; each check has its figure and its bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from reelsight.demo.cleaning import Found
from reelsight.demo.facts import EVERYTHING, FILMS_ONLY, Facts
from reelsight.studio.gallery import Expected

UNSEEN_SCENES = 0.90
UNSEEN_DRAWINGS = 0.80
GAIN_ON_DRAWINGS = 0.10
MEMORY_GIB = 6.0


class Least(NamedTuple):
    """What a finding must reach against the planted truth."""

    recall: float
    precision: float


DUPLICATES_FOUND = Least(1.0, 1.0)
CONFLICTS_FOUND = Least(1.0, 1.0)
USELESS_FOUND = Least(1.0, 1.0)
EMPTY_FOUND = Least(0.3, 0.8)
MISLABELLED_FOUND = Least(0.4, 0.2)
"""A small network learns a few wrong labels by heart; those it does not show."""


class Check(NamedTuple):
    name: str
    passed: bool
    figure: str
    wanted: str


def judge(facts: Facts, *, bordered: set[str], planted: Expected) -> list[Check]:
    """Judge the mission.

    Args:
        bordered: the films that have borders; exactly these must have been cropped.
        planted: what the studio put among the drawings: exactly these copies and broken files must be found.
    """
    return [
        *_accuracies(facts),
        *_split(facts),
        *_ingest(facts, bordered, planted),
        *_answers(facts),
        _memory(facts),
    ]


def _memory(facts: Facts) -> Check:
    peak = facts.peak_bytes / 2**30
    return Check("memory of all processes", peak <= MEMORY_GIB, f"{peak:.1f} GiB", f"≤ {MEMORY_GIB} GiB")


def _accuracies(facts: Facts) -> list[Check]:
    scenes, drawings = facts.accuracy(EVERYTHING, "movie"), facts.accuracy(EVERYTHING, "web")
    naive = facts.accuracy(FILMS_ONLY, "web")
    gain = drawings - naive
    return [
        Check("accuracy on unseen scenes", scenes >= UNSEEN_SCENES, f"{scenes:.3f}", f"≥ {UNSEEN_SCENES}"),
        Check(
            "accuracy on unseen drawings",
            drawings >= UNSEEN_DRAWINGS,
            f"{drawings:.3f}",
            f"≥ {UNSEEN_DRAWINGS}",
        ),
        Check(
            "gain on drawings over the film-only model",
            gain >= GAIN_ON_DRAWINGS,
            f"{gain:+.3f} (from {naive:.3f})",
            f"≥ +{GAIN_ON_DRAWINGS}",
        ),
    ]


def _split(facts: Facts) -> list[Check]:
    checks = []
    for name, version in facts.versions.items():
        proof = version.certificate
        crossing = proof.shared_scenes + proof.shared_lineages + proof.near_duplicates_across
        good = proof.certified and crossing == 0
        checks.append(Check(f"split certificate ({name})", good, f"{crossing} crossing", "0"))
    return checks


def _ingest(facts: Facts, bordered: set[str], planted: Expected) -> list[Check]:
    cropped = {label for label, film in facts.films.items() if any(film.crop)}
    counts = [result.counts for _, _, result in facts.collections]
    refused: Counter[str] = Counter()
    for each in counts:
        refused.update(each.refused)
    seen = sum(each.seen for each in counts)
    kept = facts.cleaning.states["active"]
    return [
        Check("films whose borders were cut", cropped == bordered, _names(cropped), _names(bordered)),
        Check(
            "web pictures seen, in use",
            (seen, kept) == (planted.seen, planted.kept),
            f"{seen}, {kept}",
            f"{planted.seen}, {planted.kept}",
        ),
        _found("copies found among web pictures", facts.cleaning.duplicates, DUPLICATES_FOUND),
        _found("pictures under two labels found", facts.cleaning.conflicts, CONFLICTS_FOUND),
        _found("useless pictures found", facts.cleaning.rejected, USELESS_FOUND),
        Check(
            "broken files refused", refused == planted.refused, _reasons(refused), _reasons(planted.refused)
        ),
        _found("frames that show nobody", facts.backgrounds, EMPTY_FOUND),
        _found("wrong labels found", facts.mislabelled, MISLABELLED_FOUND),
    ]


def _found(name: str, found: Found, least: Least) -> Check:
    good = found.recall >= least.recall and found.precision >= least.precision
    wanted = f"recall ≥ {least.recall}, precision ≥ {least.precision}"
    return Check(name, good, str(found), wanted)


def _names(labels: set[str]) -> str:
    return ", ".join(sorted(labels)) or "none"


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items())) or "none"


def _answers(facts: Facts) -> list[Check]:
    if facts.sample is None:
        return [Check("one drawing predicted and explained", False, "none", "1")]
    truth = facts.sample.truth
    full, naive = (facts.sample.answers[name][0].label for name in (EVERYTHING, FILMS_ONLY))
    drawn = len(facts.sample.overlays)
    return [
        Check(
            "a drawing that only the full model recognises",
            full == truth != naive,
            f"{full}; film-only says {naive}",
            truth,
        ),
        Check("its explanation is drawn", drawn >= 2, str(drawn), "≥ 2"),
    ]
