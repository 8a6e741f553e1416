"""The demo's verdict and its report: a bad figure must fail, and the pictures must be in the page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from reel_shared import contracts
from reelsight.demo import report
from reelsight.demo.checks import judge
from reelsight.demo.cleaning import Cleaning, Found
from reelsight.demo.facts import EVERYTHING, FILMS_ONLY, Facts, Sample
from reelsight.studio.gallery import Expected

PLANTED = Expected(
    seen=80, kept=60, exact_duplicates=6, near_duplicates=8, refused={"truncated": 2, "not-a-picture": 4}
)
IN_USE = {"train": {"web": {"a": 200, "b": 210}}}
PNG = b"\x89PNG\r\n\x1a\n-not-really"


def trained(web: float, movie: float = 0.97) -> contracts.TrainModelResult:
    stage = contracts.StageResult(
        name="stage1", size=128, batch_size=32, epochs=2, frozen=True, accuracy=0.9, train_loss=0.3,
        valid_loss=0.4, seconds=10, images_per_second=90,
    )  # fmt: skip
    metrics = {
        "movie": contracts.Metrics(accuracy=movie, images=80),
        "web": contracts.Metrics(accuracy=web, images=40),
    }
    return contracts.TrainModelResult(
        model_id="mdl_1", dataset_version_id="dsv_1", recipe="demo", architecture="efficientnet_lite0",
        precision="fp32", device="cpu", stages=[stage], metrics=metrics, epochs=[], files={}, seconds=20,
    )  # fmt: skip


def version(*, near: int = 0) -> contracts.BuildDatasetVersionResult:
    certificate = contracts.SplitCertificate(
        certified=near == 0, shared_scenes=0, shared_lineages=0, near_duplicates_across=near,
        nearest_distance_across=9, near_distance=6, groups=50,
    )  # fmt: skip
    manifest = contracts.StoredFile(key="manifests/x", media_type="application/json", size=1, sha256="0" * 64)
    return contracts.BuildDatasetVersionResult(
        dataset_version_id="dsv_1",
        manifest=manifest,
        classes=["a", "b"],
        images=IN_USE,
        certificate=certificate,
    )


def film(crop: tuple[int, int, int, int]) -> contracts.ExtractFramesResult:
    return contracts.ExtractFramesResult(
        movie_id="mov_1", counts=contracts.Counts(seen=60, kept=60), scenes=14, duration_seconds=120,
        frame_rate=24, codec="h264", width=640, height=360, crop=crop, parts=1, mode="exact",
        largest_shift_seconds=0, notes=[],
    )  # fmt: skip


def gap() -> contracts.MeasureLeakGapResult:
    return contracts.MeasureLeakGapResult(
        dataset="demo-1", recipe="leak-gap", random=contracts.Metrics(accuracy=0.99, images=100),
        groups=contracts.Metrics(accuracy=0.94, images=100), gap=0.05, gap_interval=(0.02, 0.08), neighbours=0.97,
        seconds=60,
    )  # fmt: skip


@pytest.fixture
def facts() -> Facts:
    counts = contracts.Counts(
        seen=40, kept=30, exact_duplicates=3, near_duplicates=4, refused={"truncated": 1, "not-a-picture": 2}
    )
    collection = contracts.CollectPicturesResult(collection_id="col_1", provider="openverse", counts=counts)
    variants = contracts.MakeVariantsResult(
        sources=30, made={"invert": 30}, already=0, skipped_low_contrast={}
    )
    made = Facts(dataset="demo-1", titles={"a": "Film A", "b": "Film <B>"})
    made.films = {"a": film((0, 0, 0, 0)), "b": film((8, 8, 8, 8))}
    made.collections = [(label, "sketch", collection) for label in ("a", "b")]
    made.variants = [(label, variants) for label in ("a", "b")]
    made.versions = {FILMS_ONLY: version(), EVERYTHING: version()}
    made.models = {FILMS_ONLY: trained(0.5), EVERYTHING: trained(0.93)}
    made.cleaning = Cleaning(
        states=Counter(active=60, duplicate=14),
        active=Counter(a=30, b=30),
        duplicates=Found(planted=14, right=14),
        conflicts=Found(planted=4, right=4),
        rejected=Found(planted=2, right=2),
    )
    made.backgrounds = Found(planted=20, right=12, wrong=1)
    made.mislabelled = Found(planted=5, right=4, wrong=2)
    made.leak_gap = gap()
    made.seconds = {"frames": 12.0}
    answers = {
        name: [
            contracts.LabelProbability(label=first, probability=0.9),
            contracts.LabelProbability(label=second, probability=0.1),
        ]
        for name, first, second in ((FILMS_ONLY, "b", "a"), (EVERYTHING, "a", "b"))
    }
    picture = contracts.StoredFile(key="images/x", media_type="image/jpeg", size=1, sha256="0" * 64)
    explanation = contracts.ExplainPictureResult(
        model="mdl_1", predictions=answers[EVERYTHING], picture=picture, explanations=[]
    )
    made.sample = Sample(
        truth="a", style="sketch", picture=b"\xff\xd8", answers=answers, explanation=explanation,
        overlays=[("Grad-CAM for a", PNG), ("Grad-CAM for b", PNG)],
    )  # fmt: skip
    return made


def failed(facts: Facts) -> list[str]:
    return [check.name for check in judge(facts, bordered={"b"}, planted=PLANTED) if not check.passed]


def test_good_figures_pass(facts: Facts) -> None:
    assert failed(facts) == []


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (lambda f: f.models.update({EVERYTHING: trained(0.93, movie=0.89)}), "accuracy on unseen scenes"),
        (lambda f: f.models.update({EVERYTHING: trained(0.79)}), "accuracy on unseen drawings"),
        (lambda f: f.models.update({FILMS_ONLY: trained(0.9)}), "gain on drawings over the film-only model"),
        (lambda f: setattr(f, "peak_bytes", 7 * 2**30), "memory of all processes"),
        (lambda f: f.versions.update({EVERYTHING: version(near=1)}), f"split certificate ({EVERYTHING})"),
        (lambda f: f.films.update(b=film((0, 0, 0, 0))), "films whose borders were cut"),
        (lambda f: f.films.update(a=film((8, 8, 8, 8))), "films whose borders were cut"),
        (lambda f: setattr(f.collections[0][2].counts, "seen", 39), "web pictures seen, in use"),
        (lambda f: f.cleaning.states.update(active=1), "web pictures seen, in use"),
        (lambda f: setattr(f.cleaning.duplicates, "right", 13), "copies found among web pictures"),
        (lambda f: setattr(f.cleaning.duplicates, "wrong", 1), "copies found among web pictures"),
        (lambda f: setattr(f.cleaning.conflicts, "right", 3), "pictures under two labels found"),
        (lambda f: setattr(f.cleaning.rejected, "wrong", 1), "useless pictures found"),
        (lambda f: setattr(f.backgrounds, "right", 2), "frames that show nobody"),
        (lambda f: setattr(f.mislabelled, "wrong", 30), "wrong labels found"),
        (lambda f: f.collections[0][2].counts.refused.update(truncated=2), "broken files refused"),
        (lambda f: setattr(f.sample, "overlays", []), "its explanation is drawn"),
        (lambda f: setattr(f.sample, "truth", "b"), "a drawing that only the full model recognises"),
    ],
)  # fmt: skip
def test_each_bad_figure_fails_its_own_check(facts: Facts, spoil, name: str) -> None:
    spoil(facts)
    assert name in failed(facts)


def test_the_page_holds_the_pictures_and_escapes_titles(facts: Facts, tmp_path: Path) -> None:
    page = tmp_path / "reports" / "demo.html"
    report.write_html(
        facts, judge(facts, bordered={"b"}, planted=PLANTED), page, sheets={"a": [b"\xff\xd8"], "b": [PNG]}
    )
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 3
    assert "Film &lt;B&gt;" in text
    assert "http" not in text.replace("http-equiv", "")


def test_the_screen_report_names_every_check(facts: Facts, tmp_path: Path) -> None:
    console = Console(record=True, width=160, quiet=False, file=(tmp_path / "out").open("w"))
    report.show(console, facts, judge(facts, bordered={"b"}, planted=PLANTED), tmp_path / "x.html")
    text = console.export_text()
    assert "accuracy on unseen scenes" in text
    assert "60 active, 14 duplicate" in text
    assert "a random split pretends +5.0 points" in text
