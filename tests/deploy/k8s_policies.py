"""What every rendered object has to hold. A policy takes an overlay's objects and tells what is wrong, if anything."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator

from k8s_objects import Object, Pods, label, of_kind, pods, references, selects

Policy = Callable[[list[Object]], Iterator[str]]
POLICIES: dict[str, Policy] = {}
BROUGHT = {"reelsight-tls"}
"""Secrets that the operator of a cluster brings, as docs/deploy-kubernetes.md says."""
WRITABLE = {"emptyDir", "persistentVolumeClaim"}


def policy(check: Policy) -> Policy:
    POLICIES[check.__name__] = check
    return check


@policy
def containers_are_bounded(objects: list[Object]) -> Iterator[str]:
    for made in pods(objects):
        for container in made.every_container:
            for side in ("requests", "limits"):
                for what in ("cpu", "memory"):
                    if what not in container.get("resources", {}).get(side, {}):
                        yield f"{made.owner}/{container['name']}: no {side} of {what}"
        for volume in made.spec.get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
                yield f"{made.owner}: volume {volume['name']} may fill the node's disk"


@policy
def containers_are_restricted(objects: list[Object]) -> Iterator[str]:
    """The Pod Security Standard `restricted`, and a root file system that nobody writes to."""
    for made in pods(objects):
        pod = made.spec.get("securityContext", {})
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if made.spec.get(field):
                yield f"{made.owner}: {field}"
        for volume in made.spec.get("volumes", []):
            kind = next(key for key in volume if key != "name")
            if kind not in {*WRITABLE, "secret", "configMap", "projected", "downwardAPI", "csi", "ephemeral"}:
                yield f"{made.owner}: volume of kind {kind}"
        for container in made.every_container:
            where = f"{made.owner}/{container['name']}"
            mine = container.get("securityContext", {})
            both = {**pod, **mine}
            if both.get("runAsNonRoot") is not True or not both.get("runAsUser"):
                yield f"{where}: may run as root"
            if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
                yield f"{where}: no seccomp profile"
            if mine.get("readOnlyRootFilesystem") is not True:
                yield f"{where}: root file system can be written"
            if mine.get("allowPrivilegeEscalation") is not False or mine.get("privileged"):
                yield f"{where}: may gain privileges"
            if mine.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{where}: keeps capabilities"
            if any("hostPort" in port for port in container.get("ports", [])):
                yield f"{where}: takes a port of the node"
    for item in of_kind(objects, "Namespace"):
        if item["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{label(item)}: does not enforce the standard `restricted`"


@policy
def pods_have_no_token(objects: list[Object]) -> Iterator[str]:
    accounts = {
        item["metadata"]["name"]: item.get("automountServiceAccountToken")
        for item in of_kind(objects, "ServiceAccount")
    }
    for made in pods(objects):
        if made.spec.get("automountServiceAccountToken") is not False:
            yield f"{made.owner}: gets a token for the Kubernetes API"
        if accounts.get(made.spec.get("serviceAccountName")) is not False:
            yield f"{made.owner}: its service account is not one of ours without a token"


@policy
def containers_are_probed(objects: list[Object]) -> Iterator[str]:
    for made in pods(objects):
        for container in made.containers if made.kind != "Job" else []:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                if probe not in container:
                    yield f"{made.owner}/{container['name']}: no {probe}"
                    continue
                port = container[probe].get("httpGet", container[probe].get("tcpSocket", {})).get("port")
                if port is not None and port not in made.ports():
                    yield f"{made.owner}/{container['name']}: {probe} asks the port {port}, which it has not"
            if made.kind == "Deployment":
                path = container.get("readinessProbe", {}).get("httpGet", {}).get("path")
                if path != "/readyz":
                    yield f"{made.owner}/{container['name']}: ready without asking what it needs ({path})"


@policy
def images_are_pinned(objects: list[Object]) -> Iterator[str]:
    for made in pods(objects):
        for container in made.every_container:
            image = container["image"]
            tag = image.rpartition("/")[2].partition(":")[2]
            if "@sha256:" not in image and (not re.match(r"v?\d+\.\d+", tag) or "latest" in tag):
                yield f"{made.owner}/{container['name']}: the image {image} names no release"


@policy
def one_scaler_for_a_workload(objects: list[Object]) -> Iterator[str]:
    workloads = {item["metadata"]["name"]: item for item in of_kind(objects, "Deployment", "StatefulSet")}
    targets = [
        (label(item), item["spec"]["scaleTargetRef"]["name"])
        for item in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
    ]
    for name, times in Counter(target for _, target in targets).items():
        if times > 1:
            yield f"{name}: scaled by {times} at once"
    for scaler, target in targets:
        if target not in workloads:
            yield f"{scaler}: there is no {target}"
        elif "replicas" in workloads[target]["spec"]:
            yield f"{target}: each release would set back what {scaler} chose"
        if target == "trainer-worker":
            yield f"{scaler}: would stop trainings when the number falls"
    for name, item in workloads.items():
        if "replicas" not in item["spec"] and name not in {target for _, target in targets}:
            yield f"{name}: nobody says how many"


@policy
def services_and_budgets_select_pods(objects: list[Object]) -> Iterator[str]:
    made = list(pods(objects))
    for item in of_kind(objects, "Service"):
        found = [some for some in made if selects({"matchLabels": item["spec"]["selector"]}, some.labels)]
        if len(found) != 1:
            yield f"{label(item)}: selects the pods of {[some.owner for some in found]}"
        for port in item["spec"]["ports"]:
            if any(port["targetPort"] not in some.ports() for some in found):
                yield f"{label(item)}: its pods have no port {port['targetPort']}"
    for item in of_kind(objects, "PodDisruptionBudget"):
        found = [some for some in made if selects(item["spec"]["selector"], some.labels)]
        if len(found) != 1:
            yield f"{label(item)}: selects the pods of {[some.owner for some in found]}"
    for some in made:
        budgets = [
            item
            for item in of_kind(objects, "PodDisruptionBudget")
            if selects(item["spec"]["selector"], some.labels)
        ]
        if some.kind == "Deployment" and len(budgets) != 1:
            yield f"{some.owner}: {len(budgets)} disruption budgets"
        if some.kind in ("Deployment", "StatefulSet") and not selects(
            some.workload["spec"]["selector"], some.labels
        ):
            yield f"{some.owner}: does not select its own pods"


@policy
def references_exist(objects: list[Object]) -> Iterator[str]:
    data = {
        (item["kind"], item["metadata"]["name"]): set(item.get("data", {}))
        for item in of_kind(objects, "ConfigMap", "Secret")
    }
    for made in pods(objects):
        for container in made.every_container:
            for kind, name, key in references(container):
                if (kind, name) not in data:
                    yield f"{made.owner}/{container['name']}: there is no {kind} {name}"
                elif key and key not in data[kind, name]:
                    yield f"{made.owner}/{container['name']}: {kind} {name} has no {key}"
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in made.volume_names():
                    yield f"{made.owner}/{container['name']}: there is no volume {mount['name']}"
        for volume in made.spec.get("volumes", []):
            name = volume.get("secret", {}).get("secretName")
            if name and ("Secret", name) not in data:
                yield f"{made.owner}: there is no Secret {name}"
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and claim not in {
                item["metadata"]["name"] for item in of_kind(objects, "PersistentVolumeClaim")
            }:
                yield f"{made.owner}: there is no claim {claim}"
    runtimes = {item["metadata"]["name"] for item in of_kind(objects, "TrainingRuntime")}
    for item in of_kind(objects, "TrainJob"):
        if item["spec"]["runtimeRef"]["name"] not in runtimes:
            yield f"{label(item)}: there is no runtime {item['spec']['runtimeRef']['name']}"
    for item in of_kind(objects, "Ingress"):
        for entry in item["spec"].get("tls", []):
            if entry["secretName"] not in BROUGHT:
                yield f"{label(item)}: there is no Secret {entry['secretName']}"
    triggers = {item["metadata"]["name"]: item for item in of_kind(objects, "TriggerAuthentication")}
    for item in triggers.values():
        for ref in item["spec"]["secretTargetRef"]:
            if ref["key"] not in data.get(("Secret", ref["name"]), ()):
                yield f"{label(item)}: there is no {ref['key']} in a Secret {ref['name']}"
    for item in of_kind(objects, "ScaledObject"):
        for trigger in item["spec"]["triggers"]:
            if trigger["authenticationRef"]["name"] not in triggers:
                yield f"{label(item)}: its trigger's authentication does not exist"


@policy
def backends_exist(objects: list[Object]) -> Iterator[str]:
    services = {
        item["metadata"]["name"]: {port["name"] for port in item["spec"]["ports"]}
        for item in of_kind(objects, "Service")
    }
    for item in of_kind(objects, "Ingress"):
        for rule in item["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                if service["port"]["name"] not in services.get(service["name"], ()):
                    yield f"{label(item)}: {path['path']} leads to {service['name']}, which is not there"


@policy
def network_is_shut_but_for_named_flows(objects: list[Object]) -> Iterator[str]:
    made = list(pods(objects))
    rules = of_kind(objects, "NetworkPolicy")
    if not any(
        item["spec"]["podSelector"] == {}
        and sorted(item["spec"]["policyTypes"]) == ["Egress", "Ingress"]
        and "ingress" not in item["spec"]
        and "egress" not in item["spec"]
        for item in rules
    ):
        yield "no policy denies what is not named"
    for item in rules:
        chosen = [some for some in made if selects(item["spec"]["podSelector"], some.labels)]
        if not chosen:
            yield f"{label(item)}: its pods do not exist"
        for way, peers in (("ingress", "from"), ("egress", "to")):
            for flow in item["spec"].get(way, []):
                if not flow.get(peers) or not flow.get("ports"):
                    yield f"{label(item)}: {way} from or to anybody, or on any port"
                yield from _peers(item, flow, peers, chosen, made)


def _peers(item: Object, flow: Object, peers: str, chosen: list[Pods], made: list[Pods]) -> Iterator[str]:
    for peer in flow.get(peers, []):
        inside = "podSelector" in peer and "namespaceSelector" not in peer
        found = [some for some in made if inside and selects(peer["podSelector"], some.labels)]
        if inside and not found:
            yield f"{label(item)}: {peer['podSelector']} are no pods of ours"
        receivers = chosen if peers == "from" else found
        for port in flow.get("ports", []):
            for some in receivers:
                if "endPort" in port:  # as gloo and NCCL take any
                    if some.kind != "TrainingRuntime":
                        yield f"{label(item)}: {some.owner} is reached at a range of ports"
                elif port["port"] not in some.ports():
                    yield f"{label(item)}: {some.owner} has no port {port['port']}"


@policy
def rolling_updates_keep_serving(objects: list[Object]) -> Iterator[str]:
    for made in pods(objects):
        if made.labels.get("app.kubernetes.io/component") != "api":
            continue
        strategy = made.workload["spec"].get("strategy", {}).get("rollingUpdate", {})
        if strategy.get("maxUnavailable") != 0 or not strategy.get("maxSurge"):
            yield f"{made.owner}: a pod leaves before the next one is ready"
        sleep = made.containers[0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if sleep < 5:
            yield f"{made.owner}: stops before the edge has heard of it"
        if made.spec.get("terminationGracePeriodSeconds", 30) < sleep + 15:
            yield f"{made.owner}: requests in flight are cut off"


@policy
def pods_spread(objects: list[Object]) -> Iterator[str]:
    for made in pods(objects):
        if made.kind == "Deployment" and not any(
            rule["topologyKey"] == "kubernetes.io/hostname" and selects(rule["labelSelector"], made.labels)
            for rule in made.spec.get("topologySpreadConstraints", [])
        ):
            yield f"{made.owner}: all its pods may be on one node"
