"""What Kubernetes would make of the rendered objects: each pod's environment and ports, and the edge's routes."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from k8s_objects import POD_MAKERS, Object


@dataclass
class Cluster:
    """The objects of one overlay, by kind and name."""

    objects: Mapping[tuple[str, str], Object]

    @classmethod
    def of(cls, rendered: list[Object]) -> Cluster:
        return cls({(one["kind"], one["metadata"]["name"]): one for one in rendered})

    def all(self, *kinds: str) -> Iterator[Object]:
        return (one for (kind, _), one in self.objects.items() if kind in kinds)

    def pods(self) -> Iterator[Pod]:
        """One pod of each Deployment, StatefulSet and Job."""
        for one in self.all(*POD_MAKERS):
            template = one["spec"]["template"]
            claims = [
                {"name": claim["metadata"]["name"], "persistentVolumeClaim": {}}
                for claim in one["spec"].get("volumeClaimTemplates", [])
            ]
            spec = {**template["spec"], "volumes": [*template["spec"].get("volumes", []), *claims]}
            retries = one["spec"].get("backoffLimit", 6)
            labels = template["metadata"]["labels"]
            yield Pod(one["metadata"]["name"], one["kind"], spec, [*self._services(labels)], retries=retries)

    def _services(self, labels: Mapping[str, str]) -> Iterator[str]:
        for service in self.all("Service"):
            if service["spec"]["selector"].items() <= labels.items():
                yield service["metadata"]["name"]

    def environment(self, container: Object) -> dict[str, str]:
        """What the kubelet would set: ``envFrom`` in its order, then ``env``. Raises KeyError for what is not there."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                if key in source:
                    found |= self.data(kind, source[key]["name"])
        for one in container.get("env", []):
            origin = one.get("valueFrom", {}).get("secretKeyRef")
            found[one["name"]] = (
                self.data("Secret", origin["name"])[origin["key"]] if origin else one.get("value", "")
            )
        return found

    def data(self, kind: str, name: str) -> dict[str, str]:
        """A ConfigMap's or Secret's values as text."""
        one = self.objects[kind, name]
        plain = {**one.get("data", {})}
        if kind == "Secret":
            plain = {key: base64.b64decode(value).decode() for key, value in plain.items()}
        return {**plain, **one.get("stringData", {})}

    def port(self, service: str, port: Mapping[str, Any]) -> int:
        """The port of the container behind a service's port, which an Ingress names."""
        (wanted,) = (
            one
            for one in self.objects["Service", service]["spec"]["ports"]
            if one.get("name") == port.get("name") or one["port"] == port.get("number")
        )
        (pod,) = (pod for pod in self.pods() if service in pod.services)
        return pod.port(wanted["targetPort"])

    def caddyfile(self) -> str:
        """The routes of every Ingress for Caddy, the longest path first, as an Ingress controller ranks them."""
        hosts: dict[str, list[tuple[int, str]]] = {}
        for ingress in self.all("Ingress"):
            pattern = "PathRegexp" in ingress["metadata"].get("annotations", {}).values()
            for rule in ingress["spec"]["rules"]:
                for path in rule["http"]["paths"]:
                    service = path["backend"]["service"]
                    to = f"{service['name']}:{self.port(service['name'], service['port'])}"
                    hosts.setdefault(rule["host"], []).append((len(path["path"]), _route(path, to, pattern)))
        sites = [
            f"http://{host} {{\n\troute {{\n{''.join(text for _, text in sorted(routes, reverse=True))}\t}}\n}}\n"
            for host, routes in hosts.items()
        ]
        return "{\n\tauto_https off\n\tadmin off\n}\n" + "".join(sites)


def _route(path: Mapping[str, Any], to: str, pattern: bool) -> str:
    where, name = path["path"], "".join(letter if letter.isalnum() else "_" for letter in path["path"])
    if pattern:
        match = f"path_regexp ^{where}"
    elif path["pathType"] == "Exact":
        match = f"path {where}"
    else:
        match = f"path {where} {where.rstrip('/')}/*"
    return f"\t\t@{name} {match}\n\t\thandle @{name} {{\n\t\t\treverse_proxy {to}\n\t\t}}\n"


@dataclass
class Pod:
    name: str
    kind: str
    spec: Object
    services: list[str]
    retries: int = 6
    volumes: dict[str, str] = field(default_factory=dict)

    @property
    def main(self) -> Object:
        (container,) = self.spec["containers"]
        return dict(container)

    @property
    def user(self) -> tuple[int, int, int]:
        """Numbers of the user, of its group, and of the group of its volumes."""
        context = self.spec["securityContext"]
        return context["runAsUser"], context["runAsGroup"], context["fsGroup"]

    def port(self, target: str | int) -> int:
        """A port of the main container by its name or number."""
        if isinstance(target, int):
            return target
        (found,) = (one["containerPort"] for one in self.main["ports"] if one["name"] == target)
        return int(found)
