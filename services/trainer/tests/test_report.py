"""The report: one file that asks for nothing, shows what it says, and stays small."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from reel_networks import InputStats
from reel_shared.contracts import CurvePoint, Source, StageResult
from reel_shared.contracts.reports import Report
from reel_shared.images import PREPROCESSING
from reel_shared.manifest import ManifestImage
from reel_shared.model_card import CARD, REPORT_HTML, REPORT_JSON, ModelCard, load_model_card
from reel_trainer.answers import AllAnswers, Answers
from reel_trainer.assessment import About, assess
from reel_trainer.attention import look
from reel_trainer.cache import PictureCache
from reel_trainer.data import Normalize
from reel_trainer.leaks import certify
from reel_trainer.recipe import load_recipe
from reel_trainer.report import gallery as galleries
from reel_trainer.report.figures import training_charts
from reel_trainer.report.gallery import Decoded, Gallery
from reel_trainer.report.page import draw, write_report
from reel_trainer.reporting import report_training

CLASSES = ["castle", "howl", "kiki"]
SIDE = 56
NORMALIZE = Normalize.of(InputStats((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), torch.device("cpu"))


def squares(count: int, seed: int) -> PictureCache:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    return PictureCache(
        pixels.reshape(-1), np.arange(count) * pixels[0].size, np.full((count, 2), SIDE), SIDE
    )


def picture(number: int, label: str, **fields: str) -> ManifestImage:
    facts = {
        "source": "web" if number % 3 == 0 else "movie",
        "style": "sketch" if number % 3 == 0 else "",
    } | fields
    return ManifestImage.model_validate(
        {"id": f"img_{fields.get('probe', '')}{number:03}", "key": "images/x", "sha256": "0" * 64, "label": label,
         "phash": "0" * 16, "width": SIDE, "height": SIDE, "scene": f"{label}:{number // 4}"} | facts
    )  # fmt: skip


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    torch.manual_seed(0)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, len(CLASSES)))
    return nn.Sequential(nn.AdaptiveAvgPool2d(7), head).eval()


@pytest.fixture(scope="module")
def judged() -> list[Decoded]:
    valid = [picture(number, CLASSES[number % 3 if number < 60 else 1]) for number in range(90)]
    probe = [picture(number, CLASSES[number % 2], split="probe", probe="costumes") for number in range(12)]
    decoded = Decoded(valid, squares(90, 1))
    for number, row in enumerate(valid):
        if row.label == "howl":
            decoded.cache.picture(number)[:4] = (255, 0, 0)
    return [decoded, Decoded(probe, squares(12, 2))]


@pytest.fixture(scope="module")
def report(model: nn.Sequential, judged: list[Decoded], shapes) -> Report:
    """Half-random answers to random pictures: enough of everything that a report shows."""
    rng = np.random.default_rng(3)
    recipe = load_recipe("demo")
    answers = []
    for part in judged:
        truth = [CLASSES.index(row.label) for row in part.rows]
        logits = rng.normal(size=(len(truth), 3)).astype(np.float32)
        logits[np.arange(len(truth)), truth] += 1.5
        answers.append(Answers(list(part.rows), logits, logits.astype(np.float64), part.cache))
    everything = AllAnswers(*answers, Answers([], np.empty((0, 3), np.float32), None, None))
    about = About(
        model_id="mdl_1",
        dataset_version_id="dsv_1",
        manifest_sha256="ab" * 32,
        certified=True,
        notes=["Mind <script>alert(1)</script> & \"quotes\"."],
        created_at=datetime.now(UTC),
        attention=look(
            model, judged[0].cache, NORMALIZE, judged[0].rows, CLASSES, trained=set(Source), seed=0
        ),
    )  # fmt: skip
    evaluation = assess(everything, everything.metrics(CLASSES), CLASSES, recipe, about)
    stage = StageResult(
        name="head", size=SIDE, batch_size=16, epochs=2, frozen=True, accuracy=0.7, train_loss=0.9,
        valid_loss=0.8, seconds=75.0, images_per_second=200.0, kept_epoch=2,
    )  # fmt: skip
    epochs = [
        {
            "stage": "head",
            "epoch": n,
            "train_loss": 1 / n,
            "valid_loss": 1.1 / n,
            "accuracy": 0.3 * n,
            "lr": 1e-3,
        }
        | {"accuracy_movie": 0.31 * n, "accuracy_web": 0.28 * n}
        for n in (1, 2)
    ]
    return Report(
        evaluation=evaluation,
        stages=[stage],
        epochs=epochs,
        curve={"head": curve(100), "all": curve(40)},
        recipe=recipe.model_dump(mode="json"),
        weights="package",
        seed=42,
        precision="fp32",
        device="cpu",
        seconds=3725.0,
        split=certify(shapes.manifest(), manifest_sha256="ab" * 32).summary,
        certificate_sha256="cd" * 32,
    )


def curve(batches: int) -> list[CurvePoint]:
    """Every other batch; the last loss was no number."""
    return [
        CurvePoint(step=n, epoch=1, lr=n / 1000, momentum=0.9, loss=None if n == batches else 1 / n)
        for n in range(2, batches + 1, 2)
    ]


class Page(HTMLParser):
    """What a page holds: ids, links, sources of pictures, texts, and the tags that are left open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        self.tags.append(tag)
        self.ids += [facts["id"]] if facts.get("id") else []
        self.links += [facts["href"]] if facts.get("href") else []
        self.sources += [facts["src"]] if facts.get("src") else []
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def html(report: Report, model: nn.Sequential, judged: list[Decoded]) -> str:
    return draw(report, model=model, normalize=NORMALIZE, judged=judged)


def test_the_page_asks_for_nothing_and_is_well_formed(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert page.sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert all(link.startswith("#") for link in page.links)
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
    assert not re.search(r"https?:|url\(|@import|\son\w+=", re.sub(r'"data:[^"]*"', "", html))
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)


def test_the_batches_of_all_stages_lie_behind_one_another(report: Report) -> None:
    charts = {chart.title: chart for chart in training_charts(report)}
    loss, rate = charts["Loss by batch"], charts["Learning rate of the head by batch"]
    assert [band.name for band in rate.bands] == ["head", "all"]
    first, second = rate.bands
    assert first.left == rate.left
    assert second.left == pytest.approx(first.left + first.width)
    assert first.width / second.width == pytest.approx(100 / 40, rel=0.01)
    places = [float(place.split()[0].lstrip("M")) for place in rate.lines[0].path.split("L")]
    assert places == sorted(places)
    assert len(places) == 70
    assert places[-1] == rate.right
    assert rate.lines[0].dots == [], "so many would hide the line"
    assert loss.lines[0].path.count("L") == 67, "a loss that was no number is left out"
    assert not [
        chart.title
        for chart in training_charts(report.model_copy(update={"curve": {}}))
        if chart.title.endswith("by batch")
    ]


def test_what_people_wrote_is_escaped(html: str) -> None:
    assert "<script>alert" not in html
    assert "Mind &lt;script&gt;alert(1)&lt;/script&gt; &amp;" in html


def test_it_shows_the_figures(html: str, report: Report) -> None:
    text = " ".join(re.sub(r"<[^>]*>", " ", html).split())
    metrics = report.evaluation.metrics
    for name in ("all", "movie", "web", "probe:costumes"):
        assert f"{100 * metrics[name].accuracy:.1f} %" in text
    low, high = metrics["all"].accuracy_interval
    assert f"{100 * low:.1f} to {100 * high:.1f} %" in text
    for words in (
        "film frames",
        "probe set: costumes",
        "web pictures: sketch",
        "1 h 2 min",
        "cd" * 32,
        "batch_size: ",
    ):
        assert words in text
    wrong = [each for each in report.evaluation.pictures if not each.right and not each.probe]
    worst = max(wrong, key=lambda each: each.loss)
    assert f"{worst.label} taken for {worst.predicted}" in text
    shown = [float(loss) for loss in re.findall(r"loss (\d+\.\d\d)", text)]
    assert shown[:12] == sorted(shown[:12], reverse=True)
    assert shown[0] == pytest.approx(worst.loss, abs=0.005)


def test_what_is_always_the_same_in_a_class_is_drawn_with_its_factor(html: str, report: Report) -> None:
    assert report.evaluation.attention is not None
    shortcuts = report.evaluation.attention.shortcuts
    assert {each.label for each in shortcuts} == {"howl"}
    assert html.count('alt="what is always the same in howl"') == len(shortcuts)
    for howl in shortcuts:
        assert howl.odds_interval is not None
        low, high = howl.odds_interval
        assert f"odds {howl.odds:.1f} × ({low:.1f} to {high:.1f})" in html


def test_each_cell_of_the_confusion_opens_its_own_pictures(html: str, report: Report) -> None:
    counts = report.evaluation.confusion["all"].counts
    cells = re.findall(r'<div class="cell" id="(cell-0-\d-\d)">(.*?)</div>\s*</div>', html, re.DOTALL)
    assert len(cells) == sum(count > 0 for row in counts for count in row)
    for anchor, inside in cells:
        row, column = (int(part) for part in anchor.split("-")[2:])
        most = 2 if row == column else 8
        assert inside.count("<img") == min(counts[row][column], most)
        assert f'href="#{anchor}"' in html
    assert f"<strong>{CLASSES[1]} taken for {CLASSES[0]}</strong>" in html


def test_the_figures_alone_are_written_beside_it(report, model, judged, tmp_path) -> None:
    write_report(report, tmp_path, model=model, normalize=NORMALIZE, judged=judged)
    assert Report.model_validate_json((tmp_path / REPORT_JSON).read_bytes()) == report
    assert (tmp_path / REPORT_HTML).read_text().startswith("<!DOCTYPE html>")


def test_pictures_end_with_the_budget_and_the_rest_stays(
    report: Report, model: nn.Sequential, judged: list[Decoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gallery.__init__, "__kwdefaults__", {"budget": 30_000})
    page = draw(report, model=model, normalize=NORMALIZE, judged=judged)
    assert 0 < sum(len(source) for source in Page(page).sources) <= 30_000
    assert {link[1:] for link in Page(page).links} <= set(Page(page).ids)
    assert "taken for" in page


def test_the_mean_picture_is_the_mean() -> None:
    part = Decoded([picture(number, "kiki") for number in range(4)], squares(4, 5))
    gallery = Gallery([part])
    ids = [row.id for row in part.rows]
    expected = part.cache.squares(range(4)).astype(float).mean(axis=0)
    np.testing.assert_allclose(gallery.mean(ids), expected, atol=0.51)
    assert gallery.thumbnail(ids[0]) is gallery.thumbnail(ids[0])
    assert gallery.left == galleries.BUDGET - len(gallery.thumbnail(ids[0]))


def test_a_report_that_cannot_be_drawn_is_a_note_and_leaves_nothing_half_done(
    report: Report, tmp_path: Path
) -> None:
    evaluation = report.evaluation
    card = ModelCard(
        id="mdl_1", architecture="efficientnet_lite0", classes=CLASSES, size=SIDE, mean=(0, 0, 0), std=(1, 1, 1),
        preprocessing=PREPROCESSING, recipe={}, dataset_version_id="dsv_1", manifest_sha256="ab" * 32,
        precision="fp32", held_out=True, notes=["Mind."], created_at=evaluation.created_at,
    )  # fmt: skip
    (tmp_path / REPORT_JSON).write_text("half")
    trained: Any = None  # never looked at: there is no evaluation to begin with
    notes = report_training(trained, card, tmp_path, split=report.split, seed=1)
    assert notes == load_model_card(tmp_path).notes
    assert notes[0] == "Mind."
    assert "No report could be drawn (FileNotFoundError" in notes[1]
    assert [path.name for path in tmp_path.iterdir()] == [CARD]
