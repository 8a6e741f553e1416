"""Reading rendered Kubernetes objects: pods and their containers, labels and selectors, names that are referred to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
OVERLAYS = ("cpu", "gpu", "keda", "local", "nodes")
POD_MAKERS = ("Deployment", "StatefulSet", "Job")


@dataclass(frozen=True)
class Pods:
    """What a workload makes: ``owner`` is its kind and name."""

    owner: str
    kind: str
    labels: dict[str, str]
    spec: Object
    workload: Object

    @property
    def containers(self) -> list[Object]:
        return self.spec["containers"]

    @property
    def every_container(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.containers]

    def volume_names(self) -> set[str]:
        claims = self.workload["spec"].get("volumeClaimTemplates", [])
        return {volume["name"] for volume in self.spec.get("volumes", [])} | {
            claim["metadata"]["name"] for claim in claims
        }

    def requests(self) -> dict[str, float]:
        """Cores and bytes that one of them asks for: its containers', or an init container's if that is more."""

        def asked(container: Object, what: str) -> float:
            return quantity(container["resources"]["requests"].get(what, "0"))

        return {
            what: max(
                sum(asked(one, what) for one in self.containers),
                *(asked(one, what) for one in self.spec.get("initContainers", [])),
                0,
            )
            for what in ("cpu", "memory")
        }

    def ports(self) -> set[str | int]:
        ports = [port for container in self.containers for port in container.get("ports", [])]
        return {port["name"] for port in ports} | {port["containerPort"] for port in ports}


def quantity(said: str) -> float:
    """``250m``, ``2`` or ``512Mi`` as a number."""
    units = {"m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
    unit = said.lstrip("0123456789.")
    return float(said.removesuffix(unit)) * units.get(unit, 1)


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [item for item in objects if item["kind"] in kinds]


def label(item: Object) -> str:
    return f"{item['kind']} {item['metadata']['name']}"


def pods(objects: list[Object]) -> Iterator[Pods]:
    for item in of_kind(objects, *POD_MAKERS):
        template = item["spec"]["template"]
        yield Pods(label(item), item["kind"], template["metadata"]["labels"], template["spec"], item)
    for item in of_kind(objects, "TrainingRuntime"):
        for job in item["spec"]["template"]["spec"]["replicatedJobs"]:
            template = job["template"]["spec"]["template"]
            yield Pods(label(item), item["kind"], template["metadata"]["labels"], template["spec"], item)


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """As https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ says; empty selects all."""
    for name, value in selector.get("matchLabels", {}).items():
        if labels.get(name) != value:
            return False
    for rule in selector.get("matchExpressions", []):
        value = labels.get(rule["key"])
        match rule["operator"]:
            case "In":
                right = value in rule["values"]
            case "NotIn":
                right = value not in rule["values"]
            case "Exists":
                right = value is not None
            case _:
                right = value is None
        if not right:
            return False
    return True


def references(container: Object) -> Iterator[tuple[str, str, str | None]]:
    """Kind, name and key (None: all) of each ConfigMap and Secret that a container's environment must have."""
    for source in container.get("envFrom", []):
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if field in source and not source[field].get("optional"):
                yield kind, source[field]["name"], None
    for variable in container.get("env", []):
        for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            found = variable.get("valueFrom", {}).get(field)
            if found and not found.get("optional"):
                yield kind, found["name"], found["key"]
