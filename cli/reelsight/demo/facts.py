"""What the mission saw, as data: filled in by ``mission``, judged by ``checks``, shown by ``report``."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from reel_shared.certificate import LeakCertificate, WorstPair
from reel_shared.contracts import (
    Attention,
    BuildDatasetVersionResult,
    CheckLabelsResult,
    CollectPicturesResult,
    ExplainPictureResult,
    ExtractFramesResult,
    Gate,
    GateReport,
    LabelProbability,
    MakeVariantsResult,
    MeasureLeakGapResult,
    RankSubjectsResult,
    TrainModelResult,
    VersionDiff,
)
from reelsight.demo.cleaning import Cleaning, Found
from reelsight.demo.pictures import Shown

FIRST = "as collected"
"""The version before a person looked; nothing is trained on it, the two others are built on it."""
FILMS_ONLY = "film frames only"
EVERYTHING = "frames, drawings, variants"
UNCROPPED = "film frames with their borders"
"""The same films with nothing cut, in the full demo: what its network leans on, the training must notice."""


@dataclass(slots=True)
class Sample:
    """One held-out drawing, asked of both models and explained by the better one."""

    truth: str
    style: str
    picture: Shown
    answers: dict[str, list[LabelProbability]]
    explanation: ExplainPictureResult
    overlays: list[Shown]


@dataclass(frozen=True, slots=True)
class Window:
    """One window of time of a search: candidates that it gave, and offers that lie in it."""

    since: date
    until: date
    given: int
    planted: int


@dataclass(slots=True)
class TakenDown:
    """What became of a picture whose author wanted it gone."""

    image_id: str
    variants: int
    """That it had before."""
    left: int
    """Of it and its variants: listed with a file all the same, or still answered by an old link."""
    held_by: set[str]
    """Versions that held it."""
    marked: set[str]
    """Versions that say so."""


@dataclass(slots=True)
class Pinned:
    """A scene that the person put on the validation side."""

    label: str
    scene: int
    frames: set[str]


@dataclass(slots=True)
class Decisions:
    """What the person did between the first version and the ones that are trained on."""

    conflicts: Found = field(default_factory=Found)
    """Pictures under two labels, after the person chose: right where only the true label stands."""
    kept: set[str] = field(default_factory=set)
    """Pictures that came back out of conflicts."""
    taken_down: TakenDown | None = None
    pinned: Pinned | None = None


@dataclass(slots=True)
class Change:
    """The first version against the one that is trained on: what the person did, and whatever else is different."""

    diff: VersionDiff
    explained: int
    """Pictures that were added, removed or moved as the decisions have it."""
    strays: list[str]
    """Pictures that changed without a decision, or did not change in spite of one."""


@dataclass(slots=True)
class Probe:
    """The pictures that only judge."""

    name: str
    planted: int
    judged: int
    """On the probe's side of the version."""
    trained_on: int
    """Of them or their variants, anywhere else in it."""


@dataclass(slots=True)
class RoundTrip:
    """An export of the version that came back as another dataset, picture by picture."""

    pictures: int
    archive_bytes: int
    same: int
    differing: Counter[str]
    """Fields that came back otherwise, and pictures that are ``missing`` or ``extra``."""


@dataclass(slots=True)
class Pair:
    """A held-out picture and one of training that is close to it."""

    found: WorstPair
    held_out: Shown
    train: Shown


@dataclass(slots=True)
class Proof:
    """The leak certificate at full length, its signature checked, with its closest pairs to look at."""

    certificate: LeakCertificate
    by_hash: list[Pair]
    by_time: list[Pair]


@dataclass(slots=True)
class Promotion:
    """A model before its gates: their verdict, and whether it serves after it was asked to."""

    report: GateReport
    serves: bool
    failed: list[Gate] = field(default_factory=list)
    """Those that the refusal named."""


@dataclass(slots=True)
class Facts:
    dataset: str
    titles: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)
    films: dict[str, ExtractFramesResult] = field(default_factory=dict)
    borders: dict[str, bytes] = field(default_factory=dict)
    """Of each film that was cropped, the picture that shows why."""
    collections: list[tuple[str, str, CollectPicturesResult]] = field(default_factory=list)
    """Label, style, result."""
    windows: list[Window] = field(default_factory=list)
    """Of the searches by day, all films together."""
    cleaning: Cleaning = field(default_factory=Cleaning)
    """The web pictures' states against what the studio planted."""
    frame_states: Counter[str] = field(default_factory=Counter)
    subjects: RankSubjectsResult | None = None
    backgrounds: Found = field(default_factory=Found)
    """Frames proposed as background, against the scripts."""
    decisions: Decisions = field(default_factory=Decisions)
    labels: CheckLabelsResult | None = None
    mislabelled: Found = field(default_factory=Found)
    """Pictures whose label was doubted, against the studio's truth."""
    leak_gap: MeasureLeakGapResult | None = None
    variants: list[tuple[str, MakeVariantsResult]] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    """Web pictures' part of each class, counted from the list of pictures after variants were made up to it."""
    in_use: Counter[str] = field(default_factory=Counter)
    """Web pictures that may be trained on, by label, once the person is done; without variants."""
    versions: dict[str, BuildDatasetVersionResult] = field(default_factory=dict)
    change: Change | None = None
    probe: Probe | None = None
    proof: Proof | None = None
    round_trip: RoundTrip | None = None
    models: dict[str, TrainModelResult] = field(default_factory=dict)
    promotion: Promotion | None = None
    """Of the full model, against the film-only one that served before."""
    refusal: Promotion | None = None
    """Of the film-only model, against the full one; asked for in the full demo."""
    attention: dict[str, Attention] = field(default_factory=dict)
    """Where each model looks; asked for in the full demo."""
    reports: dict[str, Path] = field(default_factory=dict)
    """Of each training, as files; in the full demo."""
    sample: Sample | None = None
    peak_bytes: int = 0
    """The most memory that the whole platform held at once."""

    def web_counts(self, label: str) -> tuple[int, int]:
        """Return a class's web pictures that are in use, and how many are trained on with their variants."""
        trained = self.versions[EVERYTHING].images["train"].get("web", {}).get(label, 0)
        return self.in_use[label], trained

    def refusals(self) -> Counter[str]:
        """Return how many pictures and frames were refused, by reason."""
        counts = [result.counts for result in self.films.values()]
        counts += [result.counts for _, _, result in self.collections]
        total: Counter[str] = Counter()
        for each in counts:
            total.update(each.refused)
        return total

    def findings(self) -> dict[str, Found]:
        """Return what was planted and found, by name."""
        return {
            "copies among web pictures": self.cleaning.duplicates,
            "pictures under two labels": self.cleaning.conflicts,
            "useless pictures": self.cleaning.rejected,
            "frames that show nobody": self.backgrounds,
            "wrong labels": self.mislabelled,
        }

    def accuracy(self, model: str, source: str) -> float:
        """Return a model's accuracy on unseen pictures: source ``movie``, ``web``, ``all`` or ``probe:<name>``.

        Not a number where there was nothing to judge, so that every comparison with it fails.
        """
        found = self.models[model].metrics.get(source)
        return found.accuracy if found is not None else math.nan
