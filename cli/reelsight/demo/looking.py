"""Trains once on films whose borders nobody cut, to see the training's own alarm; called by ``mission`` and ``run``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reel_shared import contracts
from reel_shared.client import Client
from reel_shared.contracts import Attention, Source
from reel_shared.contracts.recipes import RecipeChoice
from reelsight.demo.facts import EVERYTHING, FILMS_ONLY, UNCROPPED, Facts
from reelsight.demo.splitting import VALID_FRACTION
from reelsight.demo.work import MissionFailed, Work
from reelsight.studio.films import FilmFile


def train_uncropped(
    work: Work, facts: Facts, films: Sequence[FilmFile], *, recipe: RecipeChoice, every_frames: int
) -> None:
    """Take the same frames with their borders into a dataset of their own, train on them, and note what fired."""
    dataset = f"{facts.dataset}-uncropped"
    jobs = {
        film.label: work.client.add_movie(
            film.path,
            label=film.label,
            title=film.title,
            dataset=dataset,
            every_frames=every_frames,
            crop_borders="none",
        )
        for film in films
    }
    work.wait_all(jobs)
    build = contracts.BuildDatasetVersionRequest(
        dataset=dataset, valid_fraction=VALID_FRACTION, train_sources=[Source.MOVIE]
    )
    version = work.finish(
        UNCROPPED, work.client.build_dataset_version(build), contracts.BuildDatasetVersionResult
    )
    facts.versions[UNCROPPED] = version
    train = contracts.TrainModelRequest(dataset_version_id=version.dataset_version_id, recipe=recipe)
    facts.models[UNCROPPED] = work.finish(
        UNCROPPED, work.client.train_model(train), contracts.TrainModelResult
    )
    for name in (FILMS_ONLY, EVERYTHING, UNCROPPED):
        facts.attention[name] = _attention(work.client, facts.models[name].model_id)


def _attention(client: Client, model_id: str) -> Attention:
    found = client.report_figures(model_id)["evaluation"]["attention"]
    if found is None:
        raise MissionFailed(f"The evaluation of {model_id} does not say where the model looks.")
    return Attention.model_validate(found)


def save_reports(client: Client, facts: Facts, folder: Path) -> None:
    """Write the report of each training beside the demo's."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, trained in facts.models.items():
        path = folder / f"{facts.dataset}-{trained.model_id}.html"
        path.write_bytes(client.report(trained.model_id))
        facts.reports[name] = path
