"""The learning-rate finder: fastai's sweep to the point, a job that stops like the others, and nothing kept."""

from __future__ import annotations

import copy
import threading
import time
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from fastai.callback.schedule import minimum, steep, valley
from fastai.learner import Learner
from torch import nn

from reel_networks import parameter_groups
from reel_shared import jobs
from reel_shared.contracts import FIND_LEARNING_RATE
from reel_shared.contracts.learning_rates import SweepPoint
from reel_shared.db.engine import transaction
from reel_shared.db.models import TrainedModel
from reel_shared.errors import Unprocessable
from reel_shared.runner import run_job
from reel_trainer import tasks
from reel_trainer.adam import FusedAdam
from reel_trainer.batches import Batches, Places
from reel_trainer.learner import prepare_network, stage_learner
from reel_trainer.lr_curve import draw
from reel_trainer.lr_run import sample
from reel_trainer.lr_sweep import Sweep, suggestions
from reel_trainer.recipe import batch_of, find_stage
from reel_trainer.steps import Step
from reel_trainer.tasks import fetching

CPU = torch.device("cpu")
STAGE = {"name": "one", "size": 32, "batch_size": 16, "frozen": False, "epochs": 1, "lr_max": 1e-3}
RECIPE = {"name": "sweep", "architecture": "efficientnet_lite0", "weights": "package", "stages": [STAGE]}


@pytest.fixture
def sweep(shapes, recipe, tmp_path):
    """Run one on a copy of the same network and the same batches; return it, the network before and the loaders."""

    def make(start=1e-7, end=10.0, steps=40, report=lambda event, data: None):
        wanted, manifest = recipe(stages=[STAGE]), shapes.manifest()
        rows = sample(manifest, wanted, wanted.stages[0], steps=steps, seed=1)
        places = Places(shapes.folder, tmp_path)

        def loaders():
            batches = Batches(
                *(manifest.classes, wanted, places, rows, network.stats, CPU, 1, lambda _text: None)
            )
            return batches.loaders(wanted.stages[0], 0, Step(batch_of(wanted.stages[0]), 1))

        torch.manual_seed(1)
        network = prepare_network("efficientnet_lite0", 3, "package")
        before = copy.deepcopy(network.model)
        found = Sweep(start, end, steps, report)
        learner = stage_learner(network.model, wanted, wanted.stages[0], loaders(), "fp32", [found])
        torch.manual_seed(2)
        np.random.seed(2)
        with learner.no_bar(), learner.no_logging():
            learner.fit(steps // len(learner.dls.train) + 1)
        return found, before, loaders

    return make


def test_it_is_fastais_sweep_to_the_point(sweep, tmp_path) -> None:
    found, before, loaders = sweep()
    theirs = Learner(
        loaders(),
        before,
        loss_func=nn.CrossEntropyLoss(),
        opt_func=FusedAdam,  # the sweep is what is compared: where a loss has gone, rounding decides
        splitter=parameter_groups,
        wd=0.01,
        path=tmp_path,
    )
    theirs.unfreeze()
    torch.manual_seed(2)
    np.random.seed(2)
    with theirs.no_bar():
        said = theirs.lr_find(num_it=40, show_plot=False, suggest_funcs=(valley, steep, minimum))
    assert [point.lr for point in found.points] == pytest.approx(list(theirs.recorder.lrs))
    assert [point.loss for point in found.points] == pytest.approx(
        [float(loss) for loss in theirs.recorder.losses], rel=1e-3
    )
    assert suggestions(found.points, 40) == pytest.approx(said._asdict(), rel=1e-3)
    assert found.points[0].raw_loss == pytest.approx(found.points[0].loss)


def test_it_ends_when_the_loss_has_gone(sweep) -> None:
    heard = []
    found, _, _ = sweep(start=0.01, end=100, steps=200, report=lambda event, data: heard.append(data))
    assert found.diverged
    assert len(found.points) == len(heard) < 200
    assert found.points[-1].loss > 4 * min(point.loss for point in found.points)


def test_too_few_points_suggest_nothing() -> None:
    points = [SweepPoint(lr=10.0**-n, loss=n, raw_loss=n) for n in range(9, 0, -1)]
    assert suggestions(points, 20) == {}


def test_the_curve_is_drawn_with_what_it_suggests() -> None:
    points = [SweepPoint(lr=10.0 ** (n / 10 - 7), loss=2 + (n / 80) ** 9, raw_loss=2) for n in range(80)]
    text = draw(points, {"valley": 1e-3}, title="a <b>")
    root = ElementTree.fromstring(text)
    words = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a <b>", "valley 0.001", "1e-7", "1e0"} <= set(words)
    smooth = [node for node in root.iter() if node.get("stroke-width") == "2"][0].get("points").split()  # noqa: RUF015
    assert len(smooth) == 80
    xs = [float(pair.partition(",")[0]) for pair in smooth]
    assert np.diff(xs) == pytest.approx(np.full(79, xs[1] - xs[0]), abs=0.2), "the axis is logarithmic"


def test_only_as_many_pictures_are_brought_as_are_looked_at(shapes, recipe) -> None:
    wanted, manifest = recipe(stages=[STAGE]), shapes.manifest()
    few = sample(manifest, wanted, wanted.stages[0], steps=3, seed=1)
    assert len({row.id for row in few.train}) == len(few.train) == 48
    assert few == sample(manifest, wanted, wanted.stages[0], steps=3, seed=1)
    assert few.train != sample(manifest, wanted, wanted.stages[0], steps=3, seed=2).train
    assert find_stage(wanted, None) == find_stage(wanted, "one") == 0
    with pytest.raises(Unprocessable, match="no stage 'two'; it has one"):
        find_stage(wanted, "two")


@pytest.fixture
def submit(client, dataset):
    job_id = client.post("/v1/dataset-versions", json={}).json()["id"]
    run_job(jobs.contracts.BUILD_DATASET_VERSION, tasks.build_dataset_version, job_id)
    version = client.get("/v1/dataset-versions").json()["data"][0]["id"]

    def send(**fields):
        body = {"dataset_version_id": version, "recipe": RECIPE, **fields}
        return client.post("/v1/learning-rates", json=body)

    return send


def state(job_id):
    with transaction() as session:
        return jobs.get(session, job_id)


@pytest.mark.servers
def test_as_a_job(client, submit, reel) -> None:
    answer = submit(steps=24, start_lr=1e-5, end_lr=1e-2)
    assert answer.status_code == 202, answer.text
    job_id = answer.json()["id"]
    run_job(FIND_LEARNING_RATE, tasks.find_learning_rate, job_id)
    job = state(job_id)
    assert job.state == "succeeded", job.error
    result = job.result
    assert (result["recipe"], result["stage"], len(result["points"])) == ("sweep", "one", 24)
    assert (result["points"][0]["lr"], result["diverged"]) == (1e-5, False)
    assert set(result["suggestions"]) == {"valley", "steep", "minimum"}
    assert reel.storage.get_bytes(result["curve"]["key"], max_bytes=10**6).startswith(b"<svg")
    assert (job.progress_done, job.progress_total, job.progress_unit) == (24, 24, "steps")
    with transaction() as session:
        assert session.query(TrainedModel).count() == 0
    assert {found.key.partition("/")[0] for found in reel.storage.list("")} == {
        *("images", "manifests", "certificates", "learning-rates"),
    }


@pytest.mark.servers
def test_wrong_requests_are_refused_at_the_door(client, submit) -> None:
    for fields, reason in (
        ({"stage": "two"}, "has no stage 'two'; it has one"),
        ({"start_lr": 1, "end_lr": 0.1}, "start_lr must be less than end_lr"),
        ({"steps": 12}, "#/steps"),
        ({"recipe": "secret"}, "choose one of article"),
        ({"dataset_version_id": "dsv_none"}, "dsv_none"),
    ):
        answer = submit(**fields)
        assert answer.status_code in (404, 422)
        assert reason in answer.json()["detail"]


@pytest.mark.servers
def test_it_stops_when_it_is_canceled(client, submit, monkeypatch) -> None:
    monkeypatch.setattr(fetching, "ASK_EVERY_SECONDS", 0.2)
    job_id = submit(steps=500, start_lr=1e-9, end_lr=1e-8).json()["id"]
    thread = threading.Thread(target=run_job, args=(FIND_LEARNING_RATE, tasks.find_learning_rate, job_id))
    thread.start()
    deadline = time.monotonic() + 200
    while not state(job_id).progress_message.startswith("trying rate"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with transaction() as session:
        jobs.cancel(session, job_id)
    thread.join(60)
    assert state(job_id).state == "canceled"
