"""What each service may do in the bucket, asked of a real server, as the services' own users."""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import urllib3
from minio import Minio
from minio.error import S3Error
from pydantic import SecretStr

from reel_shared.bucket_rights import RIGHTS, policy, template, union
from reel_shared.contracts import QUEUES
from reel_shared.embedded import Seaweed
from reel_shared.object_storage import Storage
from reel_shared.s3 import connect
from reel_shared.settings import S3

ROOT = Path(__file__).resolve().parents[2]
PREFIXES = sorted({prefix.split("/")[0] for rights in RIGHTS.values() for part in rights for prefix in part})
pytestmark = pytest.mark.servers


def as_service(s3: Seaweed, bucket: str, service: str) -> S3:
    own = s3.access(service)
    return s3.settings(bucket).model_copy(
        update={"access_key": own["REEL_S3__ACCESS_KEY"], "secret_key": SecretStr(own["REEL_S3__SECRET_KEY"])}
    )


def allowed(action: Callable[[], object]) -> bool:
    try:
        action()
    except S3Error as error:
        if error.code != "AccessDenied":
            raise
        return False
    return True


@pytest.fixture
def filled(s3: Seaweed, bucket: str) -> Minio:
    """A bucket with an object under each prefix, and the admin's client."""
    admin = connect(s3.settings(bucket), s3.endpoint)
    for prefix in PREFIXES:
        for name in ("ab/first.bin", "ab/gone.bin", "ab/gone.html"):
            admin.put_object(bucket, f"{prefix}/{name}", io.BytesIO(b"x"), 1)
    return admin


@pytest.mark.parametrize("service", RIGHTS)
def test_a_service_may_do_what_its_rights_say_and_nothing_else(
    filled: Minio, s3: Seaweed, bucket: str, service: str
) -> None:
    client = connect(as_service(s3, bucket, service), s3.endpoint)
    rights = RIGHTS[service]
    found: dict[str, set[str]] = {"read": set(), "write": set(), "delete": set()}
    for prefix in PREFIXES:
        if allowed(lambda key=f"{prefix}/ab/first.bin": client.get_object(bucket, key)):
            found["read"].add(prefix)
        if allowed(lambda key=f"{prefix}/ab/new.bin": client.put_object(bucket, key, io.BytesIO(b"y"), 1)):
            found["write"].add(prefix)
        if allowed(lambda key=f"{prefix}/ab/gone.bin": client.remove_object(bucket, key)):
            found["delete"].add(prefix)
    assert found["read"] == {*rights.read, *rights.write}
    assert found["write"] == set(rights.write)
    assert found["delete"] == {prefix for prefix in rights.delete if "/" not in prefix}
    page = "models/ab/gone.html"
    assert allowed(lambda: client.remove_object(bucket, page)) is ("models/*.html" in rights.delete)
    assert not allowed(lambda: client.make_bucket("reel-test-another"))
    # what every process needs: to look whether the bucket and a key are there
    storage = Storage(as_service(s3, bucket, service), patience_seconds=2)
    storage.ready()
    assert not storage.exists(f"{[*rights.read, *rights.write][0]}/ab/nothing")
    assert list(storage.list("uploads/"))


def test_the_separations_that_matter() -> None:
    reads = {name: {*rights.read, *rights.write} for name, rights in RIGHTS.items()}
    assert "models" not in reads["ingest"] | reads["augment"]
    assert not {"frames", "pictures", "variants", "models"} & set(RIGHTS["inference"].write)
    assert [name for name, rights in RIGHTS.items() if "models" in rights.write] == ["trainer"]
    assert not RIGHTS["inference"].delete
    assert set(RIGHTS) == {*QUEUES, "web"}


def test_visitors_leavings_are_deleted_by_the_reaper_and_people_s_files_by_nobody(
    s3: Seaweed, bucket: str
) -> None:
    admin = connect(s3.settings(bucket), s3.endpoint)
    keys = ["uploads/visitors/ab/x.png", "explanations/visitors/ab/x.png", "uploads/ab/x.png"]
    for key in keys:
        admin.put_object(bucket, key, io.BytesIO(b"x"), 1)
    reaper = connect(as_service(s3, bucket, "web"), s3.endpoint)
    assert [allowed(lambda key=key: reaper.remove_object(bucket, key)) for key in keys] == [True, True, False]


def test_a_link_opens_what_its_maker_may_read(filled: Minio, s3: Seaweed, bucket: str) -> None:
    for service, key, status in (
        ("web", "models", 200),
        ("inference", "models", 200),
        ("ingest", "models", 403),
    ):
        link = Storage(as_service(s3, bucket, service)).presigned_url(f"{key}/ab/first.bin")
        assert urllib3.request("GET", link).status == status


def test_a_stream_of_parts_is_written_and_aborted(s3: Seaweed, bucket: str, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(bytes(17 * 2**20))  # more than a part
    storage = Storage(as_service(s3, bucket, "ingest"), patience_seconds=5)
    stored = storage.put_file("uploads", path, "video/mp4", ".mp4")
    assert storage.stat(stored.key).size == 17 * 2**20


@pytest.mark.parametrize("service", RIGHTS)
def test_a_service_stores_under_no_prefix_that_it_may_not_write(service: str) -> None:
    """By the prefixes in its code; that its jobs do with these rights is shown by `tests/chaos` and `tests/e2e`."""
    names = stored_under(ROOT / f"services/{service}/reel_{service}")
    found = {name.split("/")[0] for name in names if re.match(r"[a-z][a-z-]+(/|$)", name)}
    assert found <= set(RIGHTS[service].write)
    # of those it may write and does not name, the shared library stores what is uploaded
    assert set(RIGHTS[service].write) - found <= {"uploads"}


PUTS = {"put_bytes", "put_file", "put_stream", "put", "put_at", "put_all", "content_key", "_put", "Shelf"}


def stored_under(package: Path) -> set[str]:
    """The first arguments of everything that stores: literals, the beginnings of f-strings, constants of modules."""
    trees = [ast.parse(path.read_text()) for path in package.rglob("*.py")]
    constants = {
        target.id: node.value
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
            if name in PUTS:
                found |= beginnings(node.args[0], constants)
        elif isinstance(node, ast.FunctionDef) and node.name == "_key":
            found |= beginnings(node.body[-1].value, constants)  # type: ignore[attr-defined]
    return found


def beginnings(node: ast.expr, constants: dict[str, ast.expr]) -> set[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.JoinedStr):
        return beginnings(node.values[0], constants)
    if isinstance(node, ast.FormattedValue):
        return beginnings(node.value, constants)
    if isinstance(node, ast.Name) and node.id in constants:
        return beginnings(constants[node.id], constants)
    return set()


def test_deployments_are_given_these_policies() -> None:
    for name in ("compose/seaweedfs.json", "k8s/seaweedfs.json"):
        assert (ROOT / name).read_text() == template() + "\n", (
            f"write it anew: python -m reel_shared.bucket_rights > {name}"
        )
    made = json.loads(template())
    written = {one["name"]: json.loads(one["content"]) for one in made["policies"]}
    assert written == {f"reelsight-{name}": policy(rights, "@BUCKET@") for name, rights in RIGHTS.items()}


def test_the_union_may_what_any_may() -> None:
    both = union(["ingest", "augment"])
    assert set(both.write) == {*RIGHTS["ingest"].write, *RIGHTS["augment"].write}
    assert fnmatchcase("models/ab/x.html", next(key for key in both.delete if "*" in key))
