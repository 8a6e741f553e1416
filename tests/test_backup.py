"""A backup restored elsewhere, in a database of the other kind and another bucket, gives the same answers."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import sqlalchemy as sa
import structlog
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as Pillow
from starlette.testclient import TestClient

from reel_inference import serving
from reel_shared import backup, backup_rows, jobs
from reel_shared.contracts import (
    BUILD_DATASET_VERSION,
    COLLECT_PICTURES,
    MAKE_VARIANTS,
    BuildDatasetVersionRequest,
    CollectPicturesRequest,
    MakeVariantsRequest,
)
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import Collection, Image, Job, ModelAlias, TrainedModel
from reel_shared.embedded import Seaweed
from reel_shared.errors import Conflict, Corrupt, NotFound
from reel_shared.ids import new_id
from reel_shared.images import PREPROCESSING
from reel_shared.model_card import ModelCard, facts_of
from reel_shared.object_storage import Storage
from reel_shared.runner import run_job
from reel_shared.s3 import connect
from reel_shared.security import create_key
from reel_shared.testing.stack import Reel
from reel_trainer.tasks import build_dataset_version
from reelsight.commands import backups
from reelsight.platform.application import app

pytestmark = pytest.mark.servers
LABELS = ("kiki", "mulan")


def picture(seed: int) -> bytes:
    stream = io.BytesIO()
    colours = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Pillow.fromarray(colours).save(stream, "PNG")
    return stream.getvalue()


def fill(reel: Reel, folder: Path) -> str:
    """Do what a platform does: pictures, a certified version, a model that serves, jobs; returns a key's token."""
    rng = np.random.default_rng(1)
    with transaction() as session:
        request = CollectPicturesRequest(label="kiki", provider="urls", urls=["https://example.org/a.png"])
        job = jobs.submit(session, COLLECT_PICTURES, request)
        session.add(Collection(id="col_1", dataset="default", label="kiki", provider="urls", job_id=job.id))
        session.flush()
        for number in range(24):
            file = reel.storage.put_bytes("pictures", picture(number), "image/png", ".png")
            session.add(
                Image(
                    id=f"img_{number:02}",
                    dataset="default",
                    label=LABELS[number % 2],
                    source="web",
                    key=file.key,
                    sha256=file.sha256,
                    media_type=file.media_type,
                    size=file.size,
                    width=64,
                    height=64,
                    phash=rng.bytes(8).hex(),
                    collection_id="col_1",
                    licence="CC-BY 4.0",
                    creator="A. Painter",
                    taken_at=datetime(2020, 5, 6, tzinfo=UTC),
                    style="sketch",
                    job_id=job.id,
                )
            )
        built = jobs.submit(session, BUILD_DATASET_VERSION, BuildDatasetVersionRequest()).id
        _, token = create_key(session, "backup", ["read", "submit", "admin"], limits={"jobs_per_day": 7})
    run_job(BUILD_DATASET_VERSION, build_dataset_version, built)
    with transaction() as session:
        done = jobs.get(session, built)
        assert done.state == "succeeded", done.error
        version = done.result["dataset_version_id"]
        model = publish(reel.storage, folder, version, done.result["manifest"]["sha256"])
        session.add(TrainedModel(**model, job_id=built, dataset_version_id=version))
        session.flush()
        session.add(ModelAlias(name="active", model_id="mdl_1"))
        running, queued = (jobs.submit(session, MAKE_VARIANTS, MakeVariantsRequest()).id for _ in range(2))
        assert jobs.claim(session, running) is not None
        jobs.cancel(session, queued)
        jobs.submit(session, MAKE_VARIANTS, MakeVariantsRequest())
    return token


def publish(storage: Storage, folder: Path, version: str, manifest_sha256: str) -> dict[str, Any]:
    """A model whose logits are the mean red and green of a picture."""
    path = folder / "model.onnx"
    weights = np.array([[1, 0], [0, 1], [0, 0]], np.float32) / 64
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["pictures"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats", "axes"], ["colour"], keepdims=0),
            helper.make_node("MatMul", ["colour", "weights"], ["logits"]),
        ],
        "mean-colour",
        [helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["batch", 8, 8, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    card = ModelCard(
        id="mdl_1",
        architecture="mean_colour",
        classes=list(LABELS),
        size=8,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        preprocessing=PREPROCESSING,
        recipe={},
        dataset_version_id=version,
        manifest_sha256=manifest_sha256,
        precision="fp32",
        held_out=True,
        agreement=(),
        files={"model.onnx": facts_of(path)},
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    (folder / "model.json").write_text(card.model_dump_json())
    files = {
        name: storage.put_file("models", folder / name, kind, (folder / name).suffix).model_dump(mode="json")
        for name, kind in (("model.onnx", "application/octet-stream"), ("model.json", "application/json"))
    }
    facts = {"architecture": "mean_colour", "recipe": "none", "metrics": {"all": {"accuracy": 0.9}}}
    return {"id": "mdl_1", "card": json.loads(card.model_dump_json()), "files": files, **facts}


PATHS = (
    "/v1/jobs?limit=200",
    "/v1/images?limit=200",
    "/v1/dataset-versions",
    "/v1/models",
    "/v1/models/active",
    "/v1/keys",
    "/v1/key-changes",
)


def answers(token: str) -> dict[str, Any]:
    """Everything that the platform says: lists, the certificate in full, and a prediction of the active model."""
    serving.close()
    key = {"Authorization": f"Bearer {token}"}
    with TestClient(app(), headers=key) as client:
        found = {path: client.get(path) for path in PATHS}
        (version,) = found["/v1/dataset-versions"].json()["data"]
        found["certificate"] = client.get(f"/v1/dataset-versions/{version['id']}/certificate")
        found["prediction"] = client.post("/v1/models/active/predict", content=picture(3))
        assert {name: answer.status_code for name, answer in found.items()} == dict.fromkeys(found, 200)
        made = {name: without_links(answer.json()) for name, answer in found.items()}
        made["headers"] = {name: answer.headers.get("etag") for name, answer in found.items()}
    serving.close()
    return made


def without_links(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_links(item) for name, item in value.items() if name not in ("url", "urls")}
    return [without_links(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def other_bucket(s3: Seaweed) -> Iterator[str]:
    name = f"reel-test-{new_id('job')[-12:]}"
    yield name
    s3.start()
    client = connect(s3.settings(name), s3.endpoint)
    if client.bucket_exists(name):
        client.remove_bucket(name)


@pytest.fixture
def elsewhere(
    request: pytest.FixtureRequest, databases: str, tmp_path: Path, other_bucket: str
) -> Iterator[dict[str, str]]:
    """An empty database of the other kind, without any schema, and a bucket that does not exist."""
    if not databases.startswith("sqlite"):
        yield {"database__url": f"sqlite:///{tmp_path / 'restored.sqlite'}", "s3__bucket": other_bucket}
        return
    server = request.getfixturevalue("postgres")
    name = f"restored_{new_id('job')[-12:]}"
    yield {"database__url": server.create_database(name), "s3__bucket": other_bucket}
    server.drop_database(name)


def test_it_gives_the_same_answers_elsewhere(
    databases: str, reel: Reel, elsewhere: dict[str, str], tmp_path: Path
) -> None:
    here = {"database__url": databases, "s3__bucket": reel.settings.s3.bucket}
    token = fill(reel, tmp_path)
    before = answers(token)
    made = backup.save(tmp_path / "backup")
    assert made.objects == len({found.key for found in reel.storage.list("")}) >= 24 + 2 + 2
    assert made.already_gone == 0

    reel.configure(**elsewhere)
    try:
        backup.restore(tmp_path / "backup")
        assert answers(token) == before
        # and it is a platform that works: what ran is taken up again when its lease is over, numbers go on
        with transaction() as session:
            job = jobs.submit(session, MAKE_VARIANTS, MakeVariantsRequest())
            assert jobs.claim(session, job.id) is not None
        with pytest.raises(Conflict, match="not empty"):
            backup.restore(tmp_path / "backup")
        again = backup.save(tmp_path / "second")
        assert again.objects_sha256 == made.objects_sha256
    finally:
        reel.configure(**here)


@pytest.fixture
def saved(reel: Reel, tmp_path: Path) -> Path:
    fill(reel, tmp_path)
    backup.save(tmp_path / "backup")
    return tmp_path / "backup"


def test_a_second_backup_copies_only_what_is_new(
    saved: Path, reel: Reel, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = next(iter(saved.glob("objects/pictures/*/*.png")))
    reel.storage.delete(str(gone.relative_to(saved / "objects")))
    reel.storage.put_bytes("pictures", b"new", "image/png", ".png")
    fetched: list[str] = []
    get = Storage.get_file

    def counted(self: Storage, key: str, *rest: Any, **more: Any) -> Path:
        fetched.append(key)
        return get(self, key, *rest, **more)

    monkeypatch.setattr(Storage, "get_file", counted)
    made = backup.save(saved)
    assert len(fetched) == 1
    assert not gone.exists()
    assert made.already_gone == 1
    backup.verify(saved)


def test_what_is_deleted_while_it_copies_makes_it_look_at_the_database_again(
    reel: Reel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(reel, tmp_path)
    looks: list[int] = []
    dump = backup_rows.dump

    def then_taken_down(folder: Path) -> Any:
        found = dump(folder)
        if not looks:  # a take-down between the database and the objects: the row's state, then the file
            with transaction() as session:
                row = session.get_one(Image, "img_05")
                row.state, key = "removed", row.key
            reel.storage.delete(key)
        looks.append(1)
        return found

    monkeypatch.setattr(backup, "dump", then_taken_down)
    made = backup.save(tmp_path / "backup")
    assert len(looks) == 2
    rows = (tmp_path / "backup/tables/images.jsonl").read_text()
    assert rows.count('"removed"') == 1
    assert made.already_gone == 1


def test_a_damaged_backup_writes_nothing(saved: Path, reel: Reel, tmp_path: Path) -> None:
    empty = tmp_path / "empty.sqlite"
    here = reel.settings.database.url
    for name in ("objects/models", "tables"):
        damaged = tmp_path / f"damaged-{name.replace('/', '-')}"
        shutil.copytree(saved, damaged)
        file = next(
            path for path in sorted((damaged / name).rglob("*")) if path.is_file() and path.stat().st_size
        )
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        reel.configure(database__url=f"sqlite:///{empty}")
        try:
            with pytest.raises(Corrupt, match=file.name):
                backup.restore(damaged)
        finally:
            reel.configure(database__url=here)
        assert not empty.exists()
    (saved / backup.MANIFEST).unlink()
    with pytest.raises(NotFound, match="no whole backup"):
        backup.restore(saved)


def test_a_backup_of_a_newer_release_is_refused_and_one_of_an_older_schema_is_brought_up(
    saved: Path, reel: Reel, tmp_path: Path
) -> None:
    manifest = json.loads((saved / backup.MANIFEST).read_text())
    here = reel.settings.database.url
    # an earlier schema: columns that came later are not in it
    later = {"api_keys": {"limits"}, "key_changes": {"limits"}, "jobs": {"request_id", "traceparent"}}
    older = {**manifest, "revision": "0011"}
    for table in older["tables"]:
        if table["name"] not in later:
            continue
        path = saved / "tables" / f"{table['name']}.jsonl"
        kept = [place for place, name in enumerate(table["columns"]) if name not in later[table["name"]]]
        table["columns"] = [table["columns"][place] for place in kept]
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps([row[place] for place in kept]) + "\n" for row in rows))
        table["sha256"] = backup._hash(path)
    try:
        reel.configure(database__url=f"sqlite:///{tmp_path / 'older.sqlite'}")
        (saved / backup.MANIFEST).write_text(
            json.dumps({**manifest, "revision": "9999", "tables": older["tables"]})
        )
        with pytest.raises(Conflict, match="restore with a newer one"):
            backup.restore(saved)
        (saved / backup.MANIFEST).write_text(json.dumps(older))
        backup.restore(saved)
        with reading() as session:
            assert session.scalar(sa.select(sa.func.count()).select_from(Job)) == 5
            revision = session.scalar(sa.text("SELECT version_num FROM alembic_version"))
        assert revision == backup_rows.head()
    finally:
        reel.configure(database__url=here)


@pytest.fixture
def commands(reel_database: Reel, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """Run a command in this process; returns what it printed, or with ``fails`` what it complained of."""

    def run(command: Callable[..., None], *arguments: Path, fails: bool = False) -> str:
        if fails:
            with pytest.raises(SystemExit):
                command(*arguments)
            return capsys.readouterr().err
        command(*arguments)
        return capsys.readouterr().out

    yield run
    structlog.reset_defaults()


def test_a_data_folder_is_backed_up_whether_its_platform_runs_or_not_and_restored_as_another(
    commands: Callable[..., str], sqlite_url: str, tmp_path: Path
) -> None:
    data, copy, new = (tmp_path / name for name in ("platform", "backup", "new"))
    data.mkdir()
    shutil.copyfile(sqlite_url.removeprefix("sqlite:///"), data / "reelsight.sqlite")
    with Seaweed(data / "s3") as s3:  # as while `reel up` runs
        storage = Storage(s3.settings())
        storage.ensure_bucket()
        stored = storage.put_bytes("pictures", b"a picture", "image/png", ".png")
        assert json.loads(commands(backups.backup, copy, data))["objects"] == 1
    assert json.loads(commands(backups.backup, copy, data))["objects"] == 1  # and while it does not
    assert json.loads(commands(backups.restore, copy, new))["objects"] == 1
    assert "already" in commands(backups.restore, copy, new, fails=True)
    assert "no platform's data" in commands(backups.backup, copy, tmp_path / "nothing", fails=True)
    with Seaweed(new / "s3") as s3:
        assert Storage(s3.settings()).get_bytes(stored.key, max_bytes=100) == b"a picture"
