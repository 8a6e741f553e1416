"""docs/deploy-kubernetes.md on a cluster: its commands as they stand, films to a served model, and load meanwhile.

`make cluster-test` needs a cluster that the page's first lines have made (or another one with Traefik in its
namespace `kube-system`), the six images in it, and its context in kubectl. It installs `k8s/overlays/local`, and fails
when a request under load fails, an answer differs, or a flow is open that the policies do not name.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "compose"))

from installation import NAMESPACE, Installation, install
from journey import ask, commands, out, pictures, timed, train_as_written
from load import Load

from reel_shared.client import Client

CALLERS = 4
STATE = ("postgres:5432", "redis:6379", "s3:9000")


def under_load(cluster: Installation, url: str, key: str, frames: list[bytes]) -> None:
    """Pods are added by the HPA, taken away, replaced one by one, and upgraded: no request may fail."""
    with Load(url, key, frames, callers=CALLERS) as load:
        load.phase("as many pods as there are", 10)
        load.phase("until the HPA has added pods")
        cluster.until_more_pods("inference-api")
        load.phase("with them", 10)
        load.phase("one of them deleted")
        cluster.kubectl("delete", "pod", cluster.pods("inference-api")[0])
        cluster.rolled_out("inference-api")
        load.phase("all replaced, one by one")
        cluster.kubectl("rollout", "restart", "deployment/inference-api")
        cluster.rolled_out("inference-api")
        load.phase("all of the platform upgraded, by the page")
        cluster.change("REEL_LOG_LEVEL=WARNING")
        cluster.written("Upgrade, and back")
        cluster.rolled_out(*cluster.deployments())
        load.phase("afterwards", 5)
    for phase in load.phases[1:]:
        out.print(phase.row())
    failed = {phase.name: dict(phase.failed) for phase in load.phases if phase.failed}
    assert not failed, failed


def check_flows(cluster: Installation) -> None:
    """What pods may reach, asked from within: the state, and nothing that no policy names."""
    outside = ("1.1.1.1:443", "kubernetes.default.svc:443")
    for deployment in ("web-api", "explainer-worker"):
        assert cluster.reaches(deployment, STATE) == set(STATE), deployment
        assert cluster.reaches(deployment, ("inference-api:80", *outside)) == set(), deployment
    strangers = [target.replace(":", f".{NAMESPACE}:") for target in (*STATE, "web-api:80")]
    assert cluster.stranger_reaches(strangers) == set()
    out.print("flows: what the policies name is open, and nothing else that was tried")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--url", default="http://reelsight.localhost:8080", help="where the cluster's edge answers"
    )
    parser.add_argument("--keep", action="store_true", help="leave the namespace at the end")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reel-cluster-") as name, install(keep=chosen.keep) as cluster:
        folder = Path(name)
        with Client(chosen.url, cluster.key, timeout=120) as client:
            reel = {"REEL_URL": chosen.url, "REEL_TOKEN": cluster.key}
            train_as_written(client, reel, folder, commands("deploy-kubernetes.md", "To a served model"))
            with timed("inference-api ready, with the model that is served now"):
                cluster.rolled_out("inference-api")
            frames = pictures(client)
            before = ask(client, frames)
            check_flows(cluster)
            under_load(cluster, chosen.url, cluster.key, frames)
            assert client.predict(frames[0])["predictions"] == before["predictions"]
            assert client.predict(frames[0], model=before["model"])["predictions"] == before["predictions"]
            restarted = cluster.restarted()
            assert not restarted, restarted
    out.print("cluster: everything held")


if __name__ == "__main__":
    main()
