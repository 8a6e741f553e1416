"""Each overlay of k8s/: rendered, valid for two releases of Kubernetes, and true to our policies."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from k8s_objects import OVERLAYS, Object, label, of_kind, pods
from k8s_policies import POLICIES
from pydantic import BaseModel

from reel_shared.bucket_rights import RIGHTS
from reel_shared.contracts import QUEUES
from reel_shared.settings import Settings

ENTRYPOINT = Path(__file__).resolve().parents[2] / "services/entrypoint.sh"
VERSIONS = ("1.33", "1.37")
"""The oldest that the manifests are meant for, and the newest with a published schema."""
WITHOUT_SCHEMA = {"ScaledObject", "TriggerAuthentication", "TrainingRuntime", "TrainJob"}
"""Kinds of KEDA's and Kubeflow Trainer's own; the policies look at what they refer to, and at the pods."""
Rendered = dict[str, list[Object]]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(version: str, rendered: Rendered) -> None:
    distinct = {json.dumps(item, sort_keys=True): item for objects in rendered.values() for item in objects}
    assert len(distinct) > 60
    for item in distinct.values():
        if item["kind"] not in WITHOUT_SCHEMA:
            kubernetes_validate.validate(item, version, strict=True)


def test_a_misspelt_field_is_not_valid(rendered: Rendered) -> None:
    broken = copy.deepcopy(of_kind(rendered["cpu"], "Deployment")[0])
    broken["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_policy(overlay: str, name: str, rendered: Rendered) -> None:
    assert list(POLICIES[name](rendered[overlay])) == []


def settings_of(model: type[BaseModel], *path: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            yield from settings_of(type(default), *path, name)
        else:
            yield "REEL_" + "__".join((*path, name)).upper()


def container(objects: list[Object], owner: str = "Deployment ingest-api") -> Object:
    return next(made for made in pods(objects) if made.owner == owner).containers[0]


def named(objects: list[Object], wanted: str) -> Object:
    return next(item for item in objects if label(item) == wanted)


def path_of(objects: list[Object], index: int = 0) -> Object:
    return named(objects, "Ingress reelsight")["spec"]["rules"][0]["http"]["paths"][index]


# What is broken, the policy that has to see it, and a word of what it must say.
FAULTS: list[tuple[str, str, Callable[[list[Object]], Any]]] = [
    (
        "containers_are_bounded",
        "limits of memory",
        lambda o: container(o)["resources"]["limits"].pop("memory"),
    ),
    (
        "containers_are_bounded",
        "node's disk",
        lambda o: next(pods(o)).spec["volumes"][0]["emptyDir"].pop("sizeLimit"),
    ),
    (
        "containers_are_restricted",
        "can be written",
        lambda o: container(o)["securityContext"].update(readOnlyRootFilesystem=False),
    ),
    (
        "containers_are_restricted",
        "capabilities",
        lambda o: container(o)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
    ),
    (
        "containers_are_restricted",
        "gain privileges",
        lambda o: container(o)["securityContext"].pop("allowPrivilegeEscalation"),
    ),
    (
        "containers_are_restricted",
        "as root",
        lambda o: container(o)["securityContext"].update(runAsUser=0),
    ),
    (
        "containers_are_restricted",
        "seccomp",
        lambda o: next(pods(o)).spec["securityContext"].pop("seccompProfile"),
    ),
    (
        "containers_are_restricted",
        "hostPath",
        lambda o: next(pods(o)).spec["volumes"].append({"name": "node", "hostPath": {"path": "/"}}),
    ),
    (
        "containers_are_restricted",
        "enforce",
        lambda o: of_kind(o, "Namespace")[0]["metadata"]["labels"].clear(),
    ),
    ("pods_have_no_token", "token", lambda o: next(pods(o)).spec.pop("automountServiceAccountToken")),
    ("containers_are_probed", "no livenessProbe", lambda o: container(o).pop("livenessProbe")),
    (
        "containers_are_probed",
        "without asking",
        lambda o: container(o)["readinessProbe"]["httpGet"].update(path="/healthz"),
    ),
    (
        "containers_are_probed",
        "which it has not",
        lambda o: container(o)["startupProbe"]["httpGet"].update(port="htpp"),
    ),
    ("images_are_pinned", "no release", lambda o: container(o).update(image="reelsight-ingest:latest")),
    (
        "images_are_pinned",
        "no release",
        lambda o: container(o).update(image="registry:5000/reelsight-ingest"),
    ),
    (
        "one_scaler_for_a_workload",
        "2 at once",
        lambda o: named(o, "HorizontalPodAutoscaler inference-api")["spec"]["scaleTargetRef"].update(
            name="ingest-worker"
        ),
    ),
    (
        "one_scaler_for_a_workload",
        "set back",
        lambda o: named(o, "Deployment ingest-worker")["spec"].update(replicas=2),
    ),
    (
        "one_scaler_for_a_workload",
        "stop trainings",
        lambda o: named(o, "ScaledObject ingest-worker")["spec"]["scaleTargetRef"].update(
            name="trainer-worker"
        ),
    ),
    (
        "services_and_budgets_select_pods",
        "selects the pods of []",
        lambda o: named(o, "Service web-api")["spec"]["selector"].update({"app.kubernetes.io/name": "webb"}),
    ),
    (
        "services_and_budgets_select_pods",
        "0 disruption budgets",
        lambda o: o.remove(named(o, "PodDisruptionBudget reaper")),
    ),
    (
        "references_exist",
        "there is no Secret",
        lambda o: [o.remove(item) for item in of_kind(o, "Secret") if "web" in item["metadata"]["name"]],
    ),
    (
        "references_exist",
        "has no REEL_WEB__SECRT",
        lambda o: container(o)["env"][1]["valueFrom"]["secretKeyRef"].update(key="REEL_WEB__SECRT"),
    ),
    (
        "references_exist",
        "no DATABASE_URL",
        lambda o: of_kind(o, "TriggerAuthentication")[0]["spec"]["secretTargetRef"][0].update(name="other"),
    ),
    ("backends_exist", "not there", lambda o: path_of(o)["backend"]["service"].update(name="ingest")),
    (
        "network_is_shut_but_for_named_flows",
        "denies",
        lambda o: o.remove(named(o, "NetworkPolicy default-deny")),
    ),
    (
        "network_is_shut_but_for_named_flows",
        "do not exist",
        lambda o: named(o, "NetworkPolicy ingest-to-web")["spec"]["podSelector"]["matchLabels"].update(
            {"app.kubernetes.io/component": "fetcher"}
        ),
    ),
    (
        "network_is_shut_but_for_named_flows",
        "no port 9999",
        lambda o: named(o, "NetworkPolicy edge-to-apis")["spec"]["ingress"][0]["ports"][0].update(port=9999),
    ),
    (
        "network_is_shut_but_for_named_flows",
        "anybody",
        lambda o: named(o, "NetworkPolicy edge-to-apis")["spec"]["ingress"][0].pop("from"),
    ),
    (
        "rolling_updates_keep_serving",
        "leaves before",
        lambda o: named(o, "Deployment web-api")["spec"]["strategy"]["rollingUpdate"].update(
            maxUnavailable=1
        ),
    ),
    ("rolling_updates_keep_serving", "stops before", lambda o: container(o).pop("lifecycle")),
    ("pods_spread", "one node", lambda o: next(pods(o)).spec.pop("topologySpreadConstraints")),
]


@pytest.mark.parametrize(
    ("name", "words", "damage"), FAULTS, ids=[f"{name}-{words}" for name, words, _ in FAULTS]
)
def test_a_broken_object_is_seen(
    name: str, words: str, damage: Callable[[list[Object]], Any], rendered: Rendered
) -> None:
    objects = copy.deepcopy(rendered["keda"])
    damage(objects)
    assert words in " ".join(POLICIES[name](objects))


def test_every_policy_can_fail() -> None:
    assert {name for name, _, _ in FAULTS} == set(POLICIES)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_process_of_the_platform_has_its_pods(overlay: str, rendered: Rendered) -> None:
    wanted = {f"{queue}-{process}" for queue in QUEUES for process in ("api", "worker")}
    wanted |= {"web-api", "reaper", "migrate"}
    if overlay == "nodes":
        wanted = wanted - {"trainer-worker"} | {"trainer-nodes"}
    found = {made.workload["metadata"]["name"]: made for made in pods(rendered[overlay])}
    state = {name for name, made in found.items() if made.kind == "StatefulSet"}
    assert set(found) - state == wanted
    assert state == ({"postgres", "redis", "s3"} if overlay == "local" else set())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_setting_exists(overlay: str, rendered: Rendered) -> None:
    known = set(settings_of(Settings))
    for item in of_kind(rendered[overlay], "ConfigMap", "Secret"):
        named = {key for key in item["data"] if key.startswith("REEL_")}
        assert named <= known, label(item)
    for made in pods(rendered[overlay]):
        for one in made.every_container:
            assert {
                entry["name"] for entry in one.get("env", []) if entry["name"].startswith("REEL_")
            } <= known


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_worker_has_time_to_give_its_job_back(overlay: str, rendered: Rendered) -> None:
    shared = next(item for item in of_kind(rendered[overlay], "ConfigMap"))["data"]
    for made in pods(rendered[overlay]):
        if made.labels.get("app.kubernetes.io/component") == "worker":
            own = {entry["name"]: entry.get("value") for entry in made.containers[0].get("env", [])}
            drain = float({**shared, **own}["REEL_JOBS__DRAIN_SECONDS"])
            assert made.spec["terminationGracePeriodSeconds"] >= drain + 45, made.owner


def test_an_upgrade_of_the_trial_fits_on_two_cores_and_8_gib(rendered: Rendered) -> None:
    """What asks for more than there is waits, and with it the upgrade; the cluster's own pods need a share too.

    For memory what the HPA adds may wait, and APIs replace one another in turn.
    """
    most = {
        item["spec"]["scaleTargetRef"]["name"]: item["spec"]["maxReplicas"]
        for item in of_kind(rendered["local"], "HorizontalPodAutoscaler")
    }
    cores = memory = largest_further = 0.0
    for made in pods(rendered["local"]):
        asked = made.requests()
        workload = made.workload["spec"]
        replaced_before_it_ends = (
            made.kind == "Deployment" and workload.get("strategy", {}).get("type") != "Recreate"
        )
        count = most.get(made.workload["metadata"]["name"], workload.get("replicas", 1))
        cores += asked["cpu"] * (count + replaced_before_it_ends)
        memory += asked["memory"]
        largest_further = max(largest_further, asked["memory"] * replaced_before_it_ends)
    assert cores <= 2 - 0.3
    assert (memory + largest_further) / 2**30 <= 8 - 0.5


def test_a_changed_setting_changes_the_pods(rendered: Rendered) -> None:
    names = {item["metadata"]["name"] for item in of_kind(rendered["cpu"], "ConfigMap", "Secret")}
    assert len(names) == 9
    assert all(name.rpartition("-")[2].isalnum() and len(name.rpartition("-")[2]) == 10 for name in names)


def test_the_gpu_overlay_keeps_the_trainer_on_gpu_nodes(rendered: Rendered) -> None:
    for overlay, wanted in (("gpu", True), ("cpu", False)):
        for made in pods(rendered[overlay]):
            asked = made.containers[0]["resources"]["limits"].get("nvidia.com/gpu") == 1
            assert asked == (wanted and made.owner == "Deployment trainer-worker")
    trainer = next(made for made in pods(rendered["gpu"]) if made.owner == "Deployment trainer-worker")
    assert {entry["key"] for entry in trainer.spec["tolerations"]} == {"nvidia.com/gpu"}
    assert "nvidia.com/gpu.present" in str(trainer.spec["affinity"]["nodeAffinity"])
    assert trainer.workload["spec"]["strategy"] == {"type": "Recreate"}
    assert trainer.spec["terminationGracePeriodSeconds"] >= 600
    assert "/dev/shm" in {mount["mountPath"] for mount in trainer.containers[0]["volumeMounts"]}


def test_nodes_of_a_training_are_what_the_operator_makes_of_a_runtime(rendered: Rendered) -> None:
    """What Kubeflow Trainer v2 needs to know a runtime's nodes by, and what the nodes need to train together."""
    objects = rendered["nodes"]
    (runtime,), (job,) = of_kind(objects, "TrainingRuntime"), of_kind(objects, "TrainJob")
    assert {item["apiVersion"] for item in (runtime, job)} == {"trainer.kubeflow.org/v1alpha1"}
    assert job["spec"]["runtimeRef"] == {
        "apiGroup": "trainer.kubeflow.org", "kind": "TrainingRuntime", "name": "trainer-nodes"
    }  # fmt: skip
    # without `trainer` the operator adds none of torchrun's variables
    assert job["spec"]["trainer"] == {"numNodes": 2}
    assert runtime["spec"]["mlPolicy"] == {"numNodes": 2, "torch": {}}
    (replicated,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    assert replicated["template"]["metadata"]["labels"] == {
        "trainer.kubeflow.org/trainjob-ancestor-step": "trainer"
    }
    (node,) = [made for made in pods(objects) if made.kind == "TrainingRuntime"]
    (container_of_node,) = node.containers
    assert (replicated["name"], container_of_node["name"]) == ("node", "node")
    assert container_of_node["command"] == ["entrypoint", "node"]
    assert "node) clean && exec python3 -m reel_trainer.nodes ;;" in ENTRYPOINT.read_text()
    (claim,) = of_kind(objects, "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container_of_node["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in node.spec["volumes"]}
    assert volumes[mounts["/data"]]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    spread = node.spec["topologySpreadConstraints"][0]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "DoNotSchedule")
    plain = next(made for made in pods(rendered["gpu"]) if made.owner == "Deployment trainer-worker")
    for key in (
        "securityContext",
        "automountServiceAccountToken",
        "serviceAccountName",
        "terminationGracePeriodSeconds",
    ):
        assert node.spec[key] == plain.spec[key], "as the worker that it takes the place of"
    for key in (
        "resources",
        "envFrom",
        "securityContext",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "image",
    ):
        assert container_of_node[key] == plain.containers[0][key], key
    assert node.spec["initContainers"] == plain.spec["initContainers"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_service_is_a_user_of_its_own_at_the_storage(rendered: Rendered, overlay: str) -> None:
    seen = set()
    for item in of_kind(rendered[overlay], "Deployment"):
        service = item["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        last = item["spec"]["template"]["spec"]["containers"][0]["envFrom"][-1]["secretRef"]["name"]
        assert last.startswith(f"reelsight-s3-{service}-"), item["metadata"]["name"]
        seen.add(service)
    assert seen == set(RIGHTS)
