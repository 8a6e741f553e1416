"""The mission, step by step, through the public API only: the same client that any user has."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from reel_shared import contracts
from reel_shared.client import Client
from reel_shared.contracts import ImageState, JsonObject, Source, Variant
from reel_shared.contracts.recipes import RecipeChoice
from reel_shared.manifest import Manifest, ManifestImage, Side
from reelsight.demo import collecting, decisions, looking, promoting, shares, splitting
from reelsight.demo.cleaning import Found, compare, compare_decisions, compare_doubts
from reelsight.demo.facts import EVERYTHING, FILMS_ONLY, FIRST, Facts, Sample
from reelsight.demo.person import Person
from reelsight.demo.pictures import Shown, fetch
from reelsight.demo.round_trip import go_round
from reelsight.demo.work import Work
from reelsight.screen import Screen
from reelsight.studio.drawings import STYLES
from reelsight.studio.films import FilmFile
from reelsight.studio.gallery import COSPLAY, Offer, Style

EVERY_FRAMES = 36
SHEET_PICTURES = 8
MARKS_PER_FILM = 4
"""Empty frames that the person marks in each film, and several times as many others."""


class Mission:
    """Each public method is one step; ``facts`` is what they leave."""

    def __init__(
        self,
        client: Client,
        films: list[FilmFile],
        *,
        dataset: str,
        screen: Screen,
        offers: Sequence[Offer],
        person: Person,
        styles: Sequence[Style] = STYLES,
        recipe: RecipeChoice = "demo",
        full: bool = False,
    ) -> None:
        """``offers`` and ``person`` are the truth; ``full`` adds what takes longer."""
        self.client = client
        self.work = Work(client, screen)
        self.offers = [offer for offer in offers if offer.style in (*styles, COSPLAY)]
        self.person = person
        self.recipe = recipe
        self.full = full
        self.styles = styles
        self.films = films
        self.screen = screen
        self.facts = Facts(dataset=dataset, titles={film.label: film.title for film in films})

    def run(self) -> Facts:
        with self._timed("frames"):
            self.extract_frames()
        with self._timed("web pictures and variants"):
            self.collect_pictures()
        with self._timed("cleaning"):
            self.clean()
        with self._timed("first version"):
            splitting.build_first(self.work, self.facts)
        with self._timed("decisions of a person"):
            self.decide()
        with self._timed("web share"):
            shares.fill_up(self.work, self.facts)
        with self._timed("second version"):
            self.build_versions()
        with self._timed("export and import"):
            self.go_round()
        for name in (FILMS_ONLY, EVERYTHING):
            with self._timed(f"training on {name}"):
                self.train(name)
        with self._timed("promotion"):
            self.promote()
        with self._timed("labels"):
            self.check_labels()
        if self.full:
            with self._timed("leak gap"):
                self.measure_leak_gap()
            with self._timed("attention"):
                looking.train_uncropped(
                    self.work, self.facts, self.films, recipe=self.recipe, every_frames=EVERY_FRAMES
                )
        with self._timed("predict and explain"):
            self.ask()
        return self.facts

    def extract_frames(self) -> None:
        jobs = {}
        for film in self.films:
            jobs[film.label] = self.client.add_movie(
                film.path,
                label=film.label,
                title=film.title,
                dataset=self.facts.dataset,
                every_frames=EVERY_FRAMES,
            )
        for label, job in self.work.wait_all(jobs).items():
            result = contracts.ExtractFramesResult.model_validate(job["result"])
            self.facts.films[label] = result
            evidence = result.borders.picture if result.borders else None
            if any(result.crop) and evidence is not None and evidence.url:
                self.facts.borders[label] = self.client.download(evidence.url)

    def collect_pictures(self) -> None:
        collecting.collect(self.work, self.facts, self.films, self.styles)
        self.facts.windows = collecting.windows(self.facts, self.offers)

    def clean(self) -> None:
        """See what the checks found, and let the person teach the platform which frames show nobody."""
        web = self._originals(Source.WEB)
        self.facts.cleaning = compare(web, self.offers)
        frames = self._originals(Source.MOVIE)
        self.facts.frame_states = Counter(frame["state"] for frame in frames)
        active = [frame for frame in frames if frame["state"] == ImageState.ACTIVE]
        for mark, ids in self.person.marks(active, each=MARKS_PER_FILM).items():
            self.client.mark_images(ids, "background" if mark == "background" else "keep")
        request = contracts.RankSubjectsRequest(dataset=self.facts.dataset, precision=0.9, apply=True)
        job = self.client.rank_subjects(request)
        result = self.facts.subjects = self.work.finish("empty frames", job, contracts.RankSubjectsResult)
        if result.proposals is not None and result.proposals.url is not None:
            ranked = _lines(self.client.download(result.proposals.url))
            self.facts.backgrounds = self._against_the_scripts(active, ranked)

    def _against_the_scripts(self, frames: list[JsonObject], ranked: list[JsonObject]) -> Found:
        """Count the proposals among the frames that the person did not mark."""
        marked = {each["image_id"] for each in ranked if each["mark"] is not None}
        nobody = {frame["id"] for frame in frames if self.person.sees_nobody(frame)} - marked
        proposed = {each["image_id"] for each in ranked if each["proposed"]} - marked
        right = len(proposed & nobody)
        return Found(planted=len(nobody), right=right, wrong=len(proposed) - right)

    def check_labels(self) -> None:
        request = contracts.CheckLabelsRequest(
            dataset_version_id=self.facts.versions[EVERYTHING].dataset_version_id,
            model=self.facts.models[EVERYTHING].model_id,
        )
        job = self.client.check_labels(request)
        result = self.facts.labels = self.work.finish("labels", job, contracts.CheckLabelsResult)
        assert result.proposals.url is not None  # the API adds it whenever it shows a file
        doubts = [each for each in _lines(self.client.download(result.proposals.url)) if each["style"]]
        self.facts.mislabelled = compare_doubts(doubts, self._originals(Source.WEB), self.offers)

    def measure_leak_gap(self) -> None:
        request = contracts.MeasureLeakGapRequest(dataset=self.facts.dataset, valid_fraction=0.25)
        job = self.client.measure_leak_gap(request)
        self.facts.leak_gap = self.work.finish("leak gap", job, contracts.MeasureLeakGapResult)

    def decide(self) -> None:
        """Let the person decide the conflicts, have a picture taken down and pin a scene."""
        made, first = self.facts.decisions, self._manifest(FIRST)
        made.kept = decisions.resolve(self.client, self._originals(Source.WEB), self.offers)
        made.conflicts = compare_decisions(self._originals(Source.WEB), self.offers)
        made.taken_down = decisions.take_down(self.work, first, self.offers)
        made.pinned = decisions.pin(self.client, first, self.films[0].label)

    def build_versions(self) -> None:
        """Build what is trained on upon the first version, and hold the difference against the decisions."""
        splitting.build_on_first(self.work, self.facts)
        first, last = (self.facts.versions[name].dataset_version_id for name in (FIRST, EVERYTHING))
        diff = contracts.VersionDiff.model_validate(self.client.diff_versions(last, base=first))
        manifest = self._manifest(EVERYTHING)
        self.facts.change = splitting.changes(diff, manifest, self.facts.decisions)
        planted = sum(offer.style == COSPLAY for offer in self.offers)
        self.facts.probe = splitting.probe(manifest, COSPLAY, planted)
        self.facts.proof = splitting.prove(self.client, last)

    def go_round(self) -> None:
        version = self.facts.versions[EVERYTHING].dataset_version_id
        self.facts.round_trip = go_round(self.work, version, dataset=f"{self.facts.dataset}-again")

    def train(self, name: str) -> None:
        request = contracts.TrainModelRequest(
            dataset_version_id=self.facts.versions[name].dataset_version_id,
            recipe=self.recipe,
        )
        job = self.client.train_model(request)
        self.facts.models[name] = self.work.finish(name, job, contracts.TrainModelResult)

    def promote(self) -> None:
        """Let the model that saw films only serve first, then the full one, if the gates find it no worse."""
        promoting.begin(self.client, self.facts)
        promoting.promote(self.client, self.facts)
        if self.full:
            promoting.be_refused(self.client, self.facts)

    def ask(self) -> None:
        """Ask both models about one held-out drawing, and the better one for its reasons.

        Shown is the article's case: a drawing that only the model which saw drawings recognises, the first by id.
        """
        for chosen in self._held_out_drawings():
            picture = fetch(self.client, chosen.id)
            answers = {
                name: self._predict(picture.content, model=self.facts.models[name].model_id)
                for name in (FILMS_ONLY, EVERYTHING)
            }
            right = {name: answer[0].label == chosen.label for name, answer in answers.items()}
            if right[EVERYTHING] and not right[FILMS_ONLY]:
                break
        other = next(guess.label for guess in answers[EVERYTHING] if guess.label != chosen.label)
        model_id = self.facts.models[EVERYTHING].model_id
        request = contracts.ExplainPictureRequest(
            key=chosen.key, labels=[chosen.label, other], model=model_id
        )
        job = self.client.explain_picture(request)
        explanation = self.work.finish("explanation", job, contracts.ExplainPictureResult)
        self.facts.sample = Sample(
            truth=chosen.label,
            style=chosen.style,
            picture=picture,
            answers=answers,
            explanation=explanation,
            overlays=list(self._overlays(explanation, picture)),
        )

    def sheets(self) -> dict[str, list[Shown]]:
        """Return a few pictures of each class, frames first, for the report."""
        sheets = {}
        everything = _originals(self._manifest(EVERYTHING))
        for label in self.facts.titles:
            images = [image for image in everything if image.label == label]
            frames = [image for image in images if image.source == Source.MOVIE]
            drawings = [image for image in images if image.source == Source.WEB]
            chosen = [*_spread(frames, SHEET_PICTURES // 2), *_spread(drawings, SHEET_PICTURES // 2)]
            sheets[label] = [fetch(self.client, image.id) for image in chosen]
        return sheets

    # --- parts --------------------------------------------------------------------------------------------

    def _held_out_drawings(self) -> list[ManifestImage]:
        """Held-out drawings in the order of their ids, sketches first: they look least like a film's frame."""
        held_out = self._manifest(EVERYTHING).on(Side.VALID)
        drawings = [image for image in held_out if image.source == Source.WEB]
        return sorted(drawings, key=lambda image: (image.style != "sketch", image.id))

    def _manifest(self, name: str) -> Manifest:
        return splitting.manifest_of(self.client, self.facts.versions[name].dataset_version_id)

    def _originals(self, source: Source) -> list[JsonObject]:
        """Return the dataset's pictures in whatever state, without variants."""
        found = self.client.images(dataset=self.facts.dataset, source=source.value, variant="original")
        return sorted(found, key=lambda image: str(image["id"]))

    def _predict(self, picture: bytes, *, model: str) -> list[contracts.LabelProbability]:
        answer = self.client.predict(picture, model=model, top_k=3)
        return contracts.Prediction.model_validate(answer).predictions

    def _overlays(self, explanation: contracts.ExplainPictureResult, picture: Shown) -> Iterator[Shown]:
        """What is drawn over a picture is made of it and carries its credit."""
        for each in explanation.explanations:
            for method, file in (("Grad-CAM", each.gradcam), ("guided backprop", each.guided)):
                if file is not None and file.url:
                    caption = f"{method} for {each.label} ({each.probability:.0%})"
                    yield Shown(self.client.download(file.url), caption, picture.credit)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        self.screen.step(name)
        started = time.monotonic()
        yield
        self.facts.seconds[name] = time.monotonic() - started


def _originals(manifest: Manifest) -> list[ManifestImage]:
    return [image for image in manifest.images if image.variant == Variant.ORIGINAL]


def _spread(images: list[ManifestImage], count: int) -> list[ManifestImage]:
    return images[:: max(1, len(images) // count)][:count]


def _lines(content: bytes) -> list[JsonObject]:
    return [json.loads(line) for line in content.splitlines()]
