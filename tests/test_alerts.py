"""Alert rules and dashboards before Prometheus itself, where it is installed (Debian: ``apt install prometheus``).

That they ask for metrics that there are is tested everywhere, in ``test_compose``.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml

from reel_shared.testing.stack import Reel
from reel_shared.web.app import create_app
from reel_web.api import router

ROOT = Path(__file__).resolve().parent.parent
PROMETHEUS = ROOT / "compose/prometheus"
needs = {
    name: pytest.mark.skipif(
        shutil.which(name) is None, reason=f"{name} is not installed; Debian's package is prometheus"
    )
    for name in ("promtool", "prometheus")
}


def expressions() -> list[str]:
    boards = [json.loads(path.read_text()) for path in (ROOT / "compose/grafana/dashboards").glob("*.json")]
    rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return [
        target["expr"] for board in boards for panel in board["panels"] for target in panel["targets"]
    ] + [rule["expr"] for group in rules for rule in group["rules"]]


def test_each_alert_has_a_case_in_which_it_fires() -> None:
    rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    cases = yaml.safe_load((PROMETHEUS / "alerts.test.yml").read_text())["tests"]
    fires = {
        check["alertname"] for case in cases for check in case["alert_rule_test"] if check.get("exp_alerts")
    }
    assert fires == {rule["alert"] for group in rules for rule in group["rules"]}


@needs["promtool"]
def test_alerts_fire_when_they_should_and_not_otherwise() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts.test.yml"],
        cwd=PROMETHEUS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def metrics_address(reel_database: Reel) -> Iterator[str]:
    """Every metric there is, as a service of ours serves it."""
    config = uvicorn.Config(create_app("web", [router]), port=0, log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def scraping(address: str) -> dict[str, Any]:
    """Return compose's configuration, in which every name leads to one address."""
    config: dict[str, Any] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(PROMETHEUS / "alerts.yml")]
    for job in config["scrape_configs"]:
        names = [name for each in job.pop("dns_sd_configs") for name in each["names"]]
        del job["relabel_configs"]  # of what DNS told
        job["static_configs"] = [{"targets": [address], "labels": {"service": name}} for name in names]
    return config


@needs["prometheus"]
def test_every_question_to_prometheus_is_answered(metrics_address: str, tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(scraping(metrics_address)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path / "log").open("w")
    server = subprocess.Popen(
        ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
         f"--web.listen-address=127.0.0.1:{port}"],
        stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", trust_env=False) as client:

            def ask(expression: str) -> list[Any]:
                answer = client.get("/query", params={"query": expression}).json()
                assert answer["status"] == "success", f"{expression}: {answer}"
                found: list[Any] = answer["data"]["result"]
                return found

            names = {
                job["labels"]["service"]
                for each in scraping("")["scrape_configs"]
                for job in each["static_configs"]
            }
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                try:
                    if {row["metric"]["service"] for row in ask("up == 1")} == names:
                        break
                except (httpx.TransportError, ValueError):
                    pass  # it starts
                time.sleep(0.2)
            assert {row["metric"]["service"] for row in ask("up == 1")} == names, (
                tmp_path / "log"
            ).read_text()
            for expression in expressions():
                ask(expression)
            groups = client.get("/rules").json()["data"]["groups"]
            assert [
                rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")
            ] == []
            assert ask('ALERTS{alertname="ServiceAway"}') == []
    finally:
        server.terminate()
        server.wait(20)
        log.close()
