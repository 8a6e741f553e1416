"""What must be true at the end of the demo; each check has its figure and its bound."""

from __future__ import annotations

from typing import NamedTuple

from reelsight.demo.facts import EVERYTHING, FILMS_ONLY, Facts

UNSEEN_SCENES = 0.90
UNSEEN_DRAWINGS = 0.80
GAIN_ON_DRAWINGS = 0.10
WEB_KEPT_AT_LEAST = 20


class Check(NamedTuple):
    name: str
    passed: bool
    figure: str
    wanted: str


def judge(facts: Facts, *, bordered: set[str]) -> list[Check]:
    """Judge the mission.

    Args:
        bordered: the films that have borders; exactly these must have been cropped.
    """
    return [*_accuracies(facts), *_split(facts), *_ingest(facts, bordered), *_answers(facts)]


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


def _ingest(facts: Facts, bordered: set[str]) -> list[Check]:
    cropped = {label for label, film in facts.films.items() if any(film.crop)}
    refused = facts.refusals()
    exact, near = facts.duplicates()["web pictures"]
    fewest = min(facts.web_counts(label)[0] for label in facts.titles)
    counted = all(
        c.counts.seen == c.counts.kept + c.counts.exact_duplicates + c.counts.near_duplicates + refused_sum
        for c, refused_sum in ((c, sum(c.counts.refused.values())) for _, _, c in facts.collections)
    )
    return [
        Check(
            "films whose borders were cut",
            cropped == bordered,
            ", ".join(sorted(cropped)),
            ", ".join(bordered),
        ),
        Check("bad web pictures refused", sum(refused.values()) > 0, str(dict(refused)), "> 0"),
        Check(
            "duplicate web pictures removed",
            exact > 0 and near > 0,
            f"{exact} exact, {near} near",
            "> 0 each",
        ),
        Check(
            "fewest web pictures of a class",
            fewest >= WEB_KEPT_AT_LEAST,
            str(fewest),
            f"≥ {WEB_KEPT_AT_LEAST}",
        ),
        Check("every candidate accounted for", counted, "yes" if counted else "no", "yes"),
    ]


def _answers(facts: Facts) -> list[Check]:
    if facts.sample is None:
        return [Check("one drawing predicted and explained", False, "none", "1")]
    answer = facts.sample.answers[EVERYTHING][0]
    return [
        Check(
            "the sample drawing is recognised",
            answer.label == facts.sample.truth,
            answer.label,
            facts.sample.truth,
        ),
        Check(
            "its explanation is drawn",
            len(facts.sample.overlays) >= 2,
            str(len(facts.sample.overlays)),
            "≥ 2",
        ),
    ]
