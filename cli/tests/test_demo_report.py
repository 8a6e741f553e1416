"""The demo's verdict and its report: a bad figure must fail, and the pictures must be in the page."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console

from reel_shared import contracts
from reel_shared.certificate import LeakCertificate, WorstPair
from reelsight.demo import report
from reelsight.demo.checks import crossing, judge
from reelsight.demo.cleaning import Cleaning, Found
from reelsight.demo.facts import (
    EVERYTHING,
    FILMS_ONLY,
    FIRST,
    UNCROPPED,
    Change,
    Decisions,
    Facts,
    Pair,
    Pinned,
    Probe,
    Promotion,
    Proof,
    RoundTrip,
    Sample,
    TakenDown,
    Window,
)  # fmt: skip
from reelsight.demo.pictures import Credit, Shown
from reelsight.studio.gallery import Expected

PLANTED = Expected(
    seen=80, kept=60, exact_duplicates=6, near_duplicates=8, refused={"truncated": 2, "not-a-picture": 4}
)
IN_USE = {"train": {"web": {"a": 200, "b": 210}}}
NAMED = "films that the attention alarm names, uncropped"
PNG = b"\x89PNG\r\n\x1a\n-not-really"


def trained(web: float, movie: float = 0.97, probe: float = 0.8) -> contracts.TrainModelResult:
    stage = contracts.StageResult(
        name="stage1", size=128, batch_size=32, epochs=2, frozen=True, accuracy=0.9, train_loss=0.3,
        valid_loss=0.4, seconds=10, images_per_second=90,
    )  # fmt: skip
    metrics = {
        "movie": contracts.Metrics(accuracy=movie, images=80),
        "web": contracts.Metrics(accuracy=web, images=40),
        "probe:cosplay": contracts.Metrics(accuracy=probe, images=40),
    }
    return contracts.TrainModelResult(
        model_id="mdl_1", dataset_version_id="dsv_1", recipe="demo", architecture="efficientnet_lite0",
        precision="fp32", device="cpu", stages=[stage], metrics=metrics, epochs=[], files={}, seconds=20,
    )  # fmt: skip


LEAKS = (
    *("shared_scenes", "shared_lineages", "shared_files", "shared_pages", "near_duplicates_across"),
    *("inverted_near_duplicates_across", "groups_across", "too_near_in_time", "variants_in_validation"),
)


def summary(**leaks: int) -> contracts.SplitCertificate:
    counts = {"shared_scenes": 0, "shared_lineages": 0, "near_duplicates_across": 0, **leaks}
    return contracts.SplitCertificate(
        certified=not leaks, nearest_distance_across=9, near_distance=6, groups=50, **counts
    )


def version(**leaks: int) -> contracts.BuildDatasetVersionResult:
    manifest = contracts.StoredFile(key="manifests/x", media_type="application/json", size=1, sha256="0" * 64)
    return contracts.BuildDatasetVersionResult(
        dataset_version_id="dsv_1",
        manifest=manifest,
        classes=["a", "b"],
        images=IN_USE,
        certificate=summary(**leaks),
    )


CREDIT = Credit(
    title="A <walrus>", creator="Wren Castellan", licence="CC BY 4.0",
    licence_url="https://creativecommons.org/licenses/by/4.0/", page_url="http://127.0.0.1:1/pictures/x",
    day="2021-03-04",
)  # fmt: skip
DRAWING, FRAME = Shown(b"\xff\xd8", "a, sketch", CREDIT), Shown(PNG, "b at 2.0 s")


def proof() -> Proof:
    whole = LeakCertificate(
        manifest_sha256="0" * 64, dataset="demo-1", classes=["a", "b"], train_originals=60, valid_originals=20,
        summary=summary(), worst_by_hash=[], worst_by_time=[], neighbours=[],
    )  # fmt: skip
    pair = WorstPair(held_out="img_1", train="img_2", side="valid", bits=9)
    return Proof(
        certificate=whole, by_hash=[Pair(pair, DRAWING, DRAWING)], by_time=[Pair(pair, FRAME, FRAME)]
    )


def borders() -> contracts.BordersReport:
    bar = {"pixels": 8, "colour": (0, 0, 0), "agreement": 1.0, "covered": 1.0, "cut": True}
    sides = dict.fromkeys(("top", "right", "bottom", "left"), bar)
    return contracts.BordersReport(crop=(8, 8, 8, 8), sampled=90, useful=80, bars=sides)


def decided() -> Decisions:
    return Decisions(
        conflicts=Found(planted=2, right=2),
        kept={"img_2", "img_3"},
        taken_down=TakenDown("img_4", variants=6, left=0, held_by={"dsv_0"}, marked={"dsv_0"}),
        pinned=Pinned("a", 3, {"img_5", "img_6"}),
    )


def change() -> Change:
    diff = contracts.VersionDiff(
        base="dsv_0", version="dsv_1", classes_added=[], classes_removed=[],
        counts={"added": 2, "removed": 1, "moved": 3, "relabelled": 0, "same": 70},
        by_class={"a": {"train_before": 40, "train_after": 39, "valid_before": 10, "valid_after": 12}},
        added=["img_2", "img_3"], removed=["img_4"], moved=[], relabelled=[],
    )  # fmt: skip
    return Change(diff=diff, explained=6, strays=[])


def film(crop: tuple[int, int, int, int]) -> contracts.ExtractFramesResult:
    return contracts.ExtractFramesResult(
        movie_id="mov_1", counts=contracts.Counts(seen=60, kept=60), scenes=14, duration_seconds=120,
        frame_rate=24, codec="h264", width=640, height=360, crop=crop, parts=1, mode="exact",
        largest_shift_seconds=0, notes=[], borders=borders(),
    )  # fmt: skip


def gap() -> contracts.MeasureLeakGapResult:
    return contracts.MeasureLeakGapResult(
        dataset="demo-1", recipe="leak-gap", random=contracts.Metrics(accuracy=0.99, images=100),
        groups=contracts.Metrics(accuracy=0.94, images=100), gap=0.05, gap_interval=(0.02, 0.08), neighbours=0.97,
        seconds=60,
    )  # fmt: skip


def attention(*told: str) -> contracts.Attention:
    """What a training says of film a and b, each with bars; the network takes those of ``told`` for the film."""
    shortcuts = [
        contracts.Shortcut(
            label=label, source="movie", images=20, area=0.02, where=[[1.0], [0.0]], others=20,
            odds=3.0 if label in told else 1.0, odds_interval=(1.4, 5.0) if label in told else (0.9, 1.1),
            alarm=label in told,
        )
        for label in ("a", "b")
    ]  # fmt: skip
    return contracts.Attention(
        classes=[], shortcuts=shortcuts, alarms=[f"Attention: {label} <leans>." for label in told]
    )


def verdict(state: str) -> contracts.GateReport:
    gate = contracts.Gate(name="regression", state=state, says=f"Web is <{state}>.", part="web")
    return contracts.GateReport(model_id="mdl_1", against="mdl_0", passed=state == "passed", gates=[gate])


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
    made.borders = {"b": PNG}
    made.collections = [(label, "drawing", collection) for label in ("a", "b")]
    days = date(2019, 1, 1), date(2022, 1, 1), date(2025, 1, 1)
    made.windows = [Window(days[0], days[1], 50, 50), Window(days[1], days[2], 30, 30)]
    made.decisions, made.change, made.proof = decided(), change(), proof()
    made.probe = Probe("cosplay", planted=8, judged=8, trained_on=0)
    made.round_trip = RoundTrip(pictures=70, archive_bytes=2**20, same=70, differing=Counter())
    made.shares = {"a": 0.821, "b": 0.82}
    made.variants = [(label, variants) for label in ("a", "b")]
    made.versions = {FIRST: version(), FILMS_ONLY: version(), EVERYTHING: version()}
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
    made.attention = {FILMS_ONLY: attention(), EVERYTHING: attention(), UNCROPPED: attention("b")}
    made.reports = {UNCROPPED: Path("/data/reports/demo-1-mdl_u.html")}
    made.promotion = Promotion(verdict("passed"), serves=True)
    lost = verdict("failed")
    made.refusal = Promotion(lost, serves=False, failed=lost.failed)
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
        truth="a", style="sketch", picture=DRAWING, answers=answers, explanation=explanation,
        overlays=[Shown(PNG, "Grad-CAM for a", CREDIT), Shown(PNG, "Grad-CAM for b", CREDIT)],
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
        (lambda f: f.versions.update({EVERYTHING: version(shared_pages=1)}), f"split certificate ({EVERYTHING})"),
        (lambda f: f.versions.update({FIRST: version(too_near_in_time=1)}), f"split certificate ({FIRST})"),
        (lambda f: f.models.update({EVERYTHING: trained(0.93, probe=0.3)}), "accuracy on cosplay"),
        (lambda f: f.models[EVERYTHING].metrics.pop("probe:cosplay"), "accuracy on cosplay"),
        (lambda f: setattr(f.probe, "trained_on", 1), "pictures of the probe set cosplay"),
        (lambda f: setattr(f.probe, "judged", 7), "pictures of the probe set cosplay"),
        (lambda f: setattr(f, "probe", None), "pictures of the probe set"),
        (lambda f: setattr(f, "windows", [f.windows[0]]), "drawings by window of time"),
        (lambda f: f.collections.pop(), "drawings by window of time"),
        (lambda f: f.windows.append(f.windows[0]), "drawings by window of time"),
        (lambda f: setattr(f.decisions.conflicts, "right", 1), "conflicts decided by the person"),
        (lambda f: setattr(f.decisions.conflicts, "wrong", 1), "conflicts decided by the person"),
        (lambda f: setattr(f.decisions.taken_down, "left", 1), "a picture taken down"),
        (lambda f: setattr(f.decisions.taken_down, "marked", set()), "a picture taken down"),
        (lambda f: setattr(f.decisions.taken_down, "variants", 0), "a picture taken down"),
        (lambda f: setattr(f.decisions, "taken_down", None), "a picture taken down"),
        (lambda f: f.change.strays.append("img_9"), "changes between the versions as decided"),
        (lambda f: setattr(f.decisions, "pinned", None), "changes between the versions as decided"),
        (lambda f: f.shares.update(b=0.83), "web pictures' share of each class"),
        (lambda f: f.shares.clear(), "web pictures' share of each class"),
        (lambda f: f.round_trip.differing.update(licence=1), "pictures after export and import"),
        (lambda f: setattr(f.round_trip, "same", 69), "pictures after export and import"),
        (lambda f: setattr(f, "round_trip", None), "pictures after export and import"),
        (lambda f: f.films.update(b=film((0, 0, 0, 0))), "films whose borders were cut"),
        (lambda f: f.films.update(a=film((8, 8, 8, 8))), "films whose borders were cut"),
        (lambda f: setattr(f.collections[0][2].counts, "seen", 39), "web pictures seen, in use"),
        (lambda f: f.cleaning.states.update(active=1), "web pictures seen, in use"),
        (lambda f: setattr(f.cleaning.duplicates, "right", 13), "copies found among web pictures"),
        (lambda f: setattr(f.cleaning.duplicates, "wrong", 1), "copies found among web pictures"),
        (lambda f: setattr(f.cleaning.conflicts, "right", 3), "pictures under two labels found"),
        (lambda f: setattr(f.cleaning.rejected, "wrong", 1), "useless pictures found"),
        (lambda f: setattr(f.backgrounds, "right", 2), "frames that show nobody"),
        (lambda f: setattr(f.mislabelled, "wrong", 40), "wrong labels found"),
        (lambda f: f.collections[0][2].counts.refused.update(truncated=2), "broken files refused"),
        (lambda f: setattr(f, "promotion", None), "a promotion through its gates"),
        (lambda f: setattr(f.promotion, "serves", False), "a promotion through its gates"),
        (lambda f: setattr(f.promotion.report, "against", None), "a promotion through its gates"),
        (lambda f: setattr(f.refusal, "serves", True), "a promotion that is refused"),
        (lambda f: f.refusal.failed.clear(), "a promotion that is refused"),
        (lambda f: f.attention.update({UNCROPPED: attention()}), NAMED),
        (lambda f: f.attention.update({UNCROPPED: attention("a", "b")}), NAMED),
        (lambda f: f.attention.update({FILMS_ONLY: attention("b")}), f"attention alarms, cropped ({FILMS_ONLY})"),
        (lambda f: f.attention.update({EVERYTHING: attention("a")}), f"attention alarms, cropped ({EVERYTHING})"),
        (lambda f: setattr(f.sample, "overlays", []), "its explanation is drawn"),
        (lambda f: setattr(f.sample, "truth", "b"), "a drawing that only the full model recognises"),
    ],
)  # fmt: skip
def test_each_bad_figure_fails_its_own_check(facts: Facts, spoil, name: str) -> None:
    spoil(facts)
    assert name in failed(facts)


@pytest.mark.parametrize("leak", LEAKS)
def test_whatever_keeps_a_version_from_its_certificate_is_counted_and_named(facts: Facts, leak: str) -> None:
    assert crossing(summary(**{leak: 3})) == 3
    facts.versions[EVERYTHING] = version(**{leak: 3})
    name = f"split certificate ({EVERYTHING})"
    check = next(each for each in judge(facts, bordered={"b"}, planted=PLANTED) if each.name == name)
    assert not check.passed
    assert check.figure.startswith("3 crossing: ")


def written(facts: Facts, tmp_path: Path) -> str:
    page = tmp_path / "reports" / "demo.html"
    checks = judge(facts, bordered={"b"}, planted=PLANTED)
    report.write_html(facts, checks, page, sheets={"a": [DRAWING], "b": [FRAME]})
    return page.read_text()


def test_the_page_holds_the_pictures_and_escapes_titles(facts: Facts, tmp_path: Path) -> None:
    text = written(facts, tmp_path)
    assert text.count("data:image/png;base64,") == 2 + 2 + 1 + 1
    assert "Film &lt;B&gt;" in text
    assert "A &lt;walrus&gt;" in text
    assert "Web is &lt;passed&gt;." in text
    assert "Web is &lt;failed&gt;." in text
    assert "Attention: b &lt;leans&gt;." in text


def test_the_page_loads_nothing_from_elsewhere(facts: Facts, tmp_path: Path) -> None:
    text = written(facts, tmp_path)
    assert set(re.findall(r'src="(\w+:)', text)) == {"data:"}
    assert not re.findall(r"<(?:script|link|iframe)|url\(|@import", text)


def test_every_picture_of_the_web_has_author_licence_page_and_day_below_it(
    facts: Facts, tmp_path: Path
) -> None:
    figures = re.findall(r"<figure>.*?</figure>", written(facts, tmp_path), re.DOTALL)
    credited = [figure for figure in figures if CREDIT.creator in figure]
    assert len(credited) == 1 + 2 + 2 + 1
    for figure in credited:
        assert all(
            fact in figure for fact in (CREDIT.licence, CREDIT.licence_url, CREDIT.page_url, CREDIT.day)
        )
    assert len(figures) - len(credited) == 2 + 1


def test_the_screen_report_names_every_check(facts: Facts, tmp_path: Path) -> None:
    console = Console(record=True, width=160, quiet=False, file=(tmp_path / "out").open("w"))
    report.show(console, facts, judge(facts, bordered={"b"}, planted=PLANTED), tmp_path / "x.html")
    text = console.export_text()
    assert "accuracy on unseen scenes" in text
    assert "60 active, 14 duplicate" in text
    assert "Web is <passed>." in text
    assert "asked to serve again: Web is <failed>." in text
    assert "a random split pretends +5.0 points" in text
    assert "the training on film frames with their borders says: Attention: b <leans>." in text
    assert "report of the training on film frames with their borders: /data/reports/demo-1-mdl_u.html" in text
