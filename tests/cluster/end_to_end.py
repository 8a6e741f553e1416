"""docs/deploy-kubernetes.md on a cluster: its commands as they stand, films to a served model, and load meanwhile.

`make cluster-test` needs a cluster that the page's first lines have made (or another one with metrics-server, and with
Traefik in its namespace `kube-system`), the six images in it, its context in kubectl, and the page's line in
/etc/hosts. It installs `k8s/overlays/local`, and fails when a request under load fails or is answered otherwise than
before, or one of the flows that it tries is open although no policy names it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "compose"))

from installation import NAMESPACE, Installation, install
from journey import URL, ask, assert_same, check_names, commands, out, pictures, train_as_written
from load import Load

from reel_shared.client import Client

CALLERS = 4
STATE = ("postgres:5432", "redis:6379", "s3:9000")
CLUSTER = "kubernetes.default.svc:443"


def under_load(cluster: Installation, frames: list[bytes]) -> None:
    """Pods are added by the HPA, taken away, replaced one by one, and upgraded: no request may fail."""
    with Load(URL, cluster.key, frames, callers=CALLERS) as load:
        before = len(cluster.ready_pods("inference-api"))
        load.phase(f"pods of inference-api: {before}")
        cluster.until_more_pods("inference-api", than=before)
        load.phase("more, added by the HPA", 10)
        load.phase("one of them deleted")
        cluster.kubectl("delete", "pod", cluster.ready_pods("inference-api")[0])
        cluster.rolled_out("inference-api")
        load.phase("all replaced, one by one")
        cluster.kubectl("rollout", "restart", "deployment/inference-api")
        cluster.rolled_out("inference-api")
        cluster.check_never_restarted()
        load.phase("all of the platform upgraded, by the page")
        cluster.change("REEL_LOG_LEVEL=WARNING")
        cluster.written("Upgrade, and back")
        cluster.rolled_out(*cluster.deployments())
        load.phase("afterwards", 5)
    for phase in load.phases[1:]:
        out.print(phase.row())
    assert all(phase.answers for phase in load.phases[1:])
    failed = {phase.name: dict(phase.failed) for phase in load.phases if phase.failed}
    assert not failed, failed


def check_flows(cluster: Installation) -> None:
    """Pods reach their state, and no other service's API nor the cluster's; a stranger reaches only the latter."""
    for deployment in ("web-api", "explainer-worker"):
        assert cluster.reaches(deployment, STATE) == set(STATE), deployment
        assert cluster.reaches(deployment, ("inference-api:80", CLUSTER)) == set(), deployment
    ours = [target.replace(":", f".{NAMESPACE}:") for target in (*STATE, "web-api:80")]
    assert cluster.stranger_reaches([*ours, CLUSTER]) == {CLUSTER}
    out.print("flows: open to the state, shut between services, to the cluster's API and for strangers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the namespace at the end")
    chosen = parser.parse_args()
    check_names()
    with (
        tempfile.TemporaryDirectory(prefix="reel-cluster-") as name,
        install(keep=chosen.keep) as cluster,
        Client(URL, cluster.key, timeout=120) as client,
    ):
        reel = {"REEL_URL": URL, "REEL_TOKEN": cluster.key}
        train_as_written(client, reel, Path(name), commands("deploy-kubernetes.md", "To a served model"))
        frames = pictures(client)
        before = ask(client, frames)
        check_flows(cluster)
        under_load(cluster, frames)
        assert_same(client.predict(frames[0]), before)
        assert_same(client.predict(frames[0], model=before["model"]), before)
        cluster.check_never_restarted()
    out.print("cluster: everything held")


if __name__ == "__main__":
    main()
