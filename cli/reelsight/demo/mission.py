"""The mission, step by step, through the public API only: the same client that any user has."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from reel_shared import contracts
from reel_shared.client import Client
from reel_shared.contracts import MAKE_VARIANTS, TERMINAL, JsonObject, Source
from reelsight.demo.facts import EVERYTHING, FILMS_ONLY, Facts, Sample
from reelsight.demo.screen import Screen
from reelsight.studio.films import FilmFile

STYLES = {"fanart": "fanart", "sketch": "sketches", "drawing": "drawing"}
"""Style -> the word that the query adds to the film's title."""
EVERY_FRAMES = 36
POLL_SECONDS = 0.3
SHEET_PICTURES = 8


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
        styles: Mapping[str, str] = STYLES,
    ) -> None:
        self.client = client
        self.styles = styles
        self.films = films
        self.screen = screen
        self.facts = Facts(dataset=dataset, titles={film.label: film.title for film in films})

    def run(self) -> Facts:
        with self._timed("frames"):
            self.extract_frames()
        with self._timed("web pictures and variants"):
            self.collect_pictures()
        with self._timed("split"):
            self.build_versions()
        for name in (FILMS_ONLY, EVERYTHING):
            with self._timed(f"training on {name}"):
                self.train(name)
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
