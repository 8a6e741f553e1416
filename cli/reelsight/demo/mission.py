"""The mission, step by step, through the public API only: the same client that any user has."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from reel_shared import contracts
from reel_shared.client import Client
from reel_shared.contracts import MAKE_VARIANTS, TERMINAL, ImageState, JsonObject, Source
from reelsight.demo.cleaning import Found, compare, compare_doubts
from reelsight.demo.facts import EVERYTHING, FILMS_ONLY, Facts, Sample
from reelsight.demo.person import Person
from reelsight.screen import Screen
from reelsight.studio.films import FilmFile
from reelsight.studio.gallery import Offer

STYLES = {"fanart": "fanart", "sketch": "sketches", "drawing": "drawing"}
"""Style -> the word that the query adds to the film's title."""
EVERY_FRAMES = 36
POLL_SECONDS = 0.3
SHEET_PICTURES = 8
MARKS_PER_FILM = 4
"""Empty frames that the person marks in each film, and several times as many others."""


class MissionFailed(Exception):
    """A job of the mission did not succeed."""


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
        styles: Mapping[str, str] = STYLES,
        full: bool = False,
    ) -> None:
        """``offers`` and ``person`` are the truth; ``full`` adds what takes longer."""
        self.client = client
        self.offers = [offer for offer in offers if offer.style in styles]
        self.person = person
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
        with self._timed("split"):
            self.build_versions()
        for name in (FILMS_ONLY, EVERYTHING):
            with self._timed(f"training on {name}"):
                self.train(name)
        with self._timed("labels"):
            self.check_labels()
        if self.full:
            with self._timed("leak gap"):
                self.measure_leak_gap()
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
        for label, job in self._wait_all(jobs).items():
            self.facts.films[label] = contracts.ExtractFramesResult.model_validate(job["result"])

    def collect_pictures(self) -> None:
        jobs = {}
        for film in self.films:
            for style, word in self.styles.items():
                request = contracts.CollectPicturesRequest(
                    dataset=self.facts.dataset, label=film.label, query=f"{film.title} {word}", style=style
                )
                jobs[(film.label, style)] = self.client.collect_pictures(request)
        done = self._wait_all(jobs)
        for (label, style), job in done.items():
            self.facts.collections.append(
                (label, style, contracts.CollectPicturesResult.model_validate(job["result"]))
            )
        self._wait_for_variants({job["id"]: label for (label, _), job in done.items()})

    def _wait_for_variants(self, parents: dict[str, str]) -> None:
        """The platform itself submits augment jobs after collections; find them by their parent."""
        jobs = {}
        for parent, label in parents.items():
            for job in self.client.jobs(kind=MAKE_VARIANTS.name, parent_id=parent):
                jobs[(label, job["id"])] = job
        for (label, _), job in self._wait_all(jobs).items():
            self.facts.variants.append((label, contracts.MakeVariantsResult.model_validate(job["result"])))

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
        job = self._wait_all({"empty frames": self.client.rank_subjects(request)})["empty frames"]
        result = self.facts.subjects = contracts.RankSubjectsResult.model_validate(job["result"])
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
        job = self._wait_all({"labels": self.client.check_labels(request)})["labels"]
        result = self.facts.labels = contracts.CheckLabelsResult.model_validate(job["result"])
        assert result.proposals.url is not None  # the API adds it whenever it shows a file
        doubts = [each for each in _lines(self.client.download(result.proposals.url)) if each["style"]]
        self.facts.mislabelled = compare_doubts(doubts, self._originals(Source.WEB), self.offers)

    def measure_leak_gap(self) -> None:
        request = contracts.MeasureLeakGapRequest(dataset=self.facts.dataset, valid_fraction=0.25)
        job = self._wait_all({"leak gap": self.client.measure_leak_gap(request)})["leak gap"]
        self.facts.leak_gap = contracts.MeasureLeakGapResult.model_validate(job["result"])

    def build_versions(self) -> None:
        jobs = {}
        for name, sources in ((FILMS_ONLY, [Source.MOVIE]), (EVERYTHING, [Source.MOVIE, Source.WEB])):
            request = contracts.BuildDatasetVersionRequest(
                dataset=self.facts.dataset, train_sources=sources, valid_fraction=0.25
            )
            jobs[name] = self.client.build_dataset_version(request)
        for name, job in self._wait_all(jobs).items():
            self.facts.versions[name] = contracts.BuildDatasetVersionResult.model_validate(job["result"])

    def train(self, name: str) -> None:
        request = contracts.TrainModelRequest(
            dataset_version_id=self.facts.versions[name].dataset_version_id,
            recipe="demo",
            activate=name == EVERYTHING,
        )
        job = self._wait_all({name: self.client.train_model(request)})[name]
        self.facts.models[name] = contracts.TrainModelResult.model_validate(job["result"])

    def ask(self) -> None:
        """Ask both models about one held-out drawing, and the better one for its reasons.

        Shown is the article's case: a drawing that only the model which saw drawings recognises, the first by id.
        """
        for chosen in self._held_out_drawings():
            picture = self._picture(chosen)
            answers = {
                name: self._predict(picture, model=self.facts.models[name].model_id)
                for name in (FILMS_ONLY, EVERYTHING)
            }
            right = {name: answer[0].label == chosen["label"] for name, answer in answers.items()}
            if right[EVERYTHING] and not right[FILMS_ONLY]:
                break
        other = next(guess.label for guess in answers[EVERYTHING] if guess.label != chosen["label"])
        request = contracts.ExplainPictureRequest(key=chosen["key"], labels=[chosen["label"], other])
        job = self._wait_all({"explanation": self.client.explain_picture(request)})["explanation"]
        explanation = contracts.ExplainPictureResult.model_validate(job["result"])
        self.facts.sample = Sample(
            truth=chosen["label"],
            style=chosen["style"],
            picture=picture,
            answers=answers,
            explanation=explanation,
            overlays=list(self._overlays(explanation)),
        )

    def sheets(self) -> dict[str, list[bytes]]:
        """Return a few pictures of each class, frames first, for the report."""
        sheets = {}
        everything = self._images()
        for label in self.facts.titles:
            images = [image for image in everything if image["label"] == label]
            frames = [image for image in images if image["source"] == "movie"]
            drawings = [image for image in images if image["source"] == "web"]
            chosen = [*_spread(frames, SHEET_PICTURES // 2), *_spread(drawings, SHEET_PICTURES // 2)]
            sheets[label] = [self._picture(image) for image in chosen]
        return sheets

    # --- parts --------------------------------------------------------------------------------------------

    def _held_out_drawings(self) -> list[JsonObject]:
        """Held-out drawings in the order of their ids, sketches first: they look least like a film's frame."""
        held_out = [i for i in self._images() if i["source"] == "web" and i["split"] == "valid"]
        return sorted(held_out, key=lambda image: (image["style"] != "sketch", str(image["id"])))

    def _images(self) -> list[JsonObject]:
        version = self.client.dataset_version(self.facts.versions[EVERYTHING].dataset_version_id)
        manifest = json.loads(self.client.download(version["manifest"]["url"]))
        return [image for image in manifest["images"] if image["variant"] == "original"]

    def _originals(self, source: Source) -> list[JsonObject]:
        """Return the dataset's pictures in whatever state, without variants."""
        found = self.client.images(dataset=self.facts.dataset, source=source.value, variant="original")
        return sorted(found, key=lambda image: str(image["id"]))

    def _picture(self, image: JsonObject) -> bytes:
        return self.client.download(self.client.get(f"/v1/images/{image['id']}")["file"]["url"])

    def _predict(self, picture: bytes, *, model: str) -> list[contracts.LabelProbability]:
        answer = self.client.predict(picture, model=model, top_k=3)
        return contracts.Prediction.model_validate(answer).predictions

    def _overlays(self, explanation: contracts.ExplainPictureResult) -> Iterator[tuple[str, bytes]]:
        for each in explanation.explanations:
            for method, file in (("Grad-CAM", each.gradcam), ("guided backprop", each.guided)):
                if file is not None and file.url:
                    caption = f"{method} for {each.label} ({each.probability:.0%})"
                    yield caption, self.client.download(file.url)

    def _wait_all(self, jobs: dict[Any, JsonObject]) -> dict[Any, JsonObject]:
        """Wait for all the jobs at once and return them as they ended.

        Raises:
            MissionFailed: one of them did not succeed.
        """
        with self.screen.following(jobs) as update:
            while any(job["state"] not in TERMINAL for job in jobs.values()):
                time.sleep(POLL_SECONDS)
                for name, job in jobs.items():
                    if job["state"] not in TERMINAL:
                        jobs[name] = self.client.job(job["id"])
                        update(name, jobs[name])
        for name, job in jobs.items():
            if job["state"] != "succeeded":
                detail = (job["error"] or {}).get("detail", "")
                raise MissionFailed(f"{name}: {job['kind']} {job['id']} {job['state']}. {detail}")
        return jobs

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        self.screen.step(name)
        started = time.monotonic()
        yield
        self.facts.seconds[name] = time.monotonic() - started


def _spread(images: list[JsonObject], count: int) -> list[JsonObject]:
    return images[:: max(1, len(images) // count)][:count]


def _lines(content: bytes) -> list[JsonObject]:
    return [json.loads(line) for line in content.splitlines()]
