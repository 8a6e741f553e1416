"""The pods of k8s/overlays/local for real, each by its own spec, without a cluster: films to a served model.

`make pods-test` needs docker and the images of `docker compose build`; it renders the overlay with fresh secrets,
starts everything at once as `kubectl apply` does, and does what docs/deploy-kubernetes.md says for a served model.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "compose"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "deploy"))

from docker_pods import DockerPods
from journey import URL, ask, assert_same, check_names, commands, out, pictures, timed, train_as_written
from rendering import copy_of_k8s, first_key, render
from specs import Cluster

from reel_shared.client import Client


def rendered(folder: Path) -> tuple[Cluster, str]:
    """The objects of `local` from a copy with fresh secrets, and the first API key."""
    copy = copy_of_k8s(folder)
    cluster = Cluster.of(render(copy, "local"))
    return cluster, first_key(copy, "local")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the containers running at the end")
    chosen = parser.parse_args()
    check_names()
    with tempfile.TemporaryDirectory(prefix="reel-pods-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        cluster, key = rendered(folder)
        with DockerPods(cluster, folder, keep=chosen.keep) as pods, Client(URL, key, timeout=120) as client:
            with timed(f"{len(pods.pods)} pods from nothing to ready"):
                pods.up()
            out.print(f"started again until what they wait for was there: {pods.restarts or 'none'}")
            reel = {"REEL_URL": URL, "REEL_TOKEN": key}
            train_as_written(client, reel, folder, commands("deploy-kubernetes.md", "To a served model"))
            frames = pictures(client)
            answer = ask(client, frames)
            by_id = client.predict(frames[0], model=answer["model"])
            assert_same(by_id, answer)
            pods.check_probes()
            again = pods.restarted()
            assert not again, again
    out.print("pods: everything held")


if __name__ == "__main__":
    main()
