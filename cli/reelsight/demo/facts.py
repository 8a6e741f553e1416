"""What the mission saw, as data: filled in by ``mission``, judged by ``checks``, shown by ``report``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from reel_shared.contracts import (
    BuildDatasetVersionResult,
    CheckLabelsResult,
    CollectPicturesResult,
    ExplainPictureResult,
    ExtractFramesResult,
    LabelProbability,
    MakeVariantsResult,
    MeasureLeakGapResult,
    RankSubjectsResult,
    TrainModelResult,
)
from reelsight.demo.cleaning import Cleaning, Found

FILMS_ONLY = "film frames only"
EVERYTHING = "frames, drawings, variants"


@dataclass(slots=True)
class Sample:
    """One held-out drawing, asked of both models and explained by the better one."""

    truth: str
    style: str
    picture: bytes
    answers: dict[str, list[LabelProbability]]
    explanation: ExplainPictureResult
    overlays: list[tuple[str, bytes]]
    """Captions and PNG files."""


@dataclass(slots=True)
class Facts:
    dataset: str
    titles: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)
    films: dict[str, ExtractFramesResult] = field(default_factory=dict)
    collections: list[tuple[str, str, CollectPicturesResult]] = field(default_factory=list)
    """Label, style, result."""
    cleaning: Cleaning = field(default_factory=Cleaning)
    """The web pictures' states against what the studio planted."""
    frame_states: Counter[str] = field(default_factory=Counter)
    subjects: RankSubjectsResult | None = None
    backgrounds: Found = field(default_factory=Found)
    """Frames proposed as background, against the scripts."""
    labels: CheckLabelsResult | None = None
    mislabelled: Found = field(default_factory=Found)
    """Pictures whose label was doubted, against the studio's truth."""
    leak_gap: MeasureLeakGapResult | None = None
    variants: list[tuple[str, MakeVariantsResult]] = field(default_factory=list)
    versions: dict[str, BuildDatasetVersionResult] = field(default_factory=dict)
    models: dict[str, TrainModelResult] = field(default_factory=dict)
    sample: Sample | None = None
    peak_bytes: int = 0
    """The most memory that the whole platform held at once."""

    def web_counts(self, label: str) -> tuple[int, int]:
        """Return a class's web pictures that are in use, and how many are trained on with their variants."""
        trained = self.versions[EVERYTHING].images["train"].get("web", {}).get(label, 0)
        return self.cleaning.active[label], trained

    def refusals(self) -> Counter[str]:
        """Return how many pictures and frames were refused, by reason."""
        counts = [result.counts for result in self.films.values()]
        counts += [result.counts for _, _, result in self.collections]
        total: Counter[str] = Counter()
        for each in counts:
            total.update(each.refused)
        return total

    def accuracy(self, model: str, source: str) -> float:
        """Return a model's accuracy on unseen pictures: source ``movie``, ``web`` or ``all``."""
        return self.models[model].metrics[source].accuracy
